// Command session is the session package in one page: visitors have notes, also before
// they log in, and users see on which devices they are logged in and can log out the
// others. Run it (go run ./examples/session), look at it in two browsers, and log in with
// any name and the password "tea".
package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/session"
)

// data is what a session has.
type data struct{ Notes []string }

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<title>Notes</title>
<ul>{{range .Data.Notes}}<li>{{.}}</li>{{end}}</ul>
<form method="post" action="/note"><input name="note"><button>Note</button></form>
{{if .User}}
<p>You are {{.User}}, logged in on:</p>
<ul>{{range .Devices}}<li>{{.Device}}, seen {{.Seen.Format "15:04:05"}}{{if eq .Handle $.Handle}} (this one){{end}}</li>{{end}}</ul>
<form method="post" action="/others"><button>Log out the others</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}
<form method="post" action="/login"><input name="user"><input name="password" type="password"><button>Log in</button></form>
{{end}}`))

var errPassword = errors.New("the password is wrong")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})

	store, err := session.New(rdb, nil)
	check(err)
	sessions, err := session.NewManager[data](store, &session.ManagerOptions{
		Cookie:  session.Cookie{Insecure: true}, // this is plain http
		OnError: func(err error) { log.Print(err) },
	})
	check(err)

	mux := http.NewServeMux()
	// post does something with the session and shows the page again.
	post := func(path string, do func(s *session.Session[data], r *http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Get(r.Context())
			if err == nil {
				err = do(s, r)
			}
			if err != nil {
				fail(w, err)
				return
			}
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})
	}
	post("/note", func(s *session.Session[data], r *http.Request) error {
		return s.Update(func(d *data) error {
			d.Notes = append(d.Notes, r.FormValue("note"))
			return nil
		})
	})
	post("/login", func(s *session.Session[data], r *http.Request) error {
		if subtle.ConstantTimeCompare([]byte(r.FormValue("password")), []byte("tea")) != 1 {
			return errPassword
		}
		return s.Login(r.Context(), r.FormValue("user"))
	})
	post("/logout", func(s *session.Session[data], r *http.Request) error { return s.Destroy(r.Context()) })
	post("/others", func(s *session.Session[data], r *http.Request) error {
		return sessions.RevokeAll(r.Context(), s.User(), s.Handle())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		var devices []session.Info
		if err == nil && s.User() != "" {
			devices, err = sessions.List(r.Context(), s.User())
		}
		if err != nil {
			fail(w, err)
			return
		}
		_ = page.Execute(w, map[string]any{"Data": s.Data(), "User": s.User(), "Handle": s.Handle(), "Devices": devices})
	})
	handler := http.NewCrossOriginProtection().Handler(sessions.Middleware(mux))

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	log.Printf("look at http://%s/", ln.Addr())
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	_ = srv.Serve(ln)
}

// fail answers a request with which something was wrong.
func fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errPassword):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrRevoked):
		http.Error(w, "please log in again", http.StatusUnauthorized)
	default:
		log.Print(err)
		http.Error(w, "please try again", http.StatusServiceUnavailable)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

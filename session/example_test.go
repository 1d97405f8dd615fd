package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/session"
)

// open returns a store in a Redis for one example, and how to stop it.
func open() (store *session.Redis, stop func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	m.ClockTTL(true)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
	store, err := session.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = rdb.Close()
		m.Close()
	}
}

// browse serves h and returns a browser, which prints the pages that it gets.
func browse(h http.Handler) (get func(path string), stop func()) {
	srv := httptest.NewTLSServer(h)
	c := srv.Client()
	c.Jar, _ = cookiejar.New(nil) // which does not fail
	return func(path string) {
		res, err := c.Get(srv.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		defer res.Body.Close()
		name, _, _ := strings.Cut(path, "?")
		fmt.Print(name, ": ")
		if _, err := io.Copy(os.Stdout, res.Body); err != nil {
			log.Fatal(err)
		}
	}, srv.Close
}

// A cart that is kept when its owner logs in, and that two tabs can fill at once.
func Example() {
	store, stop := open()
	defer stop()
	type data struct{ Cart []string }
	sessions, err := session.NewManager[data](store, nil)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.Update(func(d *data) error {
				d.Cart = append(d.Cart, r.FormValue("item"))
				return nil
			})
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, s.Data().Cart)
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.Login(r.Context(), "ada") // whose password was right
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "welcome,", s.User())
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.Destroy(r.Context())
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "bye")
	})
	mux.Handle("/checkout", sessions.RequireLogin(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context()) // again, without a round trip
		if err != nil {
			return
		}
		fmt.Fprintln(w, s.User(), "buys", s.Data().Cart)
	})))

	get, stop := browse(sessions.Middleware(mux))
	defer stop()
	get("/add?item=tea")
	get("/checkout")
	fmt.Println()
	get("/login")
	get("/add?item=milk")
	get("/checkout")
	get("/logout")
	get("/add?item=bread")
	// Output:
	// /add: [tea]
	// /checkout: {"title":"Unauthorized","status":401,"detail":"Please log in."}
	// /login: welcome, ada
	// /add: [tea milk]
	// /checkout: ada buys [tea milk]
	// /logout: bye
	// /add: [bread]
}

// A flash message is shown once, by whichever request takes it first.
func ExampleSession_UpdateNow_flash() {
	store, stop := open()
	defer stop()
	type data struct{ Flashes []string }
	sessions, err := session.NewManager[data](store, nil)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/save", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.Update(func(d *data) error {
				d.Flashes = append(d.Flashes, "It is saved.")
				return nil
			})
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, "/page", http.StatusSeeOther)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		var flashes []string
		if err == nil && len(s.Data().Flashes) > 0 {
			err = s.UpdateNow(r.Context(), func(d *data) error {
				flashes, d.Flashes = d.Flashes, nil
				return nil
			})
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, flashes)
	})

	get, stop := browse(sessions.Middleware(mux))
	defer stop()
	get("/save")
	get("/page")
	// Output:
	// /save: [It is saved.]
	// /page: []
}

// The state of an OAuth login is good once, in the browser in which it began.
func ExampleSession_UpdateNow_oauth() {
	store, stop := open()
	defer stop()
	type data struct{ State string }
	sessions, err := session.NewManager[data](store, nil)
	if err != nil {
		log.Fatal(err)
	}
	errState := errors.New("the login did not begin here, or is over")

	var state string // what the provider is sent, and sends back
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			state = rand.Text()
			err = s.Update(func(d *data) error { d.State = state; return nil })
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "off to the provider")
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.UpdateNow(r.Context(), func(d *data) error {
				if d.State == "" || d.State != r.FormValue("state") {
					return errState
				}
				d.State = ""
				return nil
			})
		}
		if err == nil { // the code is exchanged, and then
			err = s.Login(r.Context(), "ada")
		}
		switch {
		case errors.Is(err, errState):
			http.Error(w, err.Error(), http.StatusForbidden)
		case err != nil:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "welcome,", s.User())
		}
	})

	get, stop := browse(sessions.Middleware(mux))
	defer stop()
	get("/login")
	get("/callback?state=forged")
	get("/callback?state=" + state)
	get("/callback?state=" + state)
	// Output:
	// /login: off to the provider
	// /callback: the login did not begin here, or is over
	// /callback: welcome, ada
	// /callback: the login did not begin here, or is over
}

// A login of two steps: the password, then a code. LoginSince is told when the first of
// them was, so that a RevokeAll between the two is not missed. The zero time stands for
// when the session was created, which all machines agree on.
func ExampleSession_LoginSince() {
	store, stop := open()
	defer stop()
	type data struct{ Pending string } // whose password was right
	sessions, err := session.NewManager[data](store, nil)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/password", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil { // and the password is right
			err = s.Update(func(d *data) error { d.Pending = "ada"; return nil })
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "and the code?")
	})
	mux.HandleFunc("/code", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil { // and the code is right
			err = s.LoginSince(r.Context(), s.Data().Pending, time.Time{})
		}
		switch {
		case errors.Is(err, session.ErrRevoked):
			http.Error(w, "please begin again", http.StatusUnauthorized)
		case err != nil:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "welcome,", s.User())
		}
	})

	get, stop := browse(sessions.Middleware(mux))
	defer stop()
	get("/password")
	if err := sessions.RevokeAll(context.Background(), "ada"); err != nil { // the password was stolen
		log.Fatal(err)
	}
	get("/code")
	get("/password")
	get("/code")
	// Output:
	// /password: and the code?
	// /code: please begin again
	// /password: and the code?
	// /code: welcome, ada
}

// "Your devices": what is shown, and how to sign out all others, as after a change of
// password.
func ExampleManager_RevokeAll() {
	store, stop := open()
	defer stop()
	sessions, err := session.NewManager[struct{}](store, nil)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = s.Login(r.Context(), "ada")
		}
		fmt.Fprintln(w, s.User(), err)
	})
	mux.Handle("/devices", sessions.RequireLogin(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err != nil {
			return
		}
		list, err := sessions.List(r.Context(), s.User())
		for _, info := range list {
			fmt.Fprint(w, info.Device, ", this one: ", info.Handle == s.Handle(), "; ")
		}
		fmt.Fprintln(w, err)
	})))
	mux.Handle("/password", sessions.RequireLogin(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil { // and the new password is stored
			err = sessions.RevokeAll(r.Context(), s.User(), s.Handle())
		}
		if err == nil {
			err = s.Renew(r.Context())
		}
		fmt.Fprintln(w, "changed:", err)
	})))

	phone, stop := browse(sessions.Middleware(mux))
	defer stop()
	desktop, stop := browse(sessions.Middleware(mux))
	defer stop()
	phone("/login")
	desktop("/login")
	desktop("/password")
	desktop("/devices")
	phone("/devices")
	// Output:
	// /login: ada <nil>
	// /login: ada <nil>
	// /password: changed: <nil>
	// /devices: Go-http-client/1.1, this one: true; <nil>
	// /devices: {"title":"Unauthorized","status":401,"detail":"Please log in."}
}

// Forged requests of other sites are refused before they reach a session.
func ExampleManager_Middleware_csrf() {
	store, stop := open()
	defer stop()
	sessions, err := session.NewManager[struct{}](store, nil)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /transfer", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "done") })
	handler := http.NewCrossOriginProtection().Handler(sessions.Middleware(mux))

	for _, site := range []string{"same-origin", "cross-site"} {
		r := httptest.NewRequest("POST", "/transfer", nil)
		r.Header.Set("Sec-Fetch-Site", site) // as every browser does
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(site, w.Code)
	}
	// Output:
	// same-origin 200
	// cross-site 403
}

// What NIST SP 800-63B asks for at AAL3, with data that is encrypted in Redis and cookies
// of which a theft is noticed.
func ExampleManagerOptions() {
	store, stop := open()
	defer stop()
	key := make([]byte, 32) // from where secrets are kept
	_, _ = rand.Read(key)
	_, err := session.NewManager[struct{}](store, &session.ManagerOptions{
		Lifetime:   12 * time.Hour,
		Idle:       15 * time.Minute,
		RenewEvery: 10 * time.Minute,
		OnReuse: func(_ context.Context, user, handle string) {
			log.Printf("the cookie of session %s of %s was stolen", handle, user)
		},
		MaxPerUser: 5,
		Keys:       [][]byte{key},
		Cookie:     session.Cookie{SameSite: http.SameSiteStrictMode},
	})
	fmt.Println(err)
	// Output: <nil>
}

package main

import (
	"context"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/session"
)

// freshetVisit is what Freshet's sessions hold.
type freshetVisit struct {
	Theme  string
	Items  []string
	Visits int
}

// openFreshetSession opens Freshet, with its default options but for the idle timeout, how
// often the use of a session is noted (by default once a minute, which would fall into
// some rounds and not into others), and the time that it waits for Redis, which is that of
// go-redis.
func openFreshetSession(_ context.Context, url string, count *wire) (*sessionApp, error) {
	rdb, err := dialCounted(url, count)
	if err != nil {
		return nil, err
	}
	store, err := session.New(rdb, &session.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	m, err := session.NewManager[freshetVisit](store, &session.ManagerOptions{Idle: sessionIdle, TouchEvery: sessionIdle / 2})
	if err != nil {
		return nil, err
	}
	handler := func(serve func(r *http.Request, s *session.Session[freshetVisit]) error) http.Handler {
		return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			if err == nil {
				err = serve(r, s)
			}
			if err != nil {
				respond(w, 0, err)
				return
			}
			respond(w, s.Data().Visits, nil)
		}))
	}
	return &sessionApp{
		read: handler(func(_ *http.Request, s *session.Session[freshetVisit]) error {
			if d := s.Data(); !looksRight(s.User(), d.Theme, d.Items) {
				return errSession
			}
			return nil
		}),
		write: handler(func(_ *http.Request, s *session.Session[freshetVisit]) error {
			return s.Update(func(v *freshetVisit) error { v.Visits++; return nil })
		}),
		login: handler(func(r *http.Request, s *session.Session[freshetVisit]) error {
			err := s.Update(func(v *freshetVisit) error {
				*v = freshetVisit{Theme: sessionTheme, Items: sessionItems}
				return nil
			})
			if err != nil {
				return err
			}
			return s.Login(r.Context(), r.Header.Get("User"))
		}),
		close: func() { _ = rdb.Close() },
	}, nil
}

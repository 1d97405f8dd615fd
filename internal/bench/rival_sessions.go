package main

import (
	"context"
	"net/http"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	"github.com/gomodule/redigo/redis"
)

// openSCS opens scs on its store for go-redis, with its defaults but for the timeout.
func openSCS(idle time.Duration) func(context.Context, string, *wire) (*sessionApp, error) {
	return func(_ context.Context, url string, count *wire) (*sessionApp, error) {
		rdb, err := dialCounted(url, count)
		if err != nil {
			return nil, err
		}
		m := scs.New()
		m.IdleTimeout = idle
		m.Store = goredisstore.New(rdb)
		m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) { respond(w, 0, err) }
		handler := func(serve func(ctx context.Context, r *http.Request) error) http.Handler {
			return m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				if err := serve(ctx, r); err != nil {
					respond(w, 0, err)
					return
				}
				respond(w, m.GetInt(ctx, "visits"), nil)
			}))
		}
		return &sessionApp{
			read: handler(func(ctx context.Context, _ *http.Request) error {
				items, _ := m.Get(ctx, "items").([]string)
				if !looksRight(m.GetString(ctx, "user"), m.GetString(ctx, "theme"), items) {
					return errSession
				}
				return nil
			}),
			write: handler(func(ctx context.Context, _ *http.Request) error {
				m.Put(ctx, "visits", m.GetInt(ctx, "visits")+1)
				return nil
			}),
			login: handler(func(ctx context.Context, r *http.Request) error {
				if err := m.RenewToken(ctx); err != nil {
					return err
				}
				m.Put(ctx, "user", r.Header.Get("User"))
				m.Put(ctx, "theme", sessionTheme)
				m.Put(ctx, "items", sessionItems)
				m.Put(ctx, "visits", 0)
				return nil
			}),
			close: func() { _ = rdb.Close() },
		}, nil
	}
}

// openGorilla opens gorilla/sessions on redistore, which is made for redigo. The pool is
// what redistore's own constructors make, with room for all callers.
func openGorilla(_ context.Context, url string, count *wire) (*sessionApp, error) {
	store, err := redistore.NewRediStoreWithPool(&redis.Pool{
		MaxIdle:     64,
		IdleTimeout: 240 * time.Second,
		TestOnBorrow: func(c redis.Conn, _ time.Time) error {
			_, err := c.Do("PING")
			return err
		},
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialURLContext(ctx, url, redis.DialContextFunc(count.dial))
		},
	}, []byte("a key of 32 bytes, to sign ids.."))
	if err != nil {
		return nil, err
	}
	handler := func(serve func(r *http.Request, values map[any]any) (save bool, err error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := store.Get(r, "sid")
			if err != nil {
				respond(w, 0, err)
				return
			}
			save, err := serve(r, s.Values)
			if err == nil && save {
				err = s.Save(r, w)
			}
			visits, _ := s.Values["visits"].(int)
			respond(w, visits, err)
		})
	}
	return &sessionApp{
		read: handler(func(_ *http.Request, values map[any]any) (bool, error) {
			user, _ := values["user"].(string)
			theme, _ := values["theme"].(string)
			items, _ := values["items"].([]string)
			if !looksRight(user, theme, items) {
				return false, errSession
			}
			return false, nil
		}),
		write: handler(func(_ *http.Request, values map[any]any) (bool, error) {
			visits, _ := values["visits"].(int)
			values["visits"] = visits + 1
			return true, nil
		}),
		login: handler(func(r *http.Request, values map[any]any) (bool, error) {
			values["user"], values["theme"], values["items"], values["visits"] = r.Header.Get("User"), sessionTheme, sessionItems, 0
			return true, nil
		}),
		close: func() { _ = store.Close() },
	}, nil
}

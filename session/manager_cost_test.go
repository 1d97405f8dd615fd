package session

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestManagerCosts counts the round trips of what the Cost: lines describe, in their
// order, and compares. Every line must have its count. On a cluster some cost one for each
// node.
func TestManagerCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		sent := redistest.Count(t, rdb)
		store := newStore(t, rdb, Options{})
		m := newManager(t, store, ManagerOptions{OnError: func(error) {}}) // of old secrets
		b := newBrowser(t, m)
		ctx := context.Background()
		// in counts what f does in a request with the cookie, without the request's own
		// loading.
		in := func(m *Manager[cart], cookie string, f func(s *Session[cart]) error) (n int) {
			b := newBrowser(t, m)
			b.with(cookie, func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				sent.Reset()
				check(t, f(s))
				n = sent.RoundTrips()
			})
			return n
		}
		// whole counts a request.
		whole := func(m *Manager[cart], cookie string, f func(s *Session[cart]) error) int {
			sent.Reset()
			newBrowser(t, m).with(cookie, func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				check(t, f(s))
			})
			return sent.RoundTrips()
		}
		nothing := func(*Session[cart]) error { return nil }
		update := func(s *Session[cart]) error { return s.Update(addOne) }
		updateNow := func(s *Session[cart]) error { return s.UpdateNow(ctx, addOne) }
		// overtaken does f in a request that another one overtakes.
		overtaken := func(f func(s *Session[cart]) error) (n int) {
			b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				whole(m, b.cookie, update)
				sent.Reset()
				check(t, f(s))
				n = sent.RoundTrips()
			})
			return n
		}
		touching := newManager(t, store, ManagerOptions{TouchEvery: -1})
		login := func(user string) func(s *Session[cart]) error {
			return func(s *Session[cart]) error { return s.Login(ctx, user) }
		}
		since := func(user string) func(s *Session[cart]) error {
			return func(s *Session[cart]) error { return s.LoginSince(ctx, user, time.Now()) }
		}
		counted := func(f func() error) int {
			sent.Reset()
			check(t, f())
			return sent.RoundTrips()
		}
		handle := func() string { tok, _ := parseToken(b.cookie); return tok.handle }
		measured := map[string]func() []int{
			"Manager.Get": func() []int {
				read := whole(m, b.cookie, nothing)
				nobody := newBrowser(t, m)
				nobody.visit(update0)
				return []int{
					read, whole(m, "", nothing) + whole(m, "junk", nothing),
					whole(touching, nobody.cookie, nothing) - read, whole(touching, b.cookie, nothing) - read,
				}
			},
			"Manager.List":   func() []int { return []int{counted(func() error { _, err := m.List(ctx, "alice"); return err })} },
			"Manager.Revoke": func() []int { return []int{counted(func() error { return m.Revoke(ctx, "alice", handle()) }), 2} },
			"Manager.RevokeAll": func() []int {
				return []int{counted(func() error { return m.RevokeAll(ctx, "alice") })}
			},
			"Session.Update": func() []int {
				saved := whole(m, b.cookie, update) - whole(m, b.cookie, nothing)
				return []int{in(m, b.cookie, update), saved, overtaken(updateNow) - saved}
			},
			"Session.UpdateNow": func() []int {
				n := in(m, b.cookie, updateNow)
				return []int{n, overtaken(updateNow) - n}
			},
			"Session.Reload": func() []int {
				reload := func(s *Session[cart]) error { return s.Reload(ctx) }
				return []int{in(m, b.cookie, reload), in(m, "", reload)}
			},
			"Session.Login": func() []int {
				return []int{in(m, "", login("alice")), in(m, b.cookie, login("bob")), 2}
			},
			"Session.LoginSince": func() []int {
				return []int{in(m, "", since("alice")), in(m, b.cookie, since("bob"))}
			},
			"Session.Renew": func() []int {
				renew := func(s *Session[cart]) error { return s.Renew(ctx) }
				var n int
				b.keep(b.visit(func(s *Session[cart]) {
					sent.Reset()
					check(t, renew(s))
					n = sent.RoundTrips()
				}))
				return []int{n, overtaken(renew) - n}
			},
			"Session.Destroy": func() []int {
				destroy := func(s *Session[cart]) error { return s.Destroy(ctx) }
				user := in(m, b.cookie, destroy)
				nobody := newBrowser(t, m)
				nobody.visit(update0)
				return []int{user, in(m, nobody.cookie, destroy)}
			},
		}
		before := func() {
			b.login("alice")
			sent.Reset()
		}
		// Scripts and clocks that are not known yet cost a round trip more, once on each
		// server.
		for range 2 {
			for _, user := range []string{"alice", "bob", "carol", "dave", "erin", "frank"} {
				b.login(user)
				b.visit(update0)
				for _, measure := range measured {
					b.login("alice")
					measure()
				}
			}
		}
		redistest.CheckCosts(t, []string{"Manager", "Session"}, measured, before)
	})
}

func update0(s *Session[cart]) { _ = s.Update(addOne) }

// A request that only reads is one native GET, and nothing else.
func TestReadingRequestIsOneGet(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		m := newManager(t, newStore(t, rdb, Options{}), ManagerOptions{RenewEvery: time.Hour, MaxPerUser: 3})
		b := newBrowser(t, m)
		b.login("alice")
		b.wants("alice") // the server's clock has been asked for
		sent := redistest.Count(t, rdb)
		for range 3 {
			res := b.visit(func(s *Session[cart]) { _ = s.Data(); _ = s.User() })
			if len(res.Header["Set-Cookie"]) != 0 || res.Header.Get("Cache-Control") != "" {
				t.Errorf("the header is %v", res.Header)
			}
		}
		if got := sent.Commands(); len(got) != 3 || got[0] != "get" || got[1] != "get" || got[2] != "get" {
			t.Errorf("3 requests sent %q", got)
		}
		sent.Reset()
		b.do(func(http.ResponseWriter, *http.Request) {})
		b.with("junk", func(_ http.ResponseWriter, r *http.Request) {
			_, err := m.Get(r.Context())
			check(t, err)
		})
		if got := sent.Commands(); len(got) != 0 {
			t.Errorf("a request without session sent %q", got)
		}
	})
}

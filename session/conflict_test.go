package session

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// login, over real HTTP: a server whose handler does what the path says, and a client
// that has logged in.
func startShop(t *testing.T, m *Manager[cart], version int) (url string, c *http.Client) {
	t.Helper()
	mux := http.NewServeMux()
	with := func(f func(s *Session[cart], r *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			if err == nil {
				err = f(s, r)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprintf(w, "%s %+v", s.User(), s.Data())
		}
	}
	mux.Handle("/login", with(func(s *Session[cart], r *http.Request) error { return s.Login(r.Context(), r.FormValue("user")) }))
	mux.Handle("/add", with(func(s *Session[cart], r *http.Request) error { return s.Update(putItem(r.FormValue("item"))) }))
	mux.Handle("/look", with(func(*Session[cart], *http.Request) error { return nil }))
	srv, _ := startServer(t, version, m.Middleware(mux))
	c = srv.Client()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	fetch(t, c, srv.URL+"/login?user=alice")
	return srv.URL, c
}

// fetch returns the body of a page, which must be there.
func fetch(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%s: status %d, %q, %v", url, res.StatusCode, b, err)
	}
	return string(b)
}

// 16 writers add 25 things each to one session, over real HTTP, and all are there.
func TestParallelUpdates(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		const writers, updates = 16, 25
		m := newManager(t, store, ManagerOptions{})
		url, c := startShop(t, m, 1)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for u := range updates {
					fetch(t, c, fmt.Sprintf("%s/add?item=%d-%d", url, w, u))
				}
			})
		}
		all.Wait()
		b := newBrowser(t, m)
		req, _ := http.NewRequest("GET", url, nil)
		for _, cookie := range c.Jar.Cookies(req.URL) {
			b.cookie = cookie.Value
		}
		_, data := b.look()
		slices.Sort(data.Items)
		if n := len(slices.Compact(data.Items)); n != writers*updates || len(data.Items) != n {
			t.Errorf("of %d updates %d are there", writers*updates, n)
		}
		t.Logf("%d conflicts", m.Stats().Conflicts)
	})
}

// Attack 7: two tabs change different fields.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		b := newBrowser(t, newManager(t, store, ManagerOptions{}))
		b.login("alice")
		b.visit(func(one *Session[cart]) {
			b.visit(func(other *Session[cart]) {
				check(t, one.Update(putItem("tea")))
				check(t, other.Update(func(c *cart) error { c.Theme = "dark"; return nil }))
			})
		})
		if _, data := b.look(); data.Theme != "dark" || !slices.Equal(data.Items, []string{"tea"}) {
			t.Errorf("of two tabs remains %+v", data)
		}
	})
}

var errTaken = errors.New("taken")

// take consumes the OAuth state.
func take(c *cart) error {
	if c.State == "" {
		return errTaken
	}
	c.State = ""
	return nil
}

// Attack 6: of all that take one state, one gets it.
func TestExactlyOneWinner(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		b := newBrowser(t, newManager(t, store, ManagerOptions{}))
		for range 10 {
			b.visit(func(s *Session[cart]) {
				check(t, s.UpdateNow(t.Context(), func(c *cart) error { c.State = "xyz"; return nil }))
			})
			var won, taken atomic.Int64
			var all, loaded sync.WaitGroup
			const rivals = 8
			loaded.Add(rivals)
			for range rivals {
				all.Go(func() {
					b.visit(func(s *Session[cart]) {
						loaded.Done()
						loaded.Wait()
						switch err := s.UpdateNow(t.Context(), take); {
						case err == nil:
							won.Add(1)
						case errors.Is(err, errTaken):
							taken.Add(1)
						default:
							t.Error(err)
						}
						if s.Data().State != "" {
							t.Errorf("after UpdateNow the state is %q", s.Data().State)
						}
					})
				})
			}
			all.Wait()
			if won.Load() != 1 || taken.Load() != rivals-1 {
				t.Errorf("%d won and %d lost", won.Load(), taken.Load())
			}
		}
	})
}

// Attack 7: one session, used by the goroutines of one request; with -race.
func TestGoroutinesOfOneRequest(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	b.login("alice")
	const each, goroutines = 20, 6
	b.do(func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		for i := range goroutines {
			all.Go(func() {
				for range each {
					s, err := m.Get(r.Context())
					if err != nil {
						t.Error(err)
						return
					}
					seen := s.Data()
					switch i % 3 {
					case 0:
						check(t, s.Update(addOne))
					case 1:
						check(t, s.UpdateNow(r.Context(), func(c *cart) error {
							c.N++
							c.Items = append(c.Items, s.User())
							return nil
						}))
					default:
						check(t, s.Reload(r.Context()))
					}
					_ = len(seen.Items) + len(s.User()) + len(s.Handle()) + s.Data().N
				}
			})
		}
		_, _ = w.Write([]byte("in the midst of it"))
		all.Wait()
	})
	if _, data := b.look(); data.N != each*goroutines/3*2 || len(data.Items) != each*goroutines/3 {
		t.Errorf("the counter is at %d and there are %d items", data.N, len(data.Items))
	}
}

// An update that cannot be made on what another request has saved is not saved, nor is
// half of those that were made with it.
func TestReplayFails(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	b.visit(func(s *Session[cart]) { check(t, s.Update(func(c *cart) error { c.State = "xyz"; return nil })) })
	res := b.visit(func(one *Session[cart]) {
		check(t, one.Update(putItem("tea")))
		check(t, one.Update(take))
		b.visit(func(other *Session[cart]) { check(t, other.Update(take)) })
	})
	if res.StatusCode != 500 {
		t.Errorf("status %d, want 500", res.StatusCode)
	}
	if _, data := b.look(); len(data.Items) != 0 {
		t.Errorf("saved is %+v", data)
	}
	// UpdateNow takes back itself only.
	b.visit(func(s *Session[cart]) { check(t, s.Update(func(c *cart) error { c.State = "xyz"; return nil })) })
	b.visit(func(one *Session[cart]) {
		check(t, one.Update(putItem("tea")))
		b.visit(func(other *Session[cart]) { check(t, other.Update(take)) })
		wantErr(t, "UpdateNow", one.UpdateNow(t.Context(), take), errTaken)
	})
	if _, data := b.look(); !slices.Equal(data.Items, []string{"tea"}) || data.State != "" {
		t.Errorf("saved is %+v", data)
	}
	// So does Renew, which then is not done.
	b.visit(func(s *Session[cart]) { check(t, s.Update(func(c *cart) error { c.State = "xyz"; return nil })) })
	old := b.cookie
	b.visit(func(one *Session[cart]) {
		check(t, one.Update(putItem("milk")))
		check(t, one.Update(take))
		b.visit(func(other *Session[cart]) { check(t, other.Update(take)) })
		wantErr(t, "Renew", one.Renew(t.Context()), errTaken)
	})
	if _, data := b.look(); len(data.Items) != 1 || b.cookie != old {
		t.Errorf("saved is %+v", data)
	}
}

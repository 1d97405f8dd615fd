package session

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// brief is a store that does not wait for Redis for long.
func brief(t *testing.T, p *redistest.Proxy) *Redis {
	t.Helper()
	return newStore(t, p.Client(t), Options{Timeout: 300 * time.Millisecond})
}

// enter logs a user in; on a busy machine Redis may seem away at first.
func (b *browser[T]) enter(user string) {
	b.t.Helper()
	redistest.Eventually(b.t, "a login", func() (in bool) {
		b.visit(func(s *Session[T]) { in = s.Login(b.t.Context(), user) == nil })
		return in
	})
}

// returns waits until the session can be read, which is then a user's.
func (b *browser[T]) returns(user string) {
	b.t.Helper()
	redistest.Eventually(b.t, "Redis is back", func() (there bool) {
		b.do(func(_ http.ResponseWriter, r *http.Request) {
			s, err := b.m.Get(r.Context())
			if there = err == nil; there && s.User() != user {
				b.t.Errorf("the user is %q, want %q", s.User(), user)
			}
		})
		return there
	})
}

// faults are what happens to Redis, and its repair.
var faults = map[string]func(p *redistest.Proxy, on bool){
	"refused": func(p *redistest.Proxy, on bool) { p.Refuse(on) },
	"hung":    func(p *redistest.Proxy, on bool) { p.Blackhole(on) },
}

// Attack 12: Redis is away when the session is loaded, or when it is saved: 503, never
// anonymous, and the cookie stays as it is. Afterwards the session is there.
func TestManagerRedisAway(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for name, fault := range faults {
			p := s.Proxy(t)
			m := newManager(t, brief(t, p), ManagerOptions{OnError: func(error) {}})
			b := newBrowser(t, m)
			b.enter("alice")
			stranger := newBrowser(t, m)
			old := b.cookie

			fault(p, true)
			refused := func(what string, res *http.Response) {
				t.Helper()
				if res.StatusCode != 503 || len(res.Header["Set-Cookie"]) != 0 {
					t.Errorf("%s, %s: status %d, header %v", name, what, res.StatusCode, res.Header)
				}
			}
			refused("load", b.do(func(w http.ResponseWriter, r *http.Request) {
				m.RequireLogin(0)(http.NotFoundHandler()).ServeHTTP(w, r)
			}))
			b.do(func(_ http.ResponseWriter, r *http.Request) {
				if s, err := m.Get(r.Context()); !errors.Is(err, ErrUnavailable) || s != nil {
					t.Errorf("%s: Get() = %v, %v", name, s, err)
				}
			})
			refused("a stranger's save", stranger.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) }))
			if res := stranger.visit(func(*Session[cart]) {}); res.StatusCode != 200 {
				t.Errorf("%s: a stranger that saves nothing has status %d", name, res.StatusCode)
			}
			stranger.visit(func(s *Session[cart]) {
				if err := s.Login(t.Context(), "bob"); err == nil || s.User() != "" {
					t.Errorf("%s: Login() = %v", name, err)
				}
			})
			fault(p, false)
			b.returns("alice")
			refused("save", b.do(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				if err != nil { // the machine is busy
					w.WriteHeader(503)
					return
				}
				check(t, s.Update(addOne))
				fault(p, true)
			}))
			fault(p, false)
			b.returns("alice")
			if b.cookie != old {
				t.Errorf("%s: the cookie has changed", name)
			}
		}
	})
}

// Attack 12: under load, with connections cut, replies lost, and Redis away now and then:
// nobody is anonymous, what was acknowledged is saved, and what was not at most once.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		log := new(errorLog)
		store := brief(t, p)
		m := newManager(t, store, ManagerOptions{OnError: log.add, TouchEvery: -1})
		b := newBrowser(t, m)
		b.enter("alice")
		var saved, failed, away atomic.Int64
		stop := make(chan struct{})
		var all sync.WaitGroup
		end := sync.OnceFunc(func() {
			close(stop)
			all.Wait()
		})
		defer end()
		for i := range 4 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					var loaded error
					res := b.with(b.cookie, func(w http.ResponseWriter, r *http.Request) {
						s, err := m.Get(r.Context())
						if loaded = err; err != nil {
							away.Add(1)
							w.WriteHeader(503)
							return
						}
						if s.User() != "alice" {
							t.Errorf("the user is %q; Stats %+v, %+v; OnError was told %v", s.User(), m.Stats(), store.Stats(), log.errs)
							w.WriteHeader(503)
							return
						}
						if i%2 == 0 {
							check(t, s.Update(addOne))
						}
					})
					switch {
					case len(res.Header["Set-Cookie"]) != 0 || res.StatusCode != 200 && res.StatusCode != 503:
						t.Errorf("status %d, header %v", res.StatusCode, res.Header)
					case loaded != nil || i%2 != 0:
					case res.StatusCode == 200:
						saved.Add(1)
					default:
						failed.Add(1)
					}
				}
			})
		}
		for range 3 {
			before := saved.Load()
			p.DropRepliesTo(redistest.Command("evalsha"), 3)
			p.Cut()
			redistest.Eventually(t, "something is saved", func() bool { return saved.Load() > before+5 })
			before = away.Load()
			p.Refuse(true)
			redistest.Eventually(t, "Redis is away", func() bool { return away.Load() > before+5 })
			p.Refuse(false)
			before = saved.Load()
			redistest.Eventually(t, "something is saved", func() bool { return saved.Load() > before+5 })
		}
		end()
		var data cart
		redistest.Eventually(t, "Redis is back", func() (there bool) {
			b.do(func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				if there = err == nil; there {
					data = s.Data()
				}
			})
			return there
		})
		if n := int64(data.N); n < saved.Load() || n > saved.Load()+failed.Load() {
			t.Errorf("%d updates are there, %d were acknowledged and %d not", n, saved.Load(), failed.Load())
		}
		t.Logf("%d saved, %d not", saved.Load(), failed.Load())
	})
}

// Attack 12: the server forgets its scripts, or everything.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		m := newManager(t, newStore(t, rdb, Options{}), ManagerOptions{TouchEvery: -1})
		b := newBrowser(t, m)
		b.login("alice")
		for range 2 {
			check(t, rdb.ScriptFlush(t.Context()).Err())
			b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
			check(t, rdb.ScriptFlush(t.Context()).Err())
			b.login("alice")
		}
		if user, data := b.look(); user != "alice" || data.N != 2 {
			t.Errorf("%q has %v", user, data)
		}
		s.Kill(t)
		s.Restart(t)
		b.returns("")
		if res := b.visit(func(s *Session[cart]) {
			if s.User() != "" {
				t.Errorf("the user is %q", s.User())
			}
		}); len(res.Header["Set-Cookie"]) != 0 {
			t.Errorf("the header is %v", res.Header)
		}
		b.login("alice")
		b.wants("alice")
	})
}

// A use that cannot be noted is no reason to turn anybody away.
func TestTouchFails(t *testing.T) {
	t.Parallel()
	log := new(errorLog)
	store := &brokenStore{Memory: newMemory(t)}
	m := newManager(t, store, ManagerOptions{TouchEvery: -1, OnError: log.add})
	b := newBrowser(t, m)
	b.login("alice")
	store.touch, store.checkUser = ErrUnavailable, ErrUnavailable
	b.wants("alice")
	if log.count() != 2 || !log.has(ErrUnavailable) {
		t.Errorf("OnError was told %v", log.errs)
	}
	store.touch, store.checkUser = nil, ErrRevoked
	b.wants("")
	b.wants("")
	if len(store.records) != 0 {
		t.Error("a revoked record is still there")
	}
}

// A new session whose creation may or may not have happened is made again, under another
// name.
func TestCreateUnknown(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		m := newManager(t, newStore(t, p.Client(t), Options{}), ManagerOptions{})
		b := newBrowser(t, m)
		b.login("alice") // the scripts are loaded
		other := newBrowser(t, m)
		p.DropRepliesTo(redistest.Command("evalsha"), 1)
		other.login("bob")
		other.wants("bob")
		list, err := m.List(t.Context(), "bob")
		if err != nil || len(list) != 1 {
			t.Errorf("Bob's sessions are %v, %v", list, err)
		}
	})
}

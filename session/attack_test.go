package session

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// withSecret is a cookie with another secret.
func withSecret(t testing.TB, cookie string, s secret) string {
	t.Helper()
	tok, ok := parseToken(cookie)
	if !ok {
		t.Fatal("the cookie is no token")
	}
	tok.secret = s
	return tok.cookieValue()
}

// Attack 1: an id that the client chose, or that has ended, is never adopted.
func TestAttackChosenToken(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		store := newStore(t, rdb, Options{})
		m := newManager(t, store, ManagerOptions{OnError: func(error) {}})
		b := newBrowser(t, m)
		b.login("alice")
		deleted := b.cookie
		b.visit(func(s *Session[cart]) { check(t, s.Destroy(t.Context())) })
		never := newToken()
		chosen := []string{
			never.cookieValue(), deleted, strings.Repeat("A", tokenLen), "", strings.Repeat("A", 1<<16),
			"attackerchosen", strings.Repeat("!", tokenLen), "\x00" + deleted[1:], deleted[:63] + "\x00", "..", "*",
		}
		for _, cookie := range chosen {
			res := b.with(cookie, func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				if err != nil || s.User() != "" || s.Handle() != "" {
					t.Errorf("%.70q is the session %v, %v", cookie, s, err)
				}
			})
			if cookieOf(res) != "" {
				t.Errorf("%.70q gets a cookie", cookie)
			}
		}
		if found := s.Keys(t, store.o.Prefix+":"); slices.ContainsFunc(found, func(k string) bool { return strings.Contains(k, ":s:") }) {
			t.Errorf("there are the keys %q", found)
		}
		for _, cookie := range chosen {
			res := b.with(cookie, func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				check(t, s.Login(r.Context(), "bob"))
			})
			got, _ := parseToken(cookieOf(res))
			old, ok := parseToken(cookie)
			if got.handle == "" || ok && (got.handle == old.handle || got.secret == old.secret) {
				t.Errorf("a login with %.70q gets %q", cookie, got.cookieValue())
			}
		}
	})
}

// Attack 2: a token from before a login or a step-up is worth nothing from then on,
// RenewGrace or not.
func TestAttackOldToken(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		log := new(errorLog)
		m := newManager(t, store, ManagerOptions{RenewEvery: time.Hour, RenewGrace: time.Hour / 2, OnError: log.add, Idle: time.Hour})
		b := newBrowser(t, m)
		b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("tea"))) })
		for _, step := range []struct {
			name string
			do   func(s *Session[cart]) error
		}{
			{"Login", func(s *Session[cart]) error { return s.Login(t.Context(), "alice") }},
			{"another Login", func(s *Session[cart]) error { return s.Login(t.Context(), "alice") }},
			{"Renew", func(s *Session[cart]) error { return s.Renew(t.Context()) }},
		} {
			old := b.cookie
			handle := ""
			b.visit(func(s *Session[cart]) { check(t, step.do(s)); handle = s.Handle() })
			if b.cookie == old || b.cookie[:21] != old[:21] {
				t.Errorf("%s: the token was %s and is %s", step.name, old, b.cookie)
			}
			if user, data := b.look(); user != "alice" || len(data.Items) != 1 {
				t.Errorf("%s: %q has %v", step.name, user, data)
			}
			b.with(old, func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				if err != nil || s.User() != "" || len(s.Data().Items) != 0 {
					t.Errorf("%s: the old token is the session of %q, %v", step.name, s.User(), err)
				}
			})
			if !log.has(ErrWrongSecret) || !strings.Contains(fmt.Sprint(log.errs), handle) {
				t.Errorf("%s: OnError was told %v", step.name, log.errs)
			}
		}
	})
}

// Attack 3: the right handle with a wrong secret has no session, does not keep it alive,
// cannot write, and changes no cookie; but its owner can log in again.
func TestAttackWrongSecret(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		log := new(errorLog)
		m := newManager(t, store, ManagerOptions{TouchEvery: -1, OnError: log.add})
		b := newBrowser(t, m)
		b.login("alice")
		tok, _ := parseToken(b.cookie)
		before, err := store.Get(t.Context(), tok.handle)
		check(t, err)
		for name, do := range map[string]func(s *Session[cart]) error{
			"Update":    func(s *Session[cart]) error { return s.Update(addOne) },
			"UpdateNow": func(s *Session[cart]) error { return s.UpdateNow(t.Context(), addOne) },
			"Renew":     func(s *Session[cart]) error { return s.Renew(t.Context()) },
			"Reload":    func(s *Session[cart]) error { return s.Reload(t.Context()) },
			"Destroy": func(s *Session[cart]) error {
				check(t, s.Destroy(t.Context()))
				return ErrNotFound
			},
		} {
			res := b.with(withSecret(t, b.cookie, newSecret()), func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				if err != nil || s.User() != "" || s.Handle() != "" {
					t.Errorf("a wrong secret is the session %v, %v", s, err)
					return
				}
				wantErr(t, name+" with a wrong secret", do(s), ErrNotFound)
			})
			if res.StatusCode != 200 || len(res.Header["Set-Cookie"]) != 0 {
				t.Errorf("%s: status %d, header %v", name, res.StatusCode, res.Header)
			}
		}
		after, err := store.Get(t.Context(), tok.handle)
		if err != nil || after.Version != before.Version || after.Seen.Sub(before.Seen).Abs() > time.Second/10 && after.Seen.After(before.Seen.Add(time.Second/10)) {
			t.Errorf("the record was %v and is %v, %v", before, after, err)
		}
		if log.count() != 5 || !log.has(ErrWrongSecret) {
			t.Errorf("OnError was told %v", log.errs)
		}
		if n := m.Stats().Refused; n != 5 {
			t.Errorf("Stats count %d", n)
		}
		res := b.with(withSecret(t, b.cookie, newSecret()), func(_ http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			check(t, err)
			check(t, s.Login(t.Context(), "alice"))
		})
		if got, _ := parseToken(cookieOf(res)); got.handle == "" || got.handle == tok.handle {
			t.Errorf("a login with a wrong secret has the header %v", res.Header)
		}
		b.wants("alice")
	})
}

// Attack 10: of several cookies of the name the first that verifies wins.
func TestAttackCookieTossing(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{OnError: func(error) {}})
	b := newBrowser(t, m)
	b.login("alice")
	other := newBrowser(t, m)
	other.login("mallory")
	stale := newToken()
	name := "__Host-sid="
	for _, c := range []struct{ header, want string }{
		{name + stale.cookieValue() + "; " + name + b.cookie, "alice"},
		{name + withSecret(t, b.cookie, newSecret()) + "; " + name + b.cookie, "alice"},
		{name + "junk; " + name + b.cookie, "alice"},
		{name + b.cookie + "; " + name + other.cookie, "alice"},
		{"__host-sid=" + other.cookie + "; " + name + b.cookie, "alice"},
		{"=" + name + other.cookie + "; " + name + b.cookie, "alice"},
		{"=" + name + other.cookie, ""},
		{name + stale.cookieValue(), ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", c.header)
		w := httptest.NewRecorder()
		m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			if err != nil || s.User() != c.want {
				t.Errorf("with %s the user is %q, %v, want %q", c.header, s.User(), err, c.want)
			}
		})).ServeHTTP(w, r)
		if len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("with %s the header is %v", c.header, w.Header())
		}
	}
}

// Attack 13: what cannot be decoded is reported, and then there is no session; it is
// neither an error for ever nor plain text accepted for encrypted.
func TestAttackCorruptRecord(t *testing.T) {
	t.Parallel()
	type older struct{ Items map[string]int }
	sealed := ManagerOptions{Keys: [][]byte{key(1)}}
	bad := map[string]func(t *testing.T, store Store, b *browser[cart], rec *Record){
		"garbage":   func(_ *testing.T, _ Store, _ *browser[cart], rec *Record) { rec.Data = []byte("garbage") },
		"empty":     func(_ *testing.T, _ Store, _ *browser[cart], rec *Record) { rec.Data = nil },
		"truncated": func(_ *testing.T, _ Store, _ *browser[cart], rec *Record) { rec.Data = rec.Data[:len(rec.Data)-1] },
		"longer":    func(_ *testing.T, _ Store, _ *browser[cart], rec *Record) { rec.Data = append(rec.Data, 0) },
		"old schema": func(t *testing.T, store Store, b *browser[cart], rec *Record) {
			m, err := NewManager[older](store, nil)
			check(t, err)
			tok, _ := parseToken(b.cookie)
			h, _, err := parseEnvelope(rec.Data, rec.Deadline)
			check(t, err)
			h.hash = tok.secret.digest()
			payload, err := m.o.Marshal(&older{map[string]int{"tea": 1}})
			check(t, err)
			rec.Data = m.encode(tok.handle, &h, rec.Deadline, payload)
		},
	}
	for name, spoil := range bad {
		for _, o := range []ManagerOptions{{}, sealed} {
			mem := newMemory(t)
			log := new(errorLog)
			o.OnError = log.add
			m := newManager(t, mem, o)
			b := newBrowser(t, m)
			b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("tea"))) })
			b.login("alice")
			tok, _ := parseToken(b.cookie)
			rec, err := mem.Get(t.Context(), tok.handle)
			check(t, err)
			spoil(t, mem, b, &rec)
			_, err = mem.Swap(t.Context(), tok.handle, rec, time.Hour)
			check(t, err)
			b.wants("")
			if log.count() != 1 || m.Stats().Undecodable != 1 {
				t.Errorf("%s: OnError was told %v", name, log.errs)
			}
			if old := b.cookie; cookieOf(b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })) == "" || b.cookie[:21] == old[:21] {
				t.Errorf("%s: the visitor does not get another session", name)
			}
		}
	}
}

// Attack 13: a record that was stored in the clear, one of another handle, and a changed
// header are refused by a manager with keys.
func TestAttackSwappedRecord(t *testing.T) {
	t.Parallel()
	mem := newMemory(t)
	log := new(errorLog)
	sealed := newManager(t, mem, ManagerOptions{Keys: [][]byte{key(1)}, OnError: log.add})
	plain := newManager(t, mem, ManagerOptions{OnError: log.add})
	put := func(m *Manager[cart], user string) *browser[cart] {
		b := newBrowser(t, m)
		b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("of "+user))) })
		b.login(user)
		return b
	}
	alice, mallory := put(sealed, "alice"), put(sealed, "mallory")
	a, _ := parseToken(alice.cookie)
	b, _ := parseToken(mallory.cookie)
	recA, _ := mem.Get(t.Context(), a.handle)
	recB, _ := mem.Get(t.Context(), b.handle)
	replaceData := func(handle string, data []byte) {
		rec, err := mem.Get(t.Context(), handle)
		check(t, err)
		rec.Data = data
		_, err = mem.Swap(t.Context(), handle, rec, time.Hour)
		check(t, err)
	}
	// Mallory can write to Redis. He puts his secret's hash, or his user, where they help.
	h, rest, err := parseEnvelope(recA.Data, recA.Deadline)
	check(t, err)
	h.hash = b.secret.digest()
	replaceData(b.handle, append(h.appendTo(nil, recA.Deadline), rest...)) // Alice's session under his handle
	mallory.wants("")
	h, rest, err = parseEnvelope(recB.Data, recB.Deadline)
	check(t, err)
	h.user = "alice"
	replaceData(b.handle, append(h.appendTo(nil, recB.Deadline), rest...))
	mallory.wants("")
	h.flags &^= flagSealed
	replaceData(b.handle, append(h.appendTo(nil, recB.Deadline), "\x80"...))
	mallory.wants("")
	if log.count() != 3 {
		t.Errorf("OnError was told %v", log.errs)
	}
	alice.wants("alice")
	replaceData(b.handle, recB.Data)
	mallory.wants("mallory")

	clear := put(plain, "bob")
	clear.m = sealed
	clear.wants("")
	alice.m = plain
	alice.wants("")
}

// Keys are rotated: the new one is added, then used, then the old one goes.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	mem := newMemory(t)
	b := newBrowser(t, newManager(t, mem, ManagerOptions{Keys: [][]byte{key(1)}}))
	b.login("alice")
	for _, k := range [][][]byte{{key(1), key(2)}, {key(2), key(1)}, {key(2)}} {
		b.m = newManager(t, mem, ManagerOptions{Keys: k})
		b.visit(func(s *Session[cart]) {
			if s.User() != "alice" {
				t.Errorf("with %d keys the user is %q", len(k), s.User())
			}
			check(t, s.Update(addOne))
		})
	}
	if _, data := b.look(); data.N != 3 {
		t.Errorf("the data is %v", data)
	}
}

// Attack 14: visitors that look at nothing but a page leave nothing behind.
func TestAttackBots(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		store := newStore(t, rdb, Options{})
		m := newManager(t, store, ManagerOptions{})
		b := newBrowser(t, m)
		sent := redistest.Count(t, rdb)
		for i := range 10_000 {
			cookie := ""
			if i%2 == 1 {
				cookie = fmt.Sprintf("bot-%d", i)
			}
			res := b.with(cookie, func(_ http.ResponseWriter, r *http.Request) {
				if i%10 != 0 {
					return
				}
				s, err := m.Get(r.Context())
				check(t, err)
				_ = s.Data()
				check(t, s.Update(func(*cart) error { return nil }))
			})
			if len(res.Header["Set-Cookie"]) != 0 {
				t.Fatalf("bot %d gets a cookie", i)
			}
		}
		if n := sent.RoundTrips(); n != 0 {
			t.Errorf("10,000 bots cost %d round trips", n)
		}
		if found := s.Keys(t, store.o.Prefix+":"); len(found) != 0 {
			t.Errorf("10,000 bots leave the keys %q", found)
		}
	})
}

// Attack 14: however many logins there are at once, no more than MaxPerUser are left.
func TestAttackLoginFlood(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		const most, logins = 3, 40
		m := newManager(t, store, ManagerOptions{MaxPerUser: most})
		browsers := make([]*browser[cart], logins)
		done := make(chan struct{})
		var running atomic.Int64
		running.Store(logins)
		for i := range browsers {
			browsers[i] = newBrowser(t, m)
			go func() {
				browsers[i].login("alice")
				if running.Add(-1) == 0 {
					close(done)
				}
			}()
		}
		<-done
		alive := 0
		for _, b := range browsers {
			if user, _ := b.look(); user == "alice" {
				alive++
			}
		}
		list, err := m.List(t.Context(), "alice")
		if err != nil || len(list) != alive || alive > most || alive == 0 {
			t.Errorf("%d sessions are alive and %d listed, %v; want %d", alive, len(list), err, most)
		}
		browsers[0].login("alice")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != most {
			t.Errorf("after one more login %d are listed, %v; want %d", len(list), err, most)
		}
	})
}

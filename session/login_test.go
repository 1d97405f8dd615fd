package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		m := newManager(t, store, ManagerOptions{})
		b := newBrowser(t, m)
		// All of it in one request, in one go.
		b.visit(func(s *Session[cart]) {
			check(t, s.Update(putItem("tea")))
			check(t, s.Login(t.Context(), "alice"))
			check(t, s.Update(putItem("milk")))
			if s.User() != "alice" || s.Handle() == "" || len(s.Data().Items) != 2 {
				t.Errorf("the session is %v of %q with %v", s, s.User(), s.Data())
			}
		})
		if user, data := b.look(); user != "alice" || len(data.Items) != 2 {
			t.Errorf("%q has %v", user, data)
		}
		// Another user gets nothing of it, and Alice's session is over.
		old := b.cookie
		b.login("bob")
		if user, data := b.look(); user != "bob" || len(data.Items) != 0 || b.cookie[:21] == old[:21] {
			t.Errorf("%q has %v", user, data)
		}
		b.cookie = old
		b.wants("")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 0 {
			t.Errorf("Alice's sessions are %v, %v", list, err)
		}
	})
}

// A login is one, whatever became of the visitor's session while the password was checked.
func TestLoginWhenTheSessionEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *Session[cart]) error{
		"destroyed": func(s *Session[cart]) error { return s.Destroy(context.Background()) },
		"taken":     func(s *Session[cart]) error { return s.Login(context.Background(), "alice") },
		"renewed":   func(s *Session[cart]) error { return s.Renew(context.Background()) },
	} {
		m := newManager(t, newMemory(t), ManagerOptions{})
		b := newBrowser(t, m)
		b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("tea"))) })
		var before, after string
		b.visit(func(one *Session[cart]) {
			before = one.Handle()
			check(t, one.Update(putItem("milk")))
			b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
				other, err := m.Get(r.Context())
				check(t, err)
				check(t, end(other))
			})
			check(t, one.Login(t.Context(), "alice"))
			after = one.Handle()
		})
		if user, data := b.look(); user != "alice" || !slices.Equal(data.Items, []string{"milk"}) || before == after {
			t.Errorf("%s: %q has %v", name, user, data)
		}
	}
}

func TestLoginRefuses(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	res := b.visit(func(s *Session[cart]) {
		for _, user := range []string{"", strings.Repeat("u", maxUser+1)} {
			if err := s.Login(t.Context(), user); err == nil || s.User() != "" {
				t.Errorf("a user of %d bytes is logged in", len(user))
			}
		}
	})
	if len(res.Header["Set-Cookie"]) != 0 {
		t.Errorf("the header is %v", res.Header)
	}
	b.login(strings.Repeat("u", maxUser))
	b.wants(strings.Repeat("u", maxUser))
}

// Attack 5: a login whose credentials were read before RevokeAll does not survive it,
// whether it has one step or two.
func TestLoginRacesRevokeAll(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		m := newManager(t, store, ManagerOptions{})
		revoke := func() { check(t, m.RevokeAll(t.Context(), "alice")) }

		one := newBrowser(t, m)
		res := one.visit(func(s *Session[cart]) {
			revoke() // after the password was read, and before it was found right
			wantErr(t, "Login", s.Login(t.Context(), "alice"), ErrRevoked)
			if s.User() != "" || s.Handle() != "" {
				t.Errorf("the user is %q all the same", s.User())
			}
		})
		if len(res.Header["Set-Cookie"]) != 0 {
			t.Errorf("the header is %v", res.Header)
		}
		one.login("alice")
		one.wants("alice")

		two := newBrowser(t, m)
		first := time.Now()
		two.visit(func(s *Session[cart]) {
			check(t, s.Update(func(c *cart) error { c.State = "alice, without the second factor"; return nil }))
		})
		revoke()
		two.visit(func(s *Session[cart]) {
			wantErr(t, "LoginSince", s.LoginSince(t.Context(), "alice", first), ErrRevoked)
		})
		two.wants("")
		one.wants("")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 0 {
			t.Errorf("there are the sessions %v, %v", list, err)
		}
		// Without clocks: since the session was created.
		for _, since := range []time.Time{{}, time.Now().Add(time.Hour)} {
			two.visit(func(s *Session[cart]) { check(t, s.UpdateNow(t.Context(), putItem("tea"))) })
			revoke()
			two.visit(func(s *Session[cart]) {
				wantErr(t, "LoginSince the beginning", s.LoginSince(t.Context(), "alice", since), ErrRevoked)
			})
		}
		// In Redis the revocation and the login are compared by spans, which one may have
		// to outlast the other by a round trip.
		redistest.Eventually(t, "a login is newer than the revocation", func() (ok bool) {
			two.visit(func(s *Session[cart]) { check(t, s.UpdateNow(t.Context(), putItem("tea"))) })
			two.visit(func(s *Session[cart]) { ok = s.LoginSince(t.Context(), "alice", time.Time{}) == nil })
			return ok
		})
		two.wants("alice")
	})
}

// Attack 5: a session that RevokeAll did not find, because the list was lost, dies
// when its use is noted.
func TestStragglerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory(t)
		store := &brokenStore{Memory: mem}
		m := newManager(t, store, ManagerOptions{Lifetime: 10 * time.Hour})
		b := newBrowser(t, m)
		b.login("alice")
		time.Sleep(time.Second)
		delete(mem.users, "alice")
		check(t, m.RevokeAll(t.Context(), "alice"))
		b.wants("alice") // within TouchEvery
		time.Sleep(2 * time.Minute)
		b.visit(func(s *Session[cart]) {
			if s.User() != "" {
				t.Errorf("after TouchEvery the user is %q", s.User())
			}
			wantErr(t, "Update", s.Update(addOne), ErrNotFound)
		})
		b.wants("")
		if len(mem.records) != 0 {
			t.Errorf("there are %d records", len(mem.records))
		}
	})
}

// Attack 5: a list that was lost is healed by use.
func TestIndexHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory(t)
		m := newManager(t, mem, ManagerOptions{})
		b := newBrowser(t, m)
		b.login("alice")
		delete(mem.users, "alice")
		time.Sleep(2 * time.Minute)
		b.wants("alice")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 1 {
			t.Errorf("Alice's sessions are %v, %v", list, err)
		}
		check(t, m.RevokeAll(t.Context(), "alice"))
		b.wants("")
	})
}

// Attack 5: between record and index: a login that dies there leaves nothing that anybody
// could use.
func TestLoginWithoutIndex(t *testing.T) {
	t.Parallel()
	for _, down := range []error{nil, ErrUnavailable} {
		log := new(errorLog)
		store := &brokenStore{Memory: newMemory(t)}
		m := newManager(t, store, ManagerOptions{OnError: log.add})
		b := newBrowser(t, m)
		b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		old := b.cookie
		store.addUser, store.remove = ErrUnavailable, down
		res := b.visit(func(s *Session[cart]) {
			wantErr(t, "Login", s.Login(t.Context(), "alice"), ErrUnavailable)
			if s.User() != "" {
				t.Errorf("the user is %q", s.User())
			}
		})
		if len(res.Header["Set-Cookie"]) != 0 || b.cookie != old {
			t.Errorf("the header is %v", res.Header)
		}
		store.addUser, store.remove = nil, nil
		b.wants("")
		if n := len(store.records); n != map[bool]int{true: 0, false: 1}[down == nil] {
			t.Errorf("there are %d records", n)
		}
		b.login("alice")
		b.wants("alice")
	}
}

func TestListAndRevoke(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		m := newManager(t, store, ManagerOptions{Device: func(r *http.Request) string { return "the " + r.UserAgent() }})
		alice := []*browser[cart]{newBrowser(t, m), newBrowser(t, m), newBrowser(t, m)}
		handles := make([]string, len(alice))
		began := time.Now()
		for i, b := range alice {
			b.login("alice")
			tok, _ := parseToken(b.cookie)
			handles[i] = tok.handle
		}
		bob := newBrowser(t, m)
		bob.login("bob")
		list, err := m.List(t.Context(), "alice")
		if err != nil || len(list) != 3 {
			t.Fatalf("List() = %+v, %v", list, err)
		}
		for _, info := range list {
			around := func(at time.Time, want time.Duration) bool {
				return at.After(began.Add(want-time.Second)) && at.Before(time.Now().Add(want+time.Second))
			}
			if !slices.Contains(handles, info.Handle) || info.Device != "the Firefox" || !around(info.Created, 0) || !around(info.Login, 0) ||
				!around(info.Seen, 0) || !around(info.Deadline, 24*time.Hour) {
				t.Errorf("a session is %+v", info)
			}
		}
		wantErr(t, "Revoke of another user's", m.Revoke(t.Context(), "bob", handles[0]), ErrNotFound)
		wantErr(t, "Revoke of nobody's", m.Revoke(t.Context(), "", handles[0]), ErrNotFound)
		wantErr(t, "Revoke of none", m.Revoke(t.Context(), "alice", "none"), ErrNotFound)
		check(t, m.Revoke(t.Context(), "alice", handles[0]))
		wantErr(t, "Revoke again", m.Revoke(t.Context(), "alice", handles[0]), ErrNotFound)
		alice[0].wants("")
		alice[1].wants("alice")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 2 {
			t.Errorf("after Revoke List() = %+v, %v", list, err)
		}
		check(t, m.RevokeAll(t.Context(), "alice", handles[1]))
		alice[1].wants("alice")
		alice[2].wants("")
		bob.wants("bob")
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 1 || list[0].Handle != handles[1] {
			t.Errorf("after RevokeAll List() = %+v, %v", list, err)
		}
		// As after a change of password: the excepted one goes on, under a new secret.
		alice[1].visit(func(s *Session[cart]) { check(t, s.Renew(t.Context())) })
		alice[1].wants("alice")
	})
}

// plainStore is a Store that is no UserIndex.
type plainStore struct{ Store }

func TestWithoutUserIndex(t *testing.T) {
	t.Parallel()
	m := newManager(t, plainStore{newMemory(t)}, ManagerOptions{TouchEvery: -1})
	b := newBrowser(t, m)
	b.login("alice")
	b.wants("alice")
	_, err := m.List(t.Context(), "alice")
	for what, err := range map[string]error{"List": err, "Revoke": m.Revoke(t.Context(), "alice", "h"), "RevokeAll": m.RevokeAll(t.Context(), "alice")} {
		wantErr(t, what, err, errors.ErrUnsupported)
	}
	b.visit(func(s *Session[cart]) { check(t, s.Destroy(t.Context())) })
	b.wants("")
}

func TestRequireLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Memory: newMemory(t)}
		m := newManager(t, store, ManagerOptions{Idle: time.Hour})
		b := newBrowser(t, m)
		ask := func(within time.Duration) int {
			return b.do(func(w http.ResponseWriter, r *http.Request) {
				m.RequireLogin(within)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := m.Get(r.Context())
					check(t, err)
					fmt.Fprint(w, s.User())
				})).ServeHTTP(w, r)
			}).StatusCode
		}
		wants := func(when string, within time.Duration, want int) {
			t.Helper()
			if got := ask(within); got != want {
				t.Errorf("%s, within %v: status %d, want %d", when, within, got, want)
			}
		}
		wants("before the login", 0, 401)
		b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		wants("with a session of nobody", 0, 401)
		b.login("alice")
		wants("after it", 0, 200)
		wants("after it", time.Minute, 200)
		time.Sleep(2 * time.Minute)
		wants("later", 0, 200)
		wants("later", time.Minute, 401)
		b.visit(func(s *Session[cart]) { check(t, s.Renew(t.Context())) })
		wants("after Renew, which is no login", time.Minute, 401)
		b.login("alice")
		wants("after another login", time.Minute, 200)
		store.get = ErrUnavailable
		wants("when Redis is away", 0, 503)
		store.get = nil
		wants("when it is back", 0, 200)
	})
}

// What ends a session, by the clock.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, newMemory(t), ManagerOptions{})
		idle, busy := newBrowser(t, m), newBrowser(t, m)
		idle.login("alice")
		busy.login("alice")
		time.Sleep(29*time.Minute + 59*time.Second)
		idle.wants("alice")
		time.Sleep(30*time.Minute + time.Second)
		idle.wants("")
		// Attack 9: use keeps it alive, until the deadline.
		busy.login("alice")
		began := time.Now()
		for time.Since(began) < 23*time.Hour+45*time.Minute {
			time.Sleep(15 * time.Minute)
			busy.wants("alice")
			busy.visit(func(s *Session[cart]) { check(t, s.Update(addOne)); check(t, s.Renew(t.Context())) })
		}
		time.Sleep(time.Until(began.Add(24*time.Hour - time.Second)))
		busy.wants("alice")
		time.Sleep(2 * time.Second)
		busy.wants("")
		// A login begins anew.
		busy.login("alice")
		time.Sleep(20 * time.Minute)
		busy.login("alice")
		began = time.Now()
		for time.Since(began) < 23*time.Hour+30*time.Minute {
			time.Sleep(20 * time.Minute)
			busy.wants("alice")
		}
		time.Sleep(time.Until(began.Add(24 * time.Hour)))
		busy.wants("")
	})
}

// A request that only reads writes nothing within TouchEvery; a stream that reloads is no
// use.
func TestTouchEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory(t)
		m := newManager(t, mem, ManagerOptions{})
		b := newBrowser(t, m)
		b.login("alice")
		tok, _ := parseToken(b.cookie)
		seen := func() time.Time {
			rec, err := mem.Get(t.Context(), tok.handle)
			check(t, err)
			return rec.Seen
		}
		before := seen()
		time.Sleep(59 * time.Second)
		b.wants("alice")
		if !seen().Equal(before) {
			t.Error("the use is noted within TouchEvery")
		}
		time.Sleep(time.Second)
		b.visit(func(s *Session[cart]) {
			if !seen().Equal(time.Now()) {
				t.Errorf("the use is noted as of %v, want %v", seen(), time.Now())
			}
			before := seen()
			time.Sleep(10 * time.Minute)
			check(t, s.Reload(t.Context()))
			if !seen().Equal(before) {
				t.Error("Reload is noted as use")
			}
			time.Sleep(21 * time.Minute)
			wantErr(t, "Reload after Idle", s.Reload(t.Context()), ErrNotFound)
			if s.User() != "" {
				t.Errorf("the user is %q", s.User())
			}
		})
		if n := m.Stats().Touched; n != 1 {
			t.Errorf("Stats count %d", n)
		}
	})
}

// Destroy may be called at any time, and by several.
func TestDestroy(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		m := newManager(t, store, ManagerOptions{})
		b := newBrowser(t, m)
		res := b.visit(func(s *Session[cart]) { check(t, s.Destroy(t.Context())) })
		if len(res.Header["Set-Cookie"]) != 0 {
			t.Errorf("for a visitor it has the header %v", res.Header)
		}
		b.login("alice")
		old := b.cookie
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				res := b.with(old, func(_ http.ResponseWriter, r *http.Request) {
					s, err := m.Get(r.Context())
					check(t, err)
					check(t, s.Update(addOne))
					check(t, s.Destroy(t.Context()))
					check(t, s.Destroy(t.Context()))
					wantErr(t, "Update after Destroy", s.Update(addOne), ErrNotFound)
					wantErr(t, "UpdateNow after Destroy", s.UpdateNow(t.Context(), addOne), ErrNotFound)
					wantErr(t, "Renew after Destroy", s.Renew(t.Context()), ErrNotFound)
					wantErr(t, "Reload after Destroy", s.Reload(t.Context()), ErrNotFound)
					if s.User() != "" || s.Handle() != "" || s.Data().N != 0 {
						t.Errorf("after Destroy it is of %q with %v", s.User(), s.Data())
					}
				})
				if c := res.Cookies(); res.StatusCode != 200 || len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" {
					t.Errorf("status %d, header %v", res.StatusCode, res.Header)
				}
			})
		}
		all.Wait()
		b.wants("")
		// The next login has nothing to do with it.
		b.visit(func(s *Session[cart]) {
			check(t, s.Destroy(t.Context()))
			check(t, s.Login(t.Context(), "bob"))
		})
		b.wants("bob")
	})
}

// A session that writes at every request is checked for revocation no less than one that
// reads: a write moves Seen too, and must not take the place of the check.
func TestWritingStragglerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory(t)
		m := newManager(t, mem, ManagerOptions{Lifetime: 10 * time.Hour})
		b := newBrowser(t, m)
		b.login("alice")
		time.Sleep(time.Second)
		delete(mem.users, "alice") // evicted
		check(t, m.RevokeAll(t.Context(), "alice"))
		for range 10 {
			time.Sleep(30 * time.Second)
			b.do(func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				if s.User() != "" {
					_ = s.Update(addOne)
				}
			})
		}
		b.wants("")
		if len(mem.records) != 0 {
			t.Errorf("there are %d records", len(mem.records))
		}
	})
}

// … and its list is healed.
func TestWritingHealsTheIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory(t)
		m := newManager(t, mem, ManagerOptions{Lifetime: 10 * time.Hour})
		b := newBrowser(t, m)
		b.login("alice")
		delete(mem.users, "alice")
		for range 10 {
			time.Sleep(30 * time.Second)
			b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		}
		if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 1 {
			t.Errorf("Alice's sessions are %v, %v", list, err)
		}
	})
}

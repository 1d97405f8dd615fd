package session

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

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

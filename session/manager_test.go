package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSession(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	if res := b.visit(func(s *Session[cart]) {
		if s.User() != "" || s.Handle() != "" || len(s.Data().Items) != 0 {
			t.Errorf("a visitor has the session %q of %q with %v", s.Handle(), s.User(), s.Data())
		}
	}); cookieOf(res) != "" || res.Header.Get("Vary") != "Cookie" {
		t.Errorf("a visitor gets the header %v", res.Header)
	}
	res := b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("tea"))) })
	first := cookieOf(res)
	if len(first) != tokenLen || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the first update has the header %v", res.Header)
	}
	if res := b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("milk"))) }); cookieOf(res) != "" {
		t.Errorf("another update sets the cookie %v", res.Header)
	}
	res = b.login("alice")
	if cookieOf(res) == "" || cookieOf(res) == first || cookieOf(res)[:21] != first[:21] {
		t.Errorf("the token was %s and is %s, want one with another secret", first, cookieOf(res))
	}
	if user, data := b.look(); user != "alice" || strings.Join(data.Items, " ") != "tea milk" {
		t.Errorf("after the login %q has %v", user, data)
	}
	res = b.visit(func(s *Session[cart]) { check(t, s.Destroy(t.Context())) })
	if c := res.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("a logout has the header %v", res.Header)
	}
	b.wants("")
}

var errNo = errors.New("no")

func TestUpdateFails(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	b.visit(func(s *Session[cart]) {
		check(t, s.Update(putItem("tea")))
		before := s.Data()
		wantErr(t, "Update", s.Update(func(c *cart) error { c.Items[0], c.Theme = "coffee", "dark"; return errNo }), errNo)
		wantErr(t, "UpdateNow", s.UpdateNow(t.Context(), func(c *cart) error { c.Items[0], c.Theme = "coffee", "dark"; return errNo }), errNo)
		if got := s.Data(); got.Items[0] != "tea" || got.Theme != "" || before.Items[0] != "tea" {
			t.Errorf("after an update that failed the data is %v, and what was read before %v", got, before)
		}
	})
	if _, data := b.look(); len(data.Items) != 1 || data.Items[0] != "tea" {
		t.Errorf("saved is %v", data)
	}
}

func TestMiddlewareMissing(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	if s, err := m.Get(t.Context()); err == nil {
		t.Errorf("Get without the middleware = %v", s)
	}
	other := newManager(t, newMemory(t), ManagerOptions{Cookie: Cookie{Name: "other"}})
	b := newBrowser(t, m)
	b.do(func(w http.ResponseWriter, r *http.Request) {
		other.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			a, err := m.Get(r.Context())
			check(t, err)
			b, err := other.Get(r.Context())
			check(t, err)
			if a == b {
				t.Error("two managers have one session")
			}
		})).ServeHTTP(w, r)
	})
}

// panicking is an index with a mistake.
type panicking struct{ *Memory }

func (panicking) CheckUser(context.Context, string, string, time.Time) error { panic("oops") }

// A panic of the index, which is asked beside the store, ends the request only.
func TestIndexPanics(t *testing.T) {
	t.Parallel()
	m := newManager(t, panicking{newMemory(t)}, ManagerOptions{TouchEvery: -1})
	b := newBrowser(t, m)
	b.login("alice")
	defer func() {
		if p := recover(); p != "oops" {
			t.Errorf("the request panics with %v", p)
		}
	}()
	b.visit(func(*Session[cart]) {})
}

// leaving is a store whose client goes away while the use of its session is noted.
type leaving struct {
	*Memory
	leave func()
}

func (s *leaving) Touch(context.Context, string, Record, time.Duration) error {
	s.leave()
	return context.Canceled
}

// That is no error that anybody could do something about.
func TestClientGoneWhileTouching(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	store := &leaving{newMemory(t), cancel}
	m := newManager(t, store, ManagerOptions{TouchEvery: -1}) // its OnError fails the test
	b := newBrowser(t, m)
	b.login("alice")
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("Cookie", m.jar.name+"="+b.cookie)
	m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := m.Get(r.Context()); err != nil {
			t.Errorf("Get = %v", err)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

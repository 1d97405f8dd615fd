package session

import (
	"context"
	"net/http"
	"net/http/httptest"
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

// lostReplies does what it is asked to and says that it does not know.
type lostReplies struct {
	*Memory
	lose bool
}

func (s *lostReplies) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	rec, err := s.Memory.Swap(ctx, handle, r, ttl)
	if s.lose && err == nil {
		s.lose = false
		return Record{}, ErrUnknownOutcome
	}
	return rec, err
}

// What UpdateNow may have saved together with its own is not saved again with the
// response.
func TestUnknownOutcomeIsNotRepeated(t *testing.T) {
	t.Parallel()
	store := &lostReplies{Memory: newMemory(t)}
	m := newManager(t, store, ManagerOptions{})
	b := newBrowser(t, m)
	b.login("alice")
	b.visit(func(s *Session[cart]) {
		check(t, s.Update(addOne))
		store.lose = true
		wantErr(t, "UpdateNow", s.UpdateNow(t.Context(), putItem("tea")), ErrUnknownOutcome)
	})
	if _, data := b.look(); data.N != 1 || len(data.Items) != 1 {
		t.Errorf("the data is %+v", data)
	}
}

// What the client was told has failed is not saved by what the handler does later.
func TestFailedSaveIsNotRepeated(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Memory: newMemory(t)}
	m := newManager(t, store, ManagerOptions{OnError: func(error) {}})
	b := newBrowser(t, m)
	b.login("alice")
	res := b.do(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		check(t, s.Update(addOne))
		store.swap = ErrUnavailable
		_, _ = w.Write([]byte("bought"))
		store.swap = nil
		check(t, s.UpdateNow(r.Context(), putItem("an attempt")))
	})
	if _, data := b.look(); res.StatusCode != 503 || data.N != 0 || len(data.Items) != 1 {
		t.Errorf("status %d, and the data is %+v", res.StatusCode, data)
	}
}

// A secret that has replaced another reaches the client, whatever fails after that.
func TestCookieInSpiteOfFailedSave(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Memory: newMemory(t)}
	m := newManager(t, store, ManagerOptions{OnError: func(error) {}})
	b := newBrowser(t, m)
	b.login("alice")
	res := b.visit(func(s *Session[cart]) {
		check(t, s.Renew(t.Context()))
		check(t, s.Update(addOne))
		store.swap = ErrUnavailable
	})
	store.swap = nil
	if res.StatusCode != 503 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, header %v", res.StatusCode, res.Header)
	}
	b.wants("alice")
}

// forgetful is a store whose failover lost a login, and whose record had another since.
type forgetful struct {
	*Memory
	before func()
}

func (s *forgetful) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	return s.Memory.Swap(ctx, handle, r, ttl)
}

// After a failover that lost a login, the session may be another user's by the same
// number: nothing of the first one's is put on it.
func TestReplayOntoAnotherUser(t *testing.T) {
	t.Parallel()
	mem := newMemory(t)
	store := &forgetful{Memory: mem}
	m := newManager(t, store, ManagerOptions{})
	b := newBrowser(t, m)
	b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
	anonymous := b.cookie
	tok, _ := parseToken(anonymous)
	snapshot := mem.records[tok.handle].Record
	b.login("alice")
	other := newBrowser(t, m)
	res := b.visit(func(s *Session[cart]) {
		check(t, s.Update(putItem("alice's secret")))
		store.before = func() {
			mem.records[tok.handle].Record = snapshot
			other.cookie = anonymous
			other.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
			other.login("bob")
			other.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		}
	})
	if user, data := other.look(); user != "bob" || len(data.Items) != 0 {
		t.Errorf("status %d; %s has %+v", res.StatusCode, user, data)
	}
}

// A request whose time is over could not reach the session: that is not a mistake of the
// server's.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		store := &brokenStore{Memory: newMemory(t), get: err}
		m := newManager(t, store, ManagerOptions{})
		tok := newToken()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", m.jar.name+"="+tok.cookieValue())
		w := httptest.NewRecorder()
		m.Middleware(m.RequireLogin(0)(http.NotFoundHandler())).ServeHTTP(w, r)
		if w.Code != 503 {
			t.Errorf("%v: status %d", err, w.Code)
		}
	}
}

// A response that depends on whether the session could be read depends on the cookie.
func TestVaryWhenAway(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Memory: newMemory(t), get: ErrUnavailable}
	m := newManager(t, store, ManagerOptions{})
	tok := newToken()
	b := newBrowser(t, m)
	res := b.with(tok.cookieValue(), func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Get(r.Context()); err == nil {
			t.Error("Get succeeds")
		}
		w.WriteHeader(200) // the page without a name
	})
	if res.Header.Get("Vary") != "Cookie" {
		t.Errorf("header %v", res.Header)
	}
}

// An Unmarshal that keeps what it is given does no harm: an update in place is saved.
func TestUnmarshalThatKeeps(t *testing.T) {
	t.Parallel()
	m, err := NewManager[[]byte](newMemory(t), &ManagerOptions{
		Marshal:   func(v any) ([]byte, error) { return *v.(*[]byte), nil },
		Unmarshal: func(b []byte, v any) error { *v.(*[]byte) = b; return nil },
	})
	check(t, err)
	b := newBrowser(t, m)
	b.visit(func(s *Session[[]byte]) { check(t, s.Update(func(v *[]byte) error { *v = []byte("tea"); return nil })) })
	b.visit(func(s *Session[[]byte]) { check(t, s.Update(func(v *[]byte) error { (*v)[0] = 's'; return nil })) })
	if _, data := b.look(); string(data) != "sea" {
		t.Errorf("the data is %q", data)
	}
}

// Around a handler that is inside of the middleware twice there is one session.
func TestMiddlewareTwice(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			check(t, err)
			check(t, s.Update(putItem("outer")))
			next.ServeHTTP(w, r)
		})
	}
	h := m.Middleware(outer(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		check(t, s.Update(putItem("inner")))
	}))))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	b := newBrowser(t, m)
	b.keep(w.Result())
	if _, data := b.look(); len(data.Items) != 2 {
		t.Errorf("the data is %+v", data)
	}
}

// hanging is a store that answers nobody, and goes by its callers' contexts.
type hanging struct {
	*Memory
	hang bool
}

func (s *hanging) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	if s.hang {
		<-ctx.Done()
		return Record{}, ErrUnavailable
	}
	return s.Memory.Swap(ctx, handle, r, ttl)
}

// A save goes on without the client, but not for ever.
func TestDetachedSaveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Memory: newMemory(t)}
		m := newManager(t, store, ManagerOptions{})
		b := newBrowser(t, m)
		b.login("alice")
		store.hang = true
		start := time.Now()
		res := b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		if took := time.Since(start); took != maxDetached || res.StatusCode != 503 {
			t.Errorf("status %d after %v", res.StatusCode, took)
		}
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

package session

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

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

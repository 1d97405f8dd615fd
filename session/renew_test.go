package session

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// reuseLog is an OnReuse that keeps what it is told.
type reuseLog struct {
	mu sync.Mutex
	of []string
}

func (l *reuseLog) add(_ context.Context, user, _ string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of = append(l.of, user)
}

func (l *reuseLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.of)
}

// userWith returns whose session a cookie is, and what cookie comes back.
func userWith(t testing.TB, b *browser[cart], cookie string) (user, set string) {
	t.Helper()
	res := b.with(cookie, func(_ http.ResponseWriter, r *http.Request) {
		s, err := b.m.Get(r.Context())
		check(t, err)
		user = s.User()
	})
	return user, cookieOf(res)
}

// Attack 8: parallel requests at a rotation get one cookie, and nobody is logged out; on
// every store.
func TestRotationInParallel(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store Store) {
		const requests = 20
		m := newManager(t, store, ManagerOptions{RenewEvery: time.Millisecond})
		m.o.RenewGrace = time.Minute // which would be longer than RenewEvery
		b := newBrowser(t, m)
		b.login("alice")
		redistest.Eventually(t, "RenewEvery passes", func() bool { return time.Since(m.mustRenewed(t, b.cookie)) > 2*time.Millisecond })
		var all, loaded sync.WaitGroup
		loaded.Add(requests)
		cookies := make([]string, requests)
		for i := range requests {
			all.Go(func() {
				cookies[i] = cookieOf(b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
					s, err := m.Get(r.Context())
					check(t, err)
					if s.User() != "alice" {
						t.Errorf("request %d is of %q", i, s.User())
					}
					if i%4 == 0 {
						check(t, s.Update(addOne))
					}
					loaded.Done()
					loaded.Wait()
				}))
			})
		}
		all.Wait()
		for i, c := range cookies {
			if c == "" || c == b.cookie || c != cookies[0] {
				t.Errorf("request %d got the cookie %.12s, the first %.12s, before it was %.12s", i, c, cookies[0], b.cookie)
			}
		}
		m.o.RenewEvery = time.Hour
		b.cookie = cookies[0]
		if user, data := b.look(); user != "alice" || data.N != requests/4 {
			t.Errorf("afterwards %q has %v", user, data)
		}
	})
}

// mustRenewed returns when the secret of a session was made.
func (m *Manager[T]) mustRenewed(t testing.TB, cookie string) time.Time {
	t.Helper()
	tok, _ := parseToken(cookie)
	rec, err := m.store.Get(t.Context(), tok.handle)
	check(t, err)
	h, _, err := parseEnvelope(rec.Data, rec.Deadline)
	check(t, err)
	return h.renewed
}

// rotating is a session of alice whose secret is due.
func rotating(t *testing.T, o ManagerOptions) (b *browser[cart], reused *reuseLog) {
	reused = new(reuseLog)
	o.RenewEvery, o.OnReuse = 15*time.Minute, reused.add
	b = newBrowser(t, newManager(t, newMemory(t), o))
	b.login("alice")
	time.Sleep(15 * time.Minute)
	return b, reused
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reused := rotating(t, ManagerOptions{})
		first := b.cookie
		b.wants("alice")
		second := b.cookie
		if second == first || second[:21] != first[:21] {
			t.Fatalf("after RenewEvery the cookie was %s and is %s", first, second)
		}
		// The response may be lost. The old one leads to the same new one, for Idle.
		time.Sleep(10 * time.Minute)
		if user, set := userWith(t, b, first); user != "alice" || set != second {
			t.Errorf("before the new secret was used, the old one is %q's and gets %.12s, want %.12s", user, set, second)
		}
		if user, set := userWith(t, b, second); user != "alice" || set != "" {
			t.Errorf("the new secret is %q's and gets %q", user, set)
		}
		// From then on there is the grace, for requests that were under way.
		time.Sleep(29 * time.Second)
		if user, set := userWith(t, b, first); user != "alice" || set != second {
			t.Errorf("within the grace, the old secret is %q's and gets %.12s", user, set)
		}
		time.Sleep(2 * time.Second)
		if reused.count() != 0 {
			t.Errorf("OnReuse was told %v", reused.of)
		}
		// Attack 8: theft replay.
		for n := range 2 {
			if user, set := userWith(t, b, first); user != "" || set != "" || reused.count() != n+1 || reused.of[0] != "alice" {
				t.Errorf("after the grace, the old secret is %q's and gets %.12s; OnReuse was told %v", user, set, reused.of)
			}
		}
		b.wants("alice")
		if n := b.m.Stats(); n.Reused != 2 || n.Renewed != 1 {
			t.Errorf("Stats are %+v", n)
		}
	})
}

// Attack 8: a response that was lost logs nobody out, also when the client is idle for
// longer than the grace, and is no reuse.
func TestRotationLostResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reused := rotating(t, ManagerOptions{})
		first := b.cookie
		_, second := userWith(t, b, first) // which nobody receives
		for range 2 {
			time.Sleep(12 * time.Minute)
			if user, set := userWith(t, b, first); user != "alice" || set != second {
				t.Errorf("the old secret is %q's and gets %q, want %q", user, set, second)
			}
		}
		if reused.count() != 0 {
			t.Errorf("OnReuse was told %v", reused.of)
		}
		// That is not for ever: a client that will not take the new one is none.
		time.Sleep(7 * time.Minute)
		if user, _ := userWith(t, b, first); user != "" || reused.count() != 1 {
			t.Errorf("Idle after the rotation the old secret is %q's, OnReuse was told %v", user, reused.of)
		}
		b.cookie = second
		b.wants("alice")
	})
}

func TestRotationWithoutGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reused := rotating(t, ManagerOptions{RenewGrace: -1})
		first := b.cookie
		b.wants("alice")
		if user, _ := userWith(t, b, first); user != "alice" {
			t.Errorf("before the new secret was used the old one is %q's", user)
		}
		b.wants("alice")
		if user, _ := userWith(t, b, first); user != "" || reused.count() != 1 {
			t.Errorf("then it is %q's, OnReuse was told %v", user, reused.of)
		}
	})
}

// Login and Renew end what a rotation began: the grace does not apply to them.
func TestRotationThenRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(errorLog)
		b, reused := rotating(t, ManagerOptions{OnError: log.add})
		first := b.cookie
		b.wants("alice")
		second := b.cookie
		b.visit(func(s *Session[cart]) { check(t, s.Renew(t.Context())) })
		for _, old := range []string{first, second} {
			if user, set := userWith(t, b, old); user != "" || set != "" {
				t.Errorf("after Renew an old secret is %q's and gets %q", user, set)
			}
		}
		if reused.count() != 0 || log.count() != 2 || !log.has(ErrWrongSecret) {
			t.Errorf("OnReuse was told %v, OnError %v", reused.of, log.errs)
		}
		b.wants("alice")
	})
}

// A slow request that two rotations overtook keeps what it does; its secret is good for
// nothing else.
func TestRotationOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(errorLog)
		b, reused := rotating(t, ManagerOptions{OnError: log.add})
		old := b.cookie
		res := b.with(old, func(_ http.ResponseWriter, r *http.Request) {
			s, err := b.m.Get(r.Context())
			check(t, err)
			check(t, s.Update(putItem("slow")))
			for range 2 {
				b.visit(func(s *Session[cart]) { check(t, s.Update(putItem("fast"))) })
				time.Sleep(16 * time.Minute)
				b.wants("alice")
			}
		})
		if res.StatusCode != 200 || cookieOf(res) != "" {
			t.Errorf("the slow request: status %d, header %v", res.StatusCode, res.Header)
		}
		if _, data := b.look(); len(data.Items) != 3 {
			t.Errorf("the data is %v", data)
		}
		res = b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			s, err := b.m.Get(r.Context())
			check(t, err)
			check(t, s.Reload(t.Context()))
			for range 2 {
				time.Sleep(16 * time.Minute)
				b.wants("alice")
				time.Sleep(time.Minute)
				b.wants("alice")
			}
			wantErr(t, "Reload of a stream after two rotations", s.Reload(t.Context()), ErrNotFound)
		})
		if cookieOf(res) != "" || reused.count() != 0 {
			t.Errorf("header %v, OnReuse was told %v", res.Header, reused.of)
		}
	})
}

// A rotation that does not succeed harms nobody.
func TestRotationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(errorLog)
		mem := newMemory(t)
		store := &brokenStore{Memory: mem}
		m := newManager(t, store, ManagerOptions{RenewEvery: 15 * time.Minute, OnError: log.add})
		b := newBrowser(t, m)
		b.login("alice")
		old := b.cookie
		time.Sleep(16 * time.Minute)
		store.swap = ErrUnavailable
		if res := b.visit(func(*Session[cart]) {}); res.StatusCode != 200 || cookieOf(res) != "" || !log.has(ErrUnavailable) {
			t.Errorf("status %d, header %v, OnError was told %v", res.StatusCode, res.Header, log.errs)
		}
		store.swap = nil
		b.wants("alice")
		if b.cookie == old {
			t.Error("the next request does not rotate")
		}
	})
}

// brokenStore fails where it is told to.
type brokenStore struct {
	*Memory

	get, create, swap, touch, remove, addUser, checkUser error
}

func (s *brokenStore) Get(ctx context.Context, handle string) (Record, error) {
	if s.get != nil {
		return Record{}, s.get
	}
	return s.Memory.Get(ctx, handle)
}

func (s *brokenStore) Create(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	if s.create != nil {
		return Record{}, s.create
	}
	return s.Memory.Create(ctx, handle, r, ttl)
}

func (s *brokenStore) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	if s.swap != nil {
		return Record{}, s.swap
	}
	return s.Memory.Swap(ctx, handle, r, ttl)
}

func (s *brokenStore) Touch(ctx context.Context, handle string, r Record, ttl time.Duration) error {
	if s.touch != nil {
		return s.touch
	}
	return s.Memory.Touch(ctx, handle, r, ttl)
}

func (s *brokenStore) Delete(ctx context.Context, handles ...string) error {
	if s.remove != nil {
		return s.remove
	}
	return s.Memory.Delete(ctx, handles...)
}

func (s *brokenStore) AddUser(ctx context.Context, user, handle string, since, deadline time.Time, most int) ([]string, error) {
	if s.addUser != nil {
		return nil, s.addUser
	}
	return s.Memory.AddUser(ctx, user, handle, since, deadline, most)
}

func (s *brokenStore) CheckUser(ctx context.Context, user, handle string, deadline time.Time) error {
	if s.checkUser != nil {
		return s.checkUser
	}
	return s.Memory.CheckUser(ctx, user, handle, deadline)
}

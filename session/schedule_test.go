package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// scheduled is a store that lets the test decide, at every call, whose turn it is.
type scheduled struct {
	*Memory

	mu     sync.Mutex
	parked []chan struct{}

	secret secret // that of all requests
	handle string // … and of the session they are about
	late   int    // writes to it that succeeded when their secret was not good any more
}

// good reports whether the requests may write now.
func (s *scheduled) good() bool {
	rec, err := s.Memory.Get(context.Background(), s.handle)
	if err != nil {
		return false
	}
	e, _, err := parseEnvelope(rec.Data, rec.Deadline)
	return err == nil && e.placeOf(&s.secret, time.Now()) == current
}

// wrote notes whether a write was in time; good is from just before it.
func (s *scheduled) wrote(handle string, good bool, err error) {
	if handle == s.handle && !good && err == nil {
		s.late++
	}
}

// turn waits until the schedule comes to the caller.
func (s *scheduled) turn() {
	c := make(chan struct{})
	s.mu.Lock()
	s.parked = append(s.parked, c)
	s.mu.Unlock()
	<-c
}

// run lets those who wait go on one by one, in random order, until stop is closed.
func (s *scheduled) run(r *rand.Rand, stop <-chan struct{}) {
	for {
		synctest.Wait() // until everybody is parked, asleep or done
		select {
		case <-stop:
			return
		default:
		}
		s.mu.Lock()
		var next chan struct{}
		if n := len(s.parked); n > 0 {
			i := r.IntN(n)
			next = s.parked[i]
			s.parked[i] = s.parked[n-1]
			s.parked = s.parked[:n-1]
		}
		s.mu.Unlock()
		if next == nil {
			time.Sleep(time.Millisecond) // somebody pauses before another try
			continue
		}
		close(next)
	}
}

func (s *scheduled) Get(ctx context.Context, handle string) (Record, error) {
	s.turn()
	return s.Memory.Get(ctx, handle)
}

func (s *scheduled) Create(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	s.turn()
	return s.Memory.Create(ctx, handle, r, ttl)
}

func (s *scheduled) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	s.turn()
	good := s.good()
	rec, err := s.Memory.Swap(ctx, handle, r, ttl)
	s.wrote(handle, good, err)
	return rec, err
}

func (s *scheduled) Touch(ctx context.Context, handle string, r Record, ttl time.Duration) error {
	s.turn()
	good := s.good()
	err := s.Memory.Touch(ctx, handle, r, ttl)
	s.wrote(handle, good, err)
	return err
}

func (s *scheduled) Delete(ctx context.Context, handles ...string) error {
	s.turn()
	return s.Memory.Delete(ctx, handles...)
}

func (s *scheduled) AddUser(ctx context.Context, user, handle string, since, deadline time.Time, most int) ([]string, error) {
	s.turn()
	return s.Memory.AddUser(ctx, user, handle, since, deadline, most)
}

func (s *scheduled) CheckUser(ctx context.Context, user, handle string, deadline time.Time) error {
	s.turn()
	return s.Memory.CheckUser(ctx, user, handle, deadline)
}

func (s *scheduled) RemoveUser(ctx context.Context, user string, handles ...string) error {
	s.turn()
	return s.Memory.RemoveUser(ctx, user, handles...)
}

func (s *scheduled) RevokeUser(ctx context.Context, user string, until time.Time, except ...string) (int, error) {
	s.turn()
	return s.Memory.RevokeUser(ctx, user, until, except...)
}

// chronicle is what happened to one session that several requests use at once.
type chronicle struct {
	mu     sync.Mutex
	added  int             // updates that were acknowledged for the handle of the beginning
	ended  bool            // Destroy, Revoke or RevokeAll has returned for it
	live   map[string]bool // tokens that were handed out
	handle string

	ends, renewed int // for a sum of histories
}

func (h *chronicle) note(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// visits are what requests do. Each is given a session of which nothing is known.
var visits = []func(t *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]){
	func(_ *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // save
		ours := false
		res := b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			if s, err := m.Get(r.Context()); err == nil {
				ours = s.Update(addOne) == nil && s.Handle() == h.handle
			}
		})
		if ours && res.StatusCode == 200 {
			h.note(func() { h.added++ })
		}
	},
	func(_ *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // save at once
		b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			if s, err := m.Get(r.Context()); err == nil && s.Handle() == h.handle && s.UpdateNow(r.Context(), addOne) == nil {
				h.note(func() { h.added++ })
			}
		})
	},
	func(_ *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // late save
		var log errorLog
		m.o.OnError = log.add
		ours := false
		b.with(b.cookie, func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			w.WriteHeader(200)
			ours = err == nil && s.Update(addOne) == nil && s.Handle() == h.handle
		})
		if ours && !log.has(ErrNotFound) && !log.has(ErrConflict) {
			h.note(func() { h.added++ })
		}
	},
	func(_ *testing.T, _ *chronicle, b *browser[cart], m *Manager[cart]) { // slow reader, which touches
		b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) { _, _ = m.Get(r.Context()) })
	},
	func(_ *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // step-up
		renewed := false
		res := b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			if s, err := m.Get(r.Context()); err == nil && s.Handle() == h.handle {
				renewed = s.Renew(r.Context()) == nil
			}
		})
		if c := cookieOf(res); renewed && c != "" {
			h.note(func() { h.live[c] = true })
		}
	},
	func(_ *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // login again
		res := b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			if s, err := m.Get(r.Context()); err == nil {
				_ = s.Login(r.Context(), "alice")
			}
		})
		if c := cookieOf(res); c != "" {
			h.note(func() { h.live[c] = true })
		}
	},
	func(t *testing.T, h *chronicle, b *browser[cart], m *Manager[cart]) { // logout
		b.with(b.cookie, func(_ http.ResponseWriter, r *http.Request) {
			if s, err := m.Get(r.Context()); err == nil && s.Handle() == h.handle {
				check(t, s.Destroy(r.Context()))
				h.note(func() { h.ended = true })
			}
		})
	},
	func(t *testing.T, h *chronicle, _ *browser[cart], m *Manager[cart]) { // sign out everywhere
		check(t, m.RevokeAll(t.Context(), "alice"))
		h.note(func() { h.ended = true })
	},
	func(_ *testing.T, h *chronicle, _ *browser[cart], m *Manager[cart]) { // sign out one
		if m.Revoke(context.Background(), "alice", h.handle) == nil {
			h.note(func() { h.ended = true })
		}
	},
}

// Attack 4: whatever requests do to one session, in whatever order: what has ended stays
// so, no acknowledged update is lost, of all secrets one is good, and the others change
// nothing, not even when the session ends.
func TestSchedules(t *testing.T) {
	t.Parallel()
	schedules := 3_000
	if redistest.IsLong() {
		schedules = 50_000
	}
	if n, err := strconv.Atoi(os.Getenv("FRESHET_SCHEDULES")); err == nil {
		schedules = n
	}
	seed := rand.Uint64()
	var sum chronicle
	for i := range schedules {
		if t.Failed() {
			break
		}
		synctest.Test(t, func(t *testing.T) { schedule(t, seed, uint64(i), &sum) })
	}
	if t.Failed() {
		t.Logf("the seed is %d", seed)
	}
	if sum.added < schedules/2 || sum.ends < schedules/5 || sum.renewed < schedules/5 {
		t.Errorf("in %d schedules there were %d updates, %d ends and %d renewals: they show little", schedules, sum.added, sum.ends, sum.renewed)
	}
}

func schedule(t *testing.T, seed, i uint64, sum *chronicle) {
	r := rand.New(rand.NewPCG(seed, i))
	mem := newMemory(t)
	o := ManagerOptions{TouchEvery: -1, OnError: func(error) {}}
	first := newBrowser(t, newManager(t, mem, o))
	first.login("alice")
	tok, _ := parseToken(first.cookie)
	h := &chronicle{live: map[string]bool{first.cookie: true}, handle: tok.handle}
	time.Sleep(time.Second) // the requests begin after that login

	store := &scheduled{Memory: mem, secret: tok.secret, handle: tok.handle}
	var all sync.WaitGroup
	var did []int
	for range 2 + r.IntN(5) {
		act := r.IntN(3 * len(visits))
		if act >= len(visits) {
			act %= len(visits) - 3 // most do not end the session
		}
		did = append(did, act)
		b := newBrowser(t, newManager(t, store, o))
		b.cookie = first.cookie
		all.Go(func() { visits[act](t, h, b, b.m) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	store.run(r, done)
	sum.added += h.added
	sum.renewed += len(h.live) - 1
	if h.ended {
		sum.ends++
	}
	what := fmt.Sprintf("schedule %d of the acts %v", i, did)

	if store.late > 0 {
		t.Errorf("%s: %d writes with a secret that had been replaced", what, store.late)
	}
	rec, err := mem.Get(t.Context(), h.handle)
	if h.ended && err == nil {
		t.Errorf("%s: a session that has ended is there", what)
	}
	good := 0
	for cookie := range h.live {
		tok, _ := parseToken(cookie)
		rec, err := mem.Get(t.Context(), tok.handle)
		if tok.handle != h.handle || err != nil {
			continue
		}
		if e, _, err := parseEnvelope(rec.Data, rec.Deadline); err != nil {
			t.Errorf("%s: %v", what, err)
		} else if e.placeOf(&tok.secret, time.Now()) != foreign {
			good++
		}
	}
	if good > 1 {
		t.Errorf("%s: %d secrets are good", what, good)
	}
	if err != nil {
		return
	}
	if good != 1 {
		t.Errorf("%s: %d secrets of the session are good, want 1", what, good)
	}
	e, payload, err := parseEnvelope(rec.Data, rec.Deadline)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	v, err := first.m.value(payload)
	if err != nil || v.N != h.added || e.user != "alice" {
		t.Errorf("%s: %d updates were acknowledged, %d are there, %v", what, h.added, v.N, err)
	}
}

package session

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// model is a store in obvious Go, where time is a number.
type model struct {
	now     time.Duration
	records map[string]*modelRecord
	users   map[string]*modelUser
	handles [5]string // in use, each once
	made    int
}

type modelRecord struct {
	version, login    uint64
	expires, deadline time.Duration
	data              string
}

type modelUser struct {
	revoked bool
	listed  map[string]bool
}

func newModel() *model {
	return &model{records: make(map[string]*modelRecord), users: make(map[string]*modelUser)}
}

func (m *model) get(h string) *modelRecord {
	if r := m.records[h]; r != nil && m.now < r.expires {
		return r
	}
	delete(m.records, h)
	return nil
}

func (m *model) user(u string) *modelUser {
	if m.users[u] == nil {
		m.users[u] = &modelUser{listed: make(map[string]bool)}
	}
	return m.users[u]
}

// step does something at random to a store and to the model, and returns what differs.
func (m *model) step(t *testing.T, s interface {
	Store
	UserIndex
}, rng *rand.Rand, timed bool,
) error {
	place := rng.IntN(len(m.handles))
	h := m.handles[place]
	u := string(rune('u' + rng.IntN(2)))
	ttl, life, slack := time.Hour, 2*time.Hour, time.Minute // in which the model's time stands still
	if timed {
		slack = time.Second
		ttl, life = time.Duration(1+rng.IntN(20))*time.Second, time.Duration(1+rng.IntN(60))*time.Second
	}
	ctx, r, now := t.Context(), m.get(h), time.Now()
	given := Record{Version: rng.Uint64N(3), Login: rng.Uint64N(3), Deadline: now.Add(life), Data: fmt.Append(nil, rng.Uint32())}
	if r != nil && rng.IntN(3) > 0 {
		given.Version = r.version
	}
	if r != nil && rng.IntN(3) > 0 {
		given.Login = r.login
	}
	same := func(call string, got Record, r *modelRecord) error {
		off := got.Deadline.Sub(now) - (r.deadline - m.now)
		if got.Version != r.version || got.Login != r.login || string(got.Data) != r.data || off.Abs() > slack {
			return fmt.Errorf("%s = version %d of login %d with %q until %v, want %+v", call, got.Version, got.Login, got.Data, got.Deadline.Sub(now), *r)
		}
		return nil
	}
	is := func(call string, got, want error) error {
		if !errors.Is(got, want) {
			return fmt.Errorf("%s = %w, want %v", call, got, want)
		}
		return nil
	}
	switch rng.IntN(10) {
	case 0:
		if r == nil {
			m.made++
			h = fmt.Sprint(m.made)
			m.handles[place] = h
		}
		got, err := s.Create(ctx, h, given, ttl)
		if r != nil {
			return is("Create", err, ErrConflict)
		}
		r = &modelRecord{1, given.Login, m.now + min(ttl, life), m.now + life, string(given.Data)}
		m.records[h] = r
		return errors.Join(is("Create", err, nil), same("Create", got, r))
	case 1, 2:
		got, err := s.Swap(ctx, h, given, ttl)
		switch {
		case r == nil:
			return is("Swap", err, ErrNotFound)
		case r.version != given.Version:
			return errors.Join(is("Swap", err, ErrConflict), same("Swap with a conflict", got, r))
		}
		if given.Login != r.login {
			r.deadline = m.now + life
		}
		r.version, r.login, r.data = r.version+1, given.Login, string(given.Data)
		r.expires = min(m.now+ttl, r.deadline)
		return errors.Join(is("Swap", err, nil), same("Swap", got, r))
	case 3:
		err := s.Touch(ctx, h, given, ttl)
		switch {
		case r == nil:
			return is("Touch", err, ErrNotFound)
		case r.login != given.Login:
			return is("Touch", err, ErrConflict)
		}
		r.expires = min(m.now+ttl, r.deadline)
		return is("Touch", err, nil)
	case 4:
		delete(m.records, h)
		return is("Delete", s.Delete(ctx, h, "missing"), nil)
	case 5:
		if r == nil || m.listed(h, u) {
			return nil // the order of things: the record first, and one user
		}
		_, err := s.AddUser(ctx, u, h, now, now.Add(2*time.Hour), 0)
		m.user(u).listed[h] = true
		return is("AddUser", err, nil)
	case 6:
		if r == nil || m.listed(h, u) {
			return nil
		}
		err, of := s.CheckUser(ctx, u, h, now.Add(2*time.Hour)), m.user(u)
		if of.revoked && !of.listed[h] {
			return is("CheckUser", err, ErrRevoked)
		}
		of.listed[h] = true
		return is("CheckUser", err, nil)
	case 7:
		if rng.IntN(4) > 0 {
			return nil
		}
		except, n, of := []string(nil), 0, m.user(u)
		if rng.IntN(2) == 0 && of.listed[h] {
			except = []string{h}
		}
		for l := range of.listed {
			if slices.Contains(except, l) {
				continue
			}
			if m.get(l) != nil {
				n++
			}
			delete(m.records, l)
			delete(of.listed, l)
		}
		of.revoked = true
		got, err := s.RevokeUser(ctx, u, now.Add(2*time.Hour), except...)
		if got != n {
			err = fmt.Errorf("%d, %w", got, err)
		}
		time.Sleep(time.Microsecond) // or the next login would be at the same time
		return is(fmt.Sprintf("RevokeUser(%v), want %d,", except, n), err, nil)
	case 8:
		got, err := s.UserRecords(ctx, u)
		var want []string
		for l := range m.user(u).listed {
			if m.get(l) != nil {
				want = append(want, l)
			}
		}
		slices.Sort(want)
		if handles := slices.Sorted(maps.Keys(got)); !slices.Equal(handles, want) {
			return fmt.Errorf("UserRecords = %v, %w, want %v", handles, err, want)
		}
		return is("UserRecords", err, nil)
	}
	got, err := s.Get(ctx, h)
	if r == nil {
		return is("Get", err, ErrNotFound)
	}
	return errors.Join(is("Get", err, nil), same("Get", got, r))
}

// listed reports whether a handle is on another user's list.
func (m *model) listed(h, user string) bool {
	for name, u := range m.users {
		if name != user && u.listed[h] {
			return true
		}
	}
	return false
}

// steps does many steps from a fresh start.
func steps(t *testing.T, s interface {
	Store
	UserIndex
}, n int, timed bool,
) {
	t.Helper()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	m := newModel()
	for i := range n {
		if timed && rng.IntN(3) == 0 {
			d := time.Duration(rng.IntN(8))*time.Second + 10*time.Millisecond // between the times of the model
			time.Sleep(d)
			m.now += d
		}
		before := time.Now()
		err := m.step(t, s, rng, timed)
		if timed { // virtual time passes only where the code says so
			m.now += time.Since(before)
		}
		if err != nil {
			t.Fatalf("step %d of seed %d: %v", i, seed, err)
		}
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	n := 500
	if redistest.IsLong() {
		n = 20_000
	}
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		m, err := NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		steps(t, m, 10*n, false)
	})
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		r := newStore(t, s.Client(t), Options{})
		steps(t, r, n, false)
		for _, key := range s.Keys(t, r.o.Prefix+":") {
			if ttl, _ := s.Do(t, "pttl", key).(int64); ttl <= 0 {
				t.Errorf("a key has the TTL %d, want one", ttl)
			}
		}
	})
}

// TestModelOfTime is the model in virtual time: nothing lives longer than it may, and
// nothing shorter.
func TestModelOfTime(t *testing.T) {
	n := 300
	if redistest.IsLong() {
		n = 10_000
	}
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, err := NewMemory(nil)
			if err != nil {
				t.Fatal(err)
			}
			steps(t, m, 10*n, true)
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			steps(t, newStore(t, s.Client(t), Options{}), n, true)
		})
	})
}

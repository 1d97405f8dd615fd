package cache

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// A flight gets one key's value for every caller in the process that waits for
// it. A goroutine leads it: asks for the lease, loads, stores (lead.go).
//
// Time is counted by Redis.seq. A caller notes it when it arrives, the lead when
// it sends a command or begins a load. Whoever arrived before a command was sent
// may have what its reply says; whoever arrived before a load began may have what
// it brings, whatever Redis says. So nobody gets a value that was loaded before
// a Delete that had returned when he came: the lease of such a load was gone
// before he arrived, and what is stored and read after that is newer.
type flight struct {
	key string
	src *source
	ctx context.Context // whose values the load sees

	waiters []*waiter     // guarded by flights.mu
	wake    chan struct{} // holds one; somebody joined
	nested  *signal       // set when a loader has joined

	// The lead's own.
	seen   string // identity of a value in Redis that will not do
	old    *entry // what the load may ask for as Old
	polls  int    // how often the lease was somebody else's
	since  time.Time
	holder string // of the lease, when it was somebody else's
	passed int    // how often it passed from one to another meanwhile
	failed bool   // the latest load
	away   bool   // Redis was, when what the latest load brought should be stored
}

// waiter is a caller that waits for a flight.
type waiter struct {
	arrived uint64
	anew    bool // only a load that begins after it arrived will do
	ctx     context.Context
	src     *source
	f       *flight     // guarded by flights.mu
	result  chan result // holds one
}

// result is what a waiter gets.
type result struct {
	payload []byte
	err     error
	seen    string // identity of the value, if it was read from Redis
}

// flights are the flights by key.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight
}

// join adds w to the flight of key. If there is none it makes one, which the
// caller must see led, together with another flight if one is given.
func (t *flights) join(key string, w *waiter, m miss, with *flight) (f *flight, created bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f = t.m[key]; f == nil {
		f = newFlight(w.ctx, key, w.src)
		f.seen, f.old = m.seen, m.old
		if with != nil {
			f.nested = with.nested
		}
		t.m[key] = f
		created = true
	}
	f.add(w)
	return f, created
}

// open makes a flight nobody waits for, unless the key has one.
func (t *flights) open(ctx context.Context, key string, src *source) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[key] != nil {
		return nil
	}
	f := newFlight(ctx, key, src)
	t.m[key] = f
	return f
}

func newFlight(ctx context.Context, key string, src *source) *flight {
	return &flight{key: key, src: src, ctx: context.WithoutCancel(ctx), wake: make(chan struct{}, 1), nested: newSignal()}
}

// signal is a channel that can be closed more than once.
type signal struct {
	once sync.Once
	ch   chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }
func (s *signal) set()   { s.once.Do(func() { close(s.ch) }) }

func (f *flight) add(w *waiter) {
	w.f = f
	f.waiters = append(f.waiters, w)
	if w.ctx.Value(loadKey{}) != nil {
		f.nested.set()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// forget lets later callers start afresh, because the key was deleted: they need
// not wait for a load that is in vain for them.
func (t *flights) forget(keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.m, key)
	}
}

// leave takes back a waiter that has no more time.
func (t *flights) leave(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(w.f.waiters, w); i >= 0 {
		w.f.waiters = slices.Delete(w.f.waiters, i, i+1)
	}
}

// deliver gives r to those who arrived before the given moment: all of them, if
// it is that of a load's beginning, and else those who take what is stored. It
// returns how many there were.
func (t *flights) deliver(f *flight, before uint64, load bool, r result) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := f.waiters[:0]
	for _, w := range f.waiters {
		if w.arrived >= before || w.anew && !load {
			rest = append(rest, w)
			continue
		}
		mine := r
		mine.payload = bytes.Clone(r.payload)
		w.result <- mine
		n++
	}
	clear(f.waiters[len(rest):])
	f.waiters = rest
	return n
}

// refuse gives an error to all.
func (t *flights) refuse(f *flight, err error) int {
	return t.deliver(f, math.MaxUint64, true, result{err: err})
}

// anew reports whether somebody waits for a value loaded anew.
func (t *flights) anew(f *flight) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(f.waiters, func(w *waiter) bool { return w.anew })
}

// next ends a flight that nobody waits for, and reports false; or makes it ready
// for another round, on behalf of the first who waits. If the key has got another
// flight meanwhile, they wait for that.
func (t *flights) next(f *flight) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	other := t.m[f.key]
	if len(f.waiters) == 0 {
		if other == f {
			delete(t.m, f.key)
		}
		return false
	}
	if other != nil && other != f {
		for _, w := range f.waiters {
			other.add(w)
		}
		f.waiters = nil
		return false
	}
	t.m[f.key] = f
	f.src, f.ctx = f.waiters[0].src, context.WithoutCancel(f.waiters[0].ctx)
	return true
}

// pollPause is how long to wait before asking again for a lease that somebody
// else has: 5 ms, doubling to 100 ms, less up to half at random.
func (f *flight) pollPause() time.Duration {
	d := min(5*time.Millisecond<<min(f.polls, 5), 100*time.Millisecond)
	return d - rand.N(d/2)
}

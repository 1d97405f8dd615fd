package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// source is where values come from that are not in the cache.
type source struct {
	// One of these is set.
	keyless   func(ctx context.Context) ([]byte, error)
	one       func(ctx context.Context, key string) ([]byte, error)
	many      func(ctx context.Context, keys []string) (map[string][]byte, error)
	strip     int // its keys lack these first bytes of the cache's
	ttl       time.Duration
	unmarshal func([]byte, any) error
}

// loading is one flight's load.
type loading struct {
	f     *flight
	key   string
	old   *entry
	token []byte // of the lease; nil: there is none, nothing will be stored
	away  bool   // Redis is: the load counts towards MaxLoads
	// Whether it has got a place among them; shared by the copies.
	admitted *atomic.Bool
	began    uint64

	payload  []byte
	stores   bool // it is to be stored
	notFound bool
	err      error
	ttl      time.Duration // to store it for; zero or less: not at all
	cost     time.Duration
}

type loadKey struct{}

// loadState is what a loader can say and ask through its context.
type loadState struct {
	mu     sync.Mutex
	ttl    time.Duration
	ttlSet bool
	old    func(dst any) error // nil: there is no old value
}

// SetTTL makes the value that is being loaded fresh for d instead of the TTL it
// would have; with ErrNotFound, it is remembered for d. Zero or less: the value is
// returned but not stored. In a batch load it applies to all values. Outside a
// load it does nothing.
func SetTTL(ctx context.Context, d time.Duration) {
	if s, _ := ctx.Value(loadKey{}).(*loadState); s != nil {
		s.mu.Lock()
		s.ttl, s.ttlSet = min(d, maxTTL), true
		s.mu.Unlock()
	}
}

// Old returns the value that the load is about to replace, if it is still there:
// in a refresh, or where StaleFor or StaleOnError keep values. It is for
// conditional requests: a loader that finds the old value still good returns
// [ErrNotModified]. T is the type that is cached, []byte for GetOrLoad. Old
// reports false if there is no such value, in a batch load, and outside a load.
func Old[T any](ctx context.Context) (v T, ok bool) {
	s, _ := ctx.Value(loadKey{}).(*loadState)
	if s == nil || s.old == nil || s.old(&v) != nil {
		var zero T
		return zero, false
	}
	return v, true
}

// loaded are loads that ended together.
type loaded []*loading

// startLoads runs the loads on goroutines of their own, and sends them when they
// end. Nobody need receive, so these are copies.
func (c *Redis) startLoads(ctx context.Context, src *source, loads []*loading) <-chan loaded {
	ended := make(chan loaded, len(loads))
	var alone, away loaded
	for _, l := range loads {
		dup := *l
		switch {
		case src.many == nil:
			c.running.Add()
			go c.runLoad(ctx, src, loaded{&dup}, ended)
		case l.away:
			away = append(away, &dup)
		default:
			alone = append(alone, &dup)
		}
	}
	for _, batch := range []loaded{alone, away} {
		if len(batch) > 0 {
			c.running.Add()
			go c.runLoad(ctx, src, batch, ended)
		}
	}
	return ended
}

// runLoad calls the loader once.
func (c *Redis) runLoad(ctx context.Context, src *source, out loaded, ended chan<- loaded) {
	defer c.running.Done()
	returned := false
	defer func() {
		if !returned { // panicked, or called runtime.Goexit
			v := recover()
			if v == nil {
				v = "runtime.Goexit was called"
			}
			fail(out, &PanicError{Value: v, Stack: debug.Stack()})
		}
		ended <- out
	}()
	if leave, err := c.admit(ctx, out[0]); err != nil {
		fail(out, err)
	} else if c.closing.Err() != nil {
		leave()
		fail(out, ErrClosed)
	} else {
		defer leave()
		for _, l := range out {
			l.admitted.Store(true)
		}
		c.callLoader(ctx, src, out)
	}
	returned = true
}

// admit waits for a place among the loads that may run while Redis is away. A
// load that another load waits for needs none, or they could wait for each
// other.
func (c *Redis) admit(ctx context.Context, l *loading) (leave func(), err error) {
	if !l.away || c.places == nil {
		return func() {}, nil
	}
	select {
	case <-l.f.nested.ch:
		return func() {}, nil
	case c.places <- struct{}{}:
		return func() { <-c.places }, nil
	case <-ctx.Done():
		return nil, errTooMany(ctx)
	}
}

func errTooMany(ctx context.Context) error {
	return fmt.Errorf("%w: too many loads: %w", ErrUnavailable, ctx.Err())
}

func fail(loads loaded, err error) {
	for _, l := range loads {
		l.err, l.payload, l.notFound = err, nil, false
	}
}

// callLoader calls the loader and notes what it brought.
func (c *Redis) callLoader(ctx context.Context, src *source, loads loaded) {
	state := &loadState{}
	began := c.seq.Add(1)
	for _, l := range loads {
		l.began = began
	}
	c.n.loads.Add(1)
	start := time.Now()
	defer func() {
		cost := time.Since(start)
		state.mu.Lock()
		defer state.mu.Unlock()
		for _, l := range loads {
			l.cost = cost
			switch {
			case state.ttlSet:
				l.ttl = state.ttl
			case l.notFound:
				l.ttl = c.o.NotFoundTTL
			case src.ttl > 0:
				l.ttl = c.o.jittered(src.ttl)
			default:
				l.ttl = c.o.jittered(c.o.TTL)
			}
		}
	}()
	if src.many == nil {
		l := loads[0]
		if old := l.old; old != nil && !old.notFound {
			state.old = func(dst any) error { return src.unmarshal(old.payload, dst) }
		}
		ctx = context.WithValue(ctx, loadKey{}, state)
		if src.keyless != nil {
			payload, err := src.keyless(ctx)
			l.take(bytes.Clone(payload), err) // the loader may use its slice again
		} else {
			l.take(src.one(ctx, l.key[src.strip:]))
		}
		return
	}
	keys := make([]string, len(loads))
	for i, l := range loads {
		keys[i] = l.key[src.strip:]
	}
	values, err := src.many(context.WithValue(ctx, loadKey{}, state), keys)
	for i, l := range loads {
		switch payload, ok := values[keys[i]]; {
		case ok:
			l.take(payload, nil)
		case err != nil:
			l.take(nil, err)
		default:
			l.take(nil, ErrNotFound)
		}
	}
}

// take keeps what the loader returned.
func (l *loading) take(payload []byte, err error) {
	switch {
	case err == nil:
		l.payload = payload
	case errors.Is(err, ErrNotFound):
		l.notFound = true
		l.err = err
	case errors.Is(err, ErrNotModified) && l.old != nil && !l.old.notFound:
		l.payload = l.old.payload
	default:
		l.err = err
	}
}

// failed reports whether the load brought neither a value nor the news that
// there is none.
func (l *loading) failed() bool { return l.err != nil && !l.notFound }

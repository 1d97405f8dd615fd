package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

var errBroken = errors.New("the database is broken")

// newCache returns a cache that is closed when the test ends. Its Timeout is long
// unless the test sets it: a busy machine is not what most tests are about.
func newCache(t testing.TB, rdb redis.UniversalClient, opts Options) *Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	c, err := New(rdb, &opts)
	if err != nil {
		t.Fatalf("New(%+v) = %v", opts, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return c
}

// newCaches returns caches with clients of their own: what processes are to each
// other.
func newCaches(t testing.TB, s *redistest.Server, n int, opts Options) []*Redis {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	cs := make([]*Redis, n)
	for i := range cs {
		cs[i] = newCache(t, s.Client(t), opts)
	}
	return cs
}

// returns is a loader of one value that counts its calls.
func returns(n *atomic.Int64, v string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		n.Add(1)
		return []byte(v), nil
	}
}

// must is a loader that must not be called.
func mustNotLoad(t testing.TB) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		t.Error("the loader was called, want a value from the cache")
		return nil, errBroken
	}
}

// gate is where loads wait for the test.
type gate struct {
	began chan struct{} // one for each load that began
	open  chan struct{} // close it to let them end
	n     atomic.Int64
}

func newGate() *gate {
	return &gate{began: make(chan struct{}, 1000), open: make(chan struct{})}
}

func (g *gate) load(v string, err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		g.n.Add(1)
		g.began <- struct{}{}
		<-g.open
		return []byte(v), err
	}
}

// outcome is what a call came to.
type outcome struct {
	v    string
	err  error
	took time.Duration
}

// call does GetOrLoad.
func call(ctx context.Context, c *Redis, key string, load func(context.Context) ([]byte, error)) outcome {
	start := time.Now()
	v, err := c.GetOrLoad(ctx, key, load)
	return outcome{string(v), err, time.Since(start)}
}

// begin does GetOrLoad in the background.
func begin(ctx context.Context, c *Redis, key string, load func(context.Context) ([]byte, error)) <-chan outcome {
	out := make(chan outcome, 1)
	go func() { out <- call(ctx, c, key, load) }()
	return out
}

// wants fails the test unless GetOrLoad returns a value.
func wants(t testing.TB, c *Redis, key string, load func(context.Context) ([]byte, error), want string) {
	t.Helper()
	o := call(t.Context(), c, key, load)
	o.wants(t, key, want)
}

func (o outcome) wants(t testing.TB, key, want string) {
	t.Helper()
	if o.err != nil || o.v != want {
		t.Errorf("GetOrLoad(%q) = %q, %v, want %q", key, o.v, o.err, want)
	}
}

func (o outcome) fails(t testing.TB, key string, want error) {
	t.Helper()
	if !errors.Is(o.err, want) {
		t.Errorf("GetOrLoad(%q) = %q, %v, want the error %v", key, o.v, o.err, want)
	}
}

// waiting is how many callers wait for the flight of key.
func waiting(c *Redis, key string) int {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if f := c.flights.m[key]; f != nil {
		return len(f.waiters)
	}
	return 0
}

// settled waits until a cache has neither flights nor anything to delete.
func settled(t testing.TB, c *Redis) {
	t.Helper()
	redistest.Eventually(t, "no flights and nothing owed", func() bool {
		c.flights.mu.Lock()
		defer c.flights.mu.Unlock()
		return len(c.flights.m) == 0 && c.Stats().Pending == 0
	})
}

// peeks fails the test unless the cache has a value; "" means none.
func peeks(t testing.TB, c *Redis, key, want string) {
	t.Helper()
	v, ok, err := c.Peek(t.Context(), key)
	if err != nil || ok != (want != "") || string(v) != want {
		t.Errorf("Peek(%q) = %q, %v, %v, want %q", key, v, ok, err, want)
	}
}

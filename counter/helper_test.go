package counter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// patience is the Timeout of what tests make unless they set one: a busy machine is not
// what most of them are about.
const patience = 10 * time.Second

// name tells options apart in keys and names of tests.
func name(o Options) string {
	switch {
	case o.Sliding:
		return "sliding"
	case o.TTL > 0:
		return "fixed"
	}
	return "forever"
}

func newCounter(t testing.TB, rdb redis.UniversalClient, opts Options) *Redis {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	if opts.Timeout == 0 {
		opts.Timeout = patience
	}
	r, err := New(rdb, &opts)
	check(t, err)
	return r
}

// newBuffered returns a Buffered that is closed when the test ends. Its Interval is so long
// that it flushes when it is told, unless the test sets one.
func newBuffered(t testing.TB, r *Redis, opts BufferedOptions) *Buffered {
	t.Helper()
	if opts.Interval == 0 {
		opts.Interval = time.Hour
	}
	b, err := NewBuffered(r, &opts)
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func newSeries(t testing.TB, rdb redis.UniversalClient, opts SeriesOptions) *Series {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	if opts.Timeout == 0 {
		opts.Timeout = patience
	}
	s, err := NewSeries(rdb, &opts)
	check(t, err)
	return s
}

func newUnique(t testing.TB, rdb redis.UniversalClient, opts UniqueOptions) *Unique {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	if opts.Timeout == 0 {
		opts.Timeout = patience
	}
	u, err := NewUnique(rdb, &opts)
	check(t, err)
	return u
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// adds fails the test unless the total is want after n was added.
func adds(t testing.TB, c Counter, key string, n, want int64) {
	t.Helper()
	if got, err := c.Add(t.Context(), key, n); got != want || err != nil {
		t.Errorf("Add(%.20q, %d) = %d, %v, want %d", key, n, got, err, want)
	}
}

func has(t testing.TB, c Counter, key string, want int64) {
	t.Helper()
	if got, err := c.Get(t.Context(), key); got != want || err != nil {
		t.Errorf("Get(%.20q) = %d, %v, want %d", key, got, err, want)
	}
}

// once fails the test unless the operation is counted, or not, and the total is want.
func once(t testing.TB, c Counter, key, opID string, n, want int64, applied bool) {
	t.Helper()
	if got, ok, err := c.AddOnce(t.Context(), key, opID, n); got != want || ok != applied || err != nil {
		t.Errorf("AddOnce(%.20q, %.20q, %d) = %d, %v, %v, want %d, %v", key, opID, n, got, ok, err, want, applied)
	}
}

func wants(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// expires fails the test unless a key is there and expires within most.
func expires(t testing.TB, s *redistest.Server, key string, most time.Duration) {
	t.Helper()
	ms, _ := s.Do(t, "pttl", key).(int64)
	if ttl := time.Duration(ms) * time.Millisecond; ttl <= 0 || ttl > most {
		t.Errorf("the key expires in %v, want at most %v", ttl, most)
	}
}

// keysOf returns the keys with a prefix, on all masters.
func keysOf(t testing.TB, s *redistest.Server, prefix string) (keys []string) {
	t.Helper()
	scan := func(ctx context.Context, node *redis.Client) error {
		it := node.Scan(ctx, 0, prefix+":*", 1000).Iterator()
		for it.Next(ctx) {
			keys = append(keys, it.Val())
		}
		return it.Err()
	}
	switch rdb := s.Client(t).(type) {
	case *redis.ClusterClient:
		serial := make(chan struct{}, 1)
		check(t, rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
			serial <- struct{}{}
			defer func() { <-serial }()
			return scan(ctx, node)
		}))
	case *redis.Client:
		check(t, scan(t.Context(), rdb))
	}
	return keys
}

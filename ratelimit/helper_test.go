package ratelimit

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// newLimiter returns a limiter that is closed when the test ends. Its Timeout is
// long unless the test sets it: a busy machine is not what most tests are about.
func newLimiter(t testing.TB, rdb redis.UniversalClient, limit Limit, opts Options) *Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	r, err := New(rdb, "test", limit, &opts)
	if err != nil {
		t.Fatalf("New(%+v, %+v) = %v", limit, opts, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return r
}

// bare are options without what answers for Redis.
func bare(opts Options) Options {
	opts.DenialCache = -1
	return opts
}

// allows fails the test unless n are allowed, or denied, for good.
func allows(t testing.TB, l Limiter, key string, n int, want bool) Result {
	t.Helper()
	r, err := l.AllowN(t.Context(), key, n)
	if err != nil || r.Allowed != want || r.Degraded {
		t.Errorf("AllowN(%q, %d) = %+v, %v, want Allowed %v", key, n, r, err, want)
	}
	return r
}

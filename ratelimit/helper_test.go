package ratelimit

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// long skips a test that takes more than three seconds, unless FRESHET_LONG is set.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("FRESHET_LONG") == "" {
		t.Skip("takes more than 3 s; FRESHET_LONG=1 runs it")
	}
}

// quick is those of the topologies whose servers start in no time, and all of them
// if FRESHET_LONG is set.
func quick(on ...redistest.Topology) []redistest.Topology {
	if os.Getenv("FRESHET_LONG") != "" {
		return on
	}
	return slices.DeleteFunc(on, func(topology redistest.Topology) bool {
		return topology == redistest.Sentinel || topology == redistest.Cluster
	})
}

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

// do runs a command on a server.
func do(t testing.TB, s *redistest.Server, args ...any) any {
	t.Helper()
	v, err := s.Client(t).Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v = %v", args, err)
	}
	return v
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// requestsOf a script, for Proxy.DropRepliesTo.
func requestsOf(source string) func([]byte) bool {
	sum := sha1.Sum([]byte(source))
	sha := hex.EncodeToString(sum[:])
	return func(request []byte) bool { return strings.Contains(string(request), sha) }
}

// together runs f n times side by side and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// bubble runs a test in virtual time, on a miniredis.
func bubble(t *testing.T, f func(t *testing.T, s *redistest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // idle workers end
		f(t, redistest.Mini(t))
	})
}

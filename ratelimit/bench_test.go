package ratelimit

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// benchLimiter is a limiter on the server that the environment names.
func benchLimiter(b *testing.B, limit Limit, opts Options) *Redis {
	b.Helper()
	url := os.Getenv("FRESHET_BENCH")
	if url == "" {
		b.Skip("FRESHET_BENCH names no server")
	}
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = rdb.Close() })
	r := newLimiter(b, rdb, limit, opts)
	if _, err := r.AllowUpTo(b.Context(), "k", 1); err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkAllow(b *testing.B) {
	day := 24 * time.Hour
	for name, limits := range map[string][]Limit{
		"bucket": {{Quota: 1e8, Period: day}},
		"log":    {{Quota: 1000, Period: time.Millisecond, Algorithm: SlidingLog}},
		"window": {{Quota: 1e8, Period: day, Algorithm: SlidingWindow}},
		"fixed":  {{Quota: 1e8, Period: day, Algorithm: FixedWindow}},
		"two":    {{Quota: 1e8, Period: day}, {Quota: 1e8, Period: 2 * day}},
	} {
		b.Run(name, func(b *testing.B) {
			r := benchLimiter(b, limits[0], bare(Options{Also: limits[1:]}))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if got, err := r.Allow(b.Context(), strconv.Itoa(i%1000)); err != nil || got.Degraded {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// 64 callers of one key.
func BenchmarkHotKey(b *testing.B) {
	for name, opts := range map[string]Options{"combined": bare(Options{}), "prefetched": bare(Options{Prefetch: 100})} {
		b.Run(name, func(b *testing.B) {
			r := benchLimiter(b, Limit{Quota: 1e8, Period: 24 * time.Hour}, opts)
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got, err := r.Allow(context.Background(), "k"); err != nil || got.Degraded {
						b.Error(got, err)
					}
				}
			})
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	m, err := NewMemory(Limit{Quota: 1e8, Period: 24 * time.Hour}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Allow(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDenied(b *testing.B) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	r, err := New(rdb, "test", PerSecond(5), nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	p := r.plans.own
	again := func() {
		r.denials.add(p, "k", 1, r.denials.now("k"), []standing{{retry: 1_000_000, reset: 2_000_000}})
	}
	again()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%100_000 == 0 {
			again()
		}
		if got, err := r.Allow(ctx, "k"); err != nil || got.Allowed || got.Degraded {
			b.Fatal(got, err)
		}
	}
}

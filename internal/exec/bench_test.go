package exec

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// BenchmarkGet compares one caller's GET with and without exec, in interleaved
// rounds. The ratio is what counts:
//
//	taskset -c 1 redis-server --port 7000 --save "" &
//	FRESHET_BENCH=redis://127.0.0.1:7000 taskset -c 0 go test -run '^$' -bench Get -benchtime 100000x ./internal/exec
func BenchmarkGet(b *testing.B) {
	rdb, c, key := benchClient(b)
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	plain := func(n int) time.Duration {
		start := time.Now()
		for range n {
			if err := rdb.Get(ctx, key).Err(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	do := func(n int) time.Duration {
		start := time.Now()
		for range n {
			if err := c.Do(ctx, c.Budget(), Get(key)); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	const round = 200
	plain(round)
	do(round)
	b.ReportAllocs()
	b.ResetTimer()
	var with, without time.Duration
	for i := 0; i < b.N; i += round {
		n := min(round, b.N-i)
		b.StopTimer()
		without += plain(n)
		b.StartTimer()
		with += do(n)
	}
	b.ReportMetric(float64(without.Nanoseconds())/float64(b.N), "plain-ns/op")
	b.ReportMetric(float64(with)/float64(without), "ratio")
}

func BenchmarkPlainGet(b *testing.B) {
	rdb, _, key := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := rdb.Get(b.Context(), key).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchClient is a client of the server that the environment names.
func benchClient(b *testing.B) (redis.UniversalClient, *Client, string) {
	url := os.Getenv("FRESHET_BENCH")
	if url == "" {
		b.Skip("FRESHET_BENCH names no server")
	}
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = rdb.Close() })
	key := redistest.Prefix(b)
	if err := rdb.Set(b.Context(), key, strings.Repeat("x", 128), time.Hour).Err(); err != nil {
		b.Fatal(err)
	}
	return rdb, newClient(b, rdb, time.Second), key
}

// BenchmarkCallers compares many callers' GETs of distinct keys with and without
// exec, in interleaved rounds.
func BenchmarkCallers(b *testing.B) {
	rdb, c, key := benchClient(b)
	keys := make([]string, 10000)
	pipe := rdb.Pipeline()
	for i := range keys {
		keys[i] = fmt.Sprint(key, i)
		pipe.Set(b.Context(), keys[i], strings.Repeat("x", 128), time.Hour)
	}
	if _, err := pipe.Exec(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{8, 16, 20, 32, 64, 512} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			all := func(n int, get func(key string) error) time.Duration {
				start := time.Now()
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for j := i; j < n; j += callers {
							if err := get(keys[j%len(keys)]); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				return time.Since(start)
			}
			plain := func(n int) time.Duration {
				return all(n, func(key string) error { return rdb.Get(b.Context(), key).Err() })
			}
			do := func(n int) time.Duration {
				return all(n, func(key string) error { return c.Do(b.Context(), c.Budget(), Get(key)) })
			}
			const round = 20000
			plain(round)
			do(round)
			b.ReportAllocs()
			b.ResetTimer()
			var with, without time.Duration
			for i := 0; i < b.N; i += round {
				b.StopTimer()
				without += plain(round)
				b.StartTimer()
				with += do(round)
			}
			b.ReportMetric(float64(without)/float64(with), "times-plain")
		})
	}
}

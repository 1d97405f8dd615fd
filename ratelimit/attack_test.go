package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A tutorial's limiter (ZREMRANGEBYSCORE, ZCARD, ZADD, EXPIRE) charges those it denies,
// counts requests of one instant once, grows with every denial and goes by the
// clients' clocks. These are the four attacks on it.

// A client that asks for five times its rate gets its rate.
func TestAttackByAskingTooMuch(t *testing.T) {
	for name, c := range map[string]struct {
		limit Limit
		want  int
	}{
		"bucket": {PerSecond(10), 10 + 50}, // a burst more
		"log":    {Limit{Quota: 10, Period: time.Second, Algorithm: SlidingLog}, 50},
		"fixed":  {Limit{Quota: 10, Period: time.Second, Algorithm: FixedWindow}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				r := newLimiter(t, s.Client(t), c.limit, Options{})
				allowed := 0
				for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(time.Second / 49) {
					got, err := r.Allow(t.Context(), "k")
					if err != nil {
						t.Fatal(err)
					}
					allowed += got.Granted
				}
				if allowed < c.want-1 || allowed > c.want {
					t.Errorf("%d of 245 were allowed, want %d", allowed, c.want)
				}
			})
		})
	}
}

// A hundred requests in one microsecond are a hundred requests.
func TestAttackInOneInstant(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		s.Mini().SetTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		for _, algorithm := range []Algorithm{TokenBucket, SlidingLog, SlidingWindow, FixedWindow} {
			r := newLimiter(t, s.Client(t), Limit{Quota: 10, Period: time.Second, Algorithm: algorithm}, Options{})
			for i := range 100 {
				allows(t, r, "k", 1, i < 10)
			}
		}
	})
}

// Requests that are denied cost no memory: nothing is stored of them.
func TestAttackOnMemory(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, Limit{Quota: 10, Period: time.Hour, Algorithm: SlidingLog}, bare(Options{Also: []Limit{{Quota: 10, Period: time.Hour, Burst: 10}}}))
		allows(t, r, "k", 10, true)
		usage := func() (n int64) {
			for _, k := range r.plans.own.keys(r.o.keys, "k") {
				n += rdb.MemoryUsage(t.Context(), k).Val()
			}
			return n
		}
		before := usage()
		redistest.Together(100, func(int) {
			for range 1000 {
				allows(t, r, "k", 1, false)
			}
		})
		if after := usage(); after != before {
			t.Errorf("100,000 denials took the keys from %d bytes to %d", before, after)
		}
	})
}

// The clients' clocks do not matter: here they are 26 years behind the server's.
func TestAttackByClock(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		now := time.Date(2026, 10, 24, 23, 59, 59, 0, time.UTC)
		s.Mini().SetTime(now)
		rdb := s.Client(t)
		counter := redistest.Count(t, rdb)
		day := Limit{Quota: 10, Period: 24 * time.Hour, Algorithm: FixedWindow, Location: location(t, "Europe/Berlin")}
		r := newLimiter(t, rdb, day, bare(Options{}))
		got := allows(t, r, "k", 10, true)
		if got.ResetAfter != 23*time.Hour+time.Second {
			t.Errorf("ResetAfter = %v, want 23h0m1s: the day of 25 hours began two hours ago", got.ResetAfter)
		}
		counter.Reset()
		allows(t, r, "k", 1, false)
		s.Mini().SetTime(now.Add(got.ResetAfter - time.Microsecond))
		allows(t, r, "k", 1, false)
		s.Mini().SetTime(now.Add(got.ResetAfter))
		if got := allows(t, r, "k", 3, true); got.Remaining != 7 || got.ResetAfter != 24*time.Hour {
			t.Errorf("AllowN on the next day = %+v", got)
		}
		if n := counter.RoundTrips(); n > 4 { // one to learn that summer has ended
			t.Errorf("three calls cost %d round trips", n)
		}
	})
}

// The bounds that the comments of the algorithms state, for a client that takes
// whatever it can get at random times, over all spans.
func TestBounds(t *testing.T) {
	const quota = 10
	for name, c := range map[string]struct {
		limit Limit
		bound func(span time.Duration) float64
	}{
		"bucket": {Limit{Quota: quota, Period: time.Second, Burst: 4}, func(d time.Duration) float64 { return 4 + d.Seconds()*quota }},
		"log": {Limit{Quota: quota, Period: time.Second, Algorithm: SlidingLog}, func(d time.Duration) float64 {
			return quota * float64(d/time.Second+1)
		}},
		"window": {Limit{Quota: quota, Period: time.Second, Algorithm: SlidingWindow}, func(d time.Duration) float64 {
			return 2 * quota * float64(d/time.Second+1)
		}},
		"fixed": {Limit{Quota: quota, Period: time.Second, Algorithm: FixedWindow}, func(d time.Duration) float64 {
			return quota * float64(d/time.Second+2)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				seed := rand.Uint64()
				rnd := rand.New(rand.NewPCG(seed, 0))
				r := newLimiter(t, s.Client(t), c.limit, bare(Options{}))
				var admitted []time.Time
				for range 1000 {
					time.Sleep(time.Duration(rnd.Int64N(int64(100*time.Millisecond) << rnd.IntN(2))).Truncate(time.Microsecond))
					got, err := r.AllowUpTo(t.Context(), "k", 1+rnd.IntN(3))
					if err != nil {
						t.Fatal(err)
					}
					for range got.Granted {
						admitted = append(admitted, time.Now())
					}
				}
				for i := range admitted {
					for j := i; j < min(i+100, len(admitted)); j++ {
						if d := admitted[j].Sub(admitted[i]); float64(j-i+1) > c.bound(d) {
							t.Fatalf("seed %d: %d were admitted in %v, want at most %v", seed, j-i+1, d, c.bound(d))
						}
					}
				}
			})
		})
	}
}

// What a key costs in Redis.
func TestMemoryPerKey(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for limit, most := range map[Limit]int64{
			PerSecond(10):  72,
			PerMinute(100): 72,
			PerSecond(7):   72,
			PerSecond(30):  72,
			{Quota: 100, Period: time.Second, Algorithm: SlidingWindow}: 104,
			{Quota: 100, Period: time.Second, Algorithm: FixedWindow}:   104,
			{Quota: 1000, Period: time.Hour, Algorithm: SlidingLog}:     8 * 1000,
			{Quota: 100_000, Period: time.Hour, Algorithm: SlidingLog}:  9 * 100_000,
		} {
			opts := bare(Options{Prefix: "ratelimit"})
			r, err := New(rdb, fmt.Sprint("m", rand.IntN(1e6)), limit, &opts)
			if err != nil {
				t.Fatal(err)
			}
			r.o.Timeout = 10 * time.Second
			key := r.plans.own.keys(r.o.keys, "u1234")[0]
			for range 3 {
				if got, err := r.AllowN(t.Context(), "u1234", min(limit.Quota, 2)); err != nil || got.Degraded {
					t.Fatalf("AllowN = %+v, %v", got, err)
				}
			}
			if limit.Algorithm == SlidingLog {
				for {
					got, err := r.AllowUpTo(t.Context(), "u1234", limit.Quota/100)
					if err != nil || !got.Allowed {
						break
					}
				}
			}
			n, err := rdb.MemoryUsage(t.Context(), key).Result()
			if err != nil || n > most {
				t.Errorf("%+v: a key of %d bytes takes %d bytes, %v, want at most %d", limit, len(key), n, err, most)
			}
			if err := r.Reset(t.Context(), "u1234"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

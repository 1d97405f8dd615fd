package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A key that is asked for often costs a round trip for every Prefetch tokens, and no
// more is allowed than was taken.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, PerHour(100), Options{Prefetch: 9})
		counter := redistest.Count(t, rdb)
		for i := range 100 {
			if got := allows(t, r, "k", 1, true); got.Remaining != 99-i {
				t.Fatalf("Remaining = %d, want %d", got.Remaining, 99-i)
			}
		}
		allows(t, r, "k", 1, false)
		scripts := 0
		for _, c := range counter.Commands() {
			if strings.HasPrefix(c, "eval") {
				scripts++
			}
		}
		// One by itself, ten at a time, the denial, and what a script costs the first
		// time. On a slow machine leases may end before they are used up.
		if st := r.Stats(); scripts > 20 && st.Prefetched < 50 || st.Prefetched == 0 {
			t.Errorf("that cost %d scripts, %+v", scripts, st)
		}
		if err := r.Reset(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if got := allows(t, r, "k", 100, true); got.Remaining != 0 {
			t.Errorf("after a Reset AllowN(100) = %+v", got)
		}
	})
}

// In any span Δ at most burst + (Δ + 1 s) × rate are admitted, by several processes
// that take ahead, at random times; and in the long run hardly fewer than the rate.
func TestPrefetchBound(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		const rate, burst = 20, 30
		var processes []*Redis
		for range 3 {
			processes = append(processes, newLimiter(t, s.Client(t), Limit{Quota: rate, Period: time.Second, Burst: burst}, Options{Prefix: "p", Prefetch: 7}))
		}
		rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
		start := time.Now()
		var admitted []time.Duration
		for time.Since(start) < 30*time.Second {
			time.Sleep(time.Duration(rnd.Int64N(int64(30 * time.Millisecond))))
			if rnd.IntN(200) == 0 {
				time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Second))))
			}
			got, err := processes[rnd.IntN(3)].AllowN(t.Context(), "k", 1+rnd.IntN(2))
			if err != nil {
				t.Fatal(err)
			}
			for range got.Granted {
				admitted = append(admitted, time.Since(start))
			}
		}
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				if bound := burst + (admitted[j]-admitted[i]+leaseTerm).Seconds()*rate; float64(j-i+1) > bound {
					t.Fatalf("%d admitted between %v and %v, want at most %v", j-i+1, admitted[i], admitted[j], bound)
				}
			}
		}
		if n := len(admitted); n < 20*rate {
			t.Errorf("%d admitted in 30 s at %d a second", n, rate)
		}
	})
}

// Tokens that were taken ahead are gone when their time is over.
func TestPrefetchExpires(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(100), Options{Prefetch: 9})
		allows(t, r, "k", 1, true)
		time.Sleep(time.Second)
		allows(t, r, "k", 1, true) // not asked for a moment ago: one by itself
		allows(t, r, "k", 1, true) // and ten
		if n := r.Stats().Prefetched; n != 0 {
			t.Errorf("%d were taken ahead, want none yet", n)
		}
		time.Sleep(time.Second - time.Microsecond)
		allows(t, r, "k", 1, true)
		if n := r.Stats().Prefetched; n != 1 {
			t.Errorf("%d were taken ahead, want 1", n)
		}
		time.Sleep(time.Microsecond)
		got := allows(t, r, "k", 1, true)
		if n := r.Stats().Prefetched; n != 1 || got.Remaining != 100-1-1-10-1 {
			t.Errorf("%d were taken ahead, want 1; %+v", n, got)
		}
	})
}

// Tokens that are on their way while the key is reset are of before, and not kept.
func TestPrefetchOvertakenByReset(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, PerHour(100), Options{Prefetch: 9})
		allows(t, r, "k", 1, true)
		held, release := hold(rdb)
		done := make(chan error)
		go func() { done <- second(r.Allow(context.Background(), "k")) }()
		<-held
		if err := r.Reset(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		allows(t, r, "k", 2, true) // another flight, and a lease of its own
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		allows(t, r, "k", 3, true)
		if n := r.Stats().Prefetched; n != 0 {
			t.Errorf("%d were taken ahead, want none", n)
		}
	})
}

func TestPrefetchTogether(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), Limit{Quota: 1, Period: time.Hour, Burst: 1000}, Options{Prefetch: 50})
		var allowed atomic.Int64
		redistest.Together(64, func(i int) {
			for range 40 {
				got, err := r.Allow(t.Context(), "k")
				if err != nil || got.Degraded {
					t.Errorf("Allow = %+v, %v", got, err)
				}
				allowed.Add(int64(got.Granted))
			}
		})
		peek, err := r.Peek(t.Context(), "k")
		if err != nil || allowed.Load() > 1000 || peek[0].Remaining != 0 && allowed.Load() < 1000-int64(peek[0].Remaining)-50 {
			t.Errorf("%d were allowed of 1000, Peek = %+v, %v", allowed.Load(), peek, err)
		}
		for i := range 3 * maxLeases * leaseShards {
			r.ahead.begin(fmt.Sprint(i))
		}
		for i := range r.ahead.shards {
			if n := len(r.ahead.shards[i].keys); n > maxLeases {
				t.Errorf("a shard has %d leases, want at most %d", n, maxLeases)
			}
		}
	})
}

func TestPrefetchInvalid(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for _, c := range []struct {
			limit Limit
			opts  Options
		}{
			{Limit{Quota: 1, Period: time.Second, Algorithm: SlidingLog}, Options{Prefetch: 1}},
			{PerSecond(1), Options{Prefetch: 1, Also: []Limit{PerHour(9)}}},
			{PerSecond(1), Options{Prefetch: 1, LimitFor: func(context.Context, string) ([]Limit, error) { return nil, nil }}},
		} {
			if _, err := New(rdb, "test", c.limit, &c.opts); err == nil || !strings.Contains(err.Error(), "Options.Prefetch") {
				t.Errorf("New(%+v, %+v) = %v, want an error about Prefetch", c.limit, c.opts, err)
			}
		}
	})
}

// Who asks for more at a time than is taken ahead gets all of the limit.
func TestPrefetchLessThanAskedFor(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(100), bare(Options{Prefetch: 4}))
		granted := 0
		for range 25 {
			got, err := r.AllowN(t.Context(), "k", 5)
			if err != nil {
				t.Fatal(err)
			}
			granted += got.Granted
		}
		if granted != 100 {
			t.Errorf("%d of 100 were granted", granted)
		}
	})
}

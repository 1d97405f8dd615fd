package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Many callers of one key in several limiters: exactly as many are allowed as the
// limits allow.
func TestHotKey(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for name, limits := range map[string][]Limit{
		"bucket": {{Quota: 300, Period: day}},
		"log":    {{Quota: 300, Period: day, Algorithm: SlidingLog}},
		"window": {{Quota: 300, Period: 100 * 365 * day, Algorithm: SlidingWindow}},
		"fixed":  {{Quota: 300, Period: 100 * 365 * day, Algorithm: FixedWindow}},
		"two":    {{Quota: 1000, Period: day}, {Quota: 300, Period: 2 * day}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				opts := bare(Options{Prefix: redistest.Prefix(t), Also: limits[1:]})
				a, b := newLimiter(t, s.Client(t), limits[0], opts), newLimiter(t, s.Client(t), limits[0], opts)
				var allowed atomic.Int64
				redistest.Together(64, func(i int) {
					r := []*Redis{a, b}[i%2]
					for range 10 {
						got, err := r.AllowN(t.Context(), "k", 1+i/2%2)
						if err != nil || got.Degraded {
							t.Errorf("AllowN = %+v, %v", got, err)
						}
						allowed.Add(int64(got.Granted))
					}
				})
				if n := allowed.Load(); n != 300 {
					t.Errorf("%d were allowed, want 300", n)
				}
				if n := a.Stats().Combined + b.Stats().Combined; n == 0 {
					t.Error("nobody was combined")
				}
			})
		})
	}
}

// hold makes a client's next command wait before it is sent.
func hold(rdb redis.UniversalClient) (held, release chan struct{}) {
	held, release = make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
		if cmd.Name() == "evalsha" && once.CompareAndSwap(false, true) {
			close(held)
			<-release
		}
		return send()
	}))
	return held, release
}

// Callers who were combined are answered in the order in which they came, each as if
// the others before had been answered.
func TestCombinedInOrder(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		s.Do(t, "set", "warm", "1")
		held, release := hold(rdb)
		r := newLimiter(t, rdb, PerSecond(10), Options{})
		counter := redistest.Count(t, rdb)
		results := make([]Result, 8)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i], _ = r.AllowN(context.Background(), "k", 2) })
			if i == 0 {
				<-held
			}
			synctest.Wait() // the others queue up one by one
		}
		close(release)
		wg.Wait()
		for i, got := range results {
			allowed := i < 5
			if got.Allowed != allowed || allowed && got.Remaining != 8-2*i || !allowed && (got.RetryAfter != 200*time.Millisecond || got.Remaining != 0) {
				t.Errorf("caller %d got %+v", i, got)
			}
		}
		if n := slices.DeleteFunc(counter.Commands(), func(c string) bool { return c == "eval" }); len(n) != 2 {
			t.Errorf("that cost %v, want two scripts", n)
		}
		if n := r.Stats().Combined; n != 7 {
			t.Errorf("%d callers were combined, want 7", n)
		}
	})
}

// A caller who waits for others leaves when its own context ends, and takes nothing if
// its group has not been sent; the others get theirs.
func TestCombinedCallerLeaves(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		held, release := hold(rdb)
		r := newLimiter(t, rdb, PerHour(3), bare(Options{}))
		var wg sync.WaitGroup
		wg.Go(func() { allows(t, r, "k", 1, true) })
		<-held
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wg.Go(func() {
			start := time.Now()
			_, err := r.Allow(ctx, "k")
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknownOutcome) || time.Since(start) != time.Second {
				t.Errorf("Allow = %v after %v, want DeadlineExceeded after 1 s", err, time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() { allows(t, r, "k", 1, true) })
		time.Sleep(2 * time.Second)
		close(release)
		wg.Wait()
		allows(t, r, "k", 1, true) // the one who left has taken nothing
		allows(t, r, "k", 1, false)
	})
}

// A caller who leaves while its group is under way may have been given what it asked
// for.
func TestCombinedCallerLeavesLate(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		held, release := hold(rdb)
		r := newLimiter(t, rdb, PerHour(3), bare(Options{}))
		var wg sync.WaitGroup
		wg.Go(func() { allows(t, r, "k", 1, true) })
		<-held
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wg.Go(func() {
			if _, err := r.Allow(ctx, "k"); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("Allow = %v, want Canceled and ErrUnknownOutcome", err)
			}
		})
		wg.Go(func() { allows(t, r, "k", 1, true) })
		synctest.Wait()
		held, again := hold(rdb)
		close(release)
		<-held
		cancel()
		synctest.Wait()
		close(again)
		wg.Wait()
		allows(t, r, "k", 1, false) // it was taken for the one who left
	})
}

// The first caller leaves while its request hangs: those behind it do not wait for it.
func TestCombinedFirstLeaves(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		held, release := hold(rdb)
		r := newLimiter(t, rdb, PerHour(3), bare(Options{}))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Allow(ctx, "k"); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("Allow = %v, want Canceled and ErrUnknownOutcome", err)
			}
		})
		<-held
		var others atomic.Int64
		for range 2 {
			wg.Go(func() { allows(t, r, "k", 1, true); others.Add(1) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if others.Load() != 2 {
			t.Error("the others still wait for a caller who has left")
		}
		close(release)
		wg.Wait()
	})
}

// When a crowd waits, it does not wait for the request that is under way.
func TestSecondGroup(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		held, release := hold(rdb)
		r := newLimiter(t, rdb, PerHour(100), bare(Options{}))
		var answered atomic.Int64
		var wg sync.WaitGroup
		ask := func() { wg.Go(func() { allows(t, r, "k", 1, true); answered.Add(1) }) }
		ask()
		<-held
		for range crowded {
			ask()
		}
		synctest.Wait()
		if n := answered.Load(); n != 0 {
			t.Errorf("%d callers were not combined", n)
		}
		ask()
		synctest.Wait()
		if n := answered.Load(); n != crowded+1 {
			t.Errorf("%d callers were answered while the first one's request hangs, want %d", n, crowded+1)
		}
		close(release)
		wg.Wait()
		if n := r.Stats().Combined; n != crowded+1 {
			t.Errorf("%d callers were combined, want %d", n, crowded+1)
		}
		if peek, err := r.Peek(t.Context(), "k"); err != nil || peek[0].Remaining != 100-crowded-2 {
			t.Errorf("Peek = %+v, %v, want %d taken", peek, err, crowded+2)
		}
	})
}

// While Redis hangs each caller waits for as long as Timeout says, from when it came,
// whatever the others do.
func TestCombinedTimeout(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		const ms = time.Millisecond
		rdb := s.Client(t)
		r := newLimiter(t, rdb, PerHour(100), bare(Options{Timeout: 100 * ms, OnUnavailable: FailClosed}))
		var wg sync.WaitGroup
		held, release := hold(rdb)
		wg.Go(func() { allows(t, r, "k", 1, true) })
		<-held
		wg.Go(func() { allows(t, r, "k", 1, true) }) // in the line that is used again below
		synctest.Wait()
		close(release)
		wg.Wait()

		release = make(chan struct{})
		rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
			if cmd.Name() == "evalsha" {
				<-release
			}
			return send()
		}))
		began := time.Now()
		// The second and third are under way from 100 ms on, the others queue up.
		for i, at := range []time.Duration{0, 10 * ms, 30 * ms, 105 * ms, 107 * ms} {
			wg.Go(func() {
				time.Sleep(at)
				if got, err := r.Allow(context.Background(), "k"); err != nil || !got.Degraded {
					t.Errorf("Allow = %+v, %v, want it Degraded", got, err)
				}
				if took := time.Since(began) - at; took != 100*ms {
					t.Errorf("caller %d waited %v", i, took)
				}
			})
		}
		wg.Wait()
		close(release)
		if st := r.Stats(); st.Unknown != 5 {
			t.Errorf("Stats() = %+v, want 5 Unknown", st)
		}
	})
}

// A lost reply is the whole group's, and debits what the group asked for once.
func TestCombinedReplyLost(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		rdb := p.Client(t)
		r := newLimiter(t, rdb, PerHour(100), bare(Options{Prefix: "p", OnUnavailable: FailClosed}))
		allows(t, r, "k", 2, true)
		results, err := r.AllowUpTo(t.Context(), "k", 8) // knows the script of groups
		if err != nil || results.Granted != 8 {
			t.Fatalf("AllowUpTo = %+v, %v", results, err)
		}
		held, release := hold(rdb)
		var wg sync.WaitGroup
		wg.Go(func() { allows(t, r, "k", 1, true) })
		<-held
		var degraded atomic.Int64
		for range 9 {
			wg.Go(func() {
				got, err := r.Allow(context.Background(), "k")
				if err != nil || got.Allowed || !got.Degraded {
					t.Errorf("Allow = %+v, %v, want a Degraded denial", got, err)
				}
				degraded.Add(1)
			})
		}
		synctest.Wait()
		p.DropRepliesTo(redistest.Script(ofAnyKind(takeSource)), 1)
		close(release)
		wg.Wait()
		if st := r.Stats(); degraded.Load() != 9 || st.Degraded != 9 || st.Unknown != 9 || st.Unavailable != 9 {
			t.Errorf("Stats() = %+v, want 9 Degraded, Unavailable and Unknown", st)
		}
		peek, err := newLimiter(t, s.Client(t), PerHour(100), bare(Options{Prefix: "p"})).Peek(t.Context(), "k")
		if err != nil || peek[0].Remaining != 100-2-8-1-9 {
			t.Errorf("Peek = %+v, %v, want what was asked for taken once, and 80 left", peek, err)
		}
	})
}

// Callers come and go at random, on few keys: nobody is forgotten, and nothing of it
// is left.
func TestCombiningUnderChurn(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(1000), bare(Options{}))
		var granted atomic.Int64
		redistest.Together(32, func(i int) {
			for j := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if j%3 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(i*j%7)*200*time.Microsecond)
				}
				got, err := r.AllowN(ctx, fmt.Sprint(j/25), 1+j%2)
				if err != nil && ctx.Err() == nil {
					t.Errorf("AllowN = %v", err)
				}
				granted.Add(int64(got.Granted))
				cancel()
			}
		})
		taken := 0
		for i := range 4 {
			peek, err := r.Peek(t.Context(), fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			taken += 1000 - peek[0].Remaining
		}
		if int64(taken) < granted.Load()-10 { // some come back within the time this takes
			t.Errorf("%d were granted, but %d taken", granted.Load(), taken)
		}
		redistest.Eventually(t, "no key is under way", func() bool {
			n := 0
			for i := range r.flights.shards {
				s := &r.flights.shards[i]
				s.mu.Lock()
				n += len(s.lines)
				s.mu.Unlock()
			}
			return n == 0
		})
	})
}

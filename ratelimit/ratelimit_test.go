package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The example in the comment of Result.
func TestResult(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerSecond(5), Options{})
		m, err := NewMemory(PerSecond(5), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, l := range map[string]Limiter{"test": r, "": m} {
			limit := Limit{Name: name, Quota: 5, Period: time.Second, Burst: 5}
			want := Result{Allowed: true, Limit: limit, Granted: 3, Remaining: 2, ResetAfter: 600 * time.Millisecond}
			if got := allows(t, l, "k", 3, true); got != want {
				t.Errorf("AllowN(3) = %+v, want %+v", got, want)
			}
			want = Result{Limit: limit, Remaining: 2, RetryAfter: 400 * time.Millisecond, ResetAfter: 600 * time.Millisecond}
			if got := allows(t, l, "k", 4, false); got != want {
				t.Errorf("AllowN(4) = %+v, want %+v", got, want)
			}
		}
	})
}

// RetryAfter and Remaining are exact, whatever the algorithm: a retry after RetryAfter
// passes, and a microsecond earlier it does not; Remaining passes, and one more does
// not.
func TestRetryAfterAndRemaining(t *testing.T) {
	for name, limits := range someLimits(t) {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				opts := bare(Options{Also: limits[1:]})
				r := newLimiter(t, s.Client(t), limits[0], opts)
				m, err := NewMemory(limits[0], &opts)
				if err != nil {
					t.Fatal(err)
				}
				for of, l := range map[string]Limiter{"Redis": r, "Memory": m} {
					seed := rand.Uint64()
					live := newLife(seed, r.plans.own)
					for i := range 40 {
						time.Sleep(live.pause())
						n := int(1 + live.Int64N(min(live.p.capacity, 30)))
						got, err := l.AllowN(t.Context(), "k", n)
						if err != nil {
							t.Fatal(err)
						}
						if got.Allowed {
							continue
						}
						what := fmt.Sprintf("%s, seed %d, step %d: after AllowN(%d) = %+v", of, seed, i, n, got)
						if got.Remaining >= n || got.RetryAfter <= 0 || got.ResetAfter < got.RetryAfter && len(limits) == 1 {
							t.Fatalf("%s: that cannot be", what)
						}
						if again, err := l.AllowN(t.Context(), "k", got.Remaining+1); err != nil || again.Allowed {
							t.Fatalf("%s: AllowN(Remaining + 1) = %+v, %v", what, again, err)
						}
						if i%3 == 0 && got.Remaining > 0 {
							if again, err := l.AllowN(t.Context(), "k", got.Remaining); err != nil || !again.Allowed || again.Remaining != 0 {
								t.Fatalf("%s: AllowN(Remaining) = %+v, %v", what, again, err)
							}
							continue
						}
						time.Sleep(got.RetryAfter - time.Microsecond)
						if early, err := l.AllowN(t.Context(), "k", n); err != nil || early.Allowed || early.RetryAfter != time.Microsecond {
							t.Fatalf("%s: a microsecond too early: %+v, %v", what, early, err)
						}
						time.Sleep(time.Microsecond)
						if again, err := l.AllowN(t.Context(), "k", n); err != nil || !again.Allowed {
							t.Fatalf("%s: after RetryAfter: %+v, %v", what, again, err)
						}
					}
				}
			})
		})
	}
}

// Memory decides as Redis does.
func TestMemoryIsATwin(t *testing.T) {
	for name, limits := range someLimits(t) {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				opts := bare(Options{Also: limits[1:]})
				r := newLimiter(t, s.Client(t), limits[0], opts)
				m := newMemory(r.plans)
				seed := rand.Uint64()
				live := newLife(seed, r.plans.own)
				for i := range 150 {
					time.Sleep(live.pause())
					n := int(1 + live.Int64N(min(live.p.capacity, 30)))
					var a, b []Result
					var err1, err2 error
					one := func(r Result, err error) ([]Result, error) { return []Result{r}, err }
					switch live.IntN(6) {
					case 0:
						err1, err2 = r.Refund(t.Context(), "k", n), m.Refund(t.Context(), "k", n)
					case 1:
						a, err1 = r.Peek(t.Context(), "k")
						b, err2 = m.Peek(t.Context(), "k")
					case 2:
						a, err1 = one(r.AllowUpTo(t.Context(), "k", 5*n))
						b, err2 = one(m.AllowUpTo(t.Context(), "k", 5*n))
					case 3:
						if live.IntN(10) == 0 {
							err1, err2 = r.Reset(t.Context(), "k"), m.Reset(t.Context(), "k")
						}
					default:
						a, err1 = one(r.AllowN(t.Context(), "k", n))
						b, err2 = one(m.AllowN(t.Context(), "k", n))
					}
					if err1 != nil || err2 != nil || fmt.Sprint(a) != fmt.Sprint(b) {
						t.Fatalf("seed %d, step %d: Redis says %+v, %v, and Memory %+v, %v", seed, i, a, err1, b, err2)
					}
				}
			})
		})
	}
}

// A denial changes no byte, not even an expiry, and neither does a Peek.
func TestDenialChangesNothing(t *testing.T) {
	t.Parallel()
	limits := someLimits(t)["one of each"]
	for i := range limits {
		limits[i].Quota, limits[i].Period = 3+i, time.Hour
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for i := range limits {
			single := newLimiter(t, rdb, limits[i], bare(Options{}))
			all := newLimiter(t, rdb, limits[i], bare(Options{Also: append(append([]Limit{}, limits[:i]...), limits[i+1:]...)}))
			for _, r := range []*Redis{single, all} {
				allows(t, r, "k", 2, true)
				before := dump(t, s, r, "k")
				for range 5 {
					allows(t, r, "k", int(r.plans.own.capacity), false)
					if _, err := r.Peek(t.Context(), "k"); err != nil {
						t.Error(err)
					}
				}
				if after := dump(t, s, r, "k"); after != before {
					t.Errorf("denials changed\n%q\nto\n%q", before, after)
				}
			}
		}
	})
}

// dump is all that is stored of a key, and when it expires, which miniredis does not
// know to the millisecond.
func dump(t testing.TB, s *redistest.Server, r *Redis, key string) string {
	t.Helper()
	rdb := s.Client(t)
	var all strings.Builder
	for _, k := range r.plans.own.keys(r.o.keys, key) {
		v, err := rdb.Get(t.Context(), k).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		at, err := rdb.PExpireTime(t.Context(), k).Result()
		if err != nil {
			t.Fatal(err)
		}
		if s.Mini() != nil {
			at = 0
		}
		fmt.Fprintf(&all, "%s=%q until %v\n", k, v, at)
	}
	return all.String()
}

// Several limits: all or nothing, one command in one slot, and the result is about
// the limit that decided.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, Limit{Name: "a", Quota: 10, Period: time.Hour}, bare(Options{Also: []Limit{
			{Name: "b", Quota: 4, Period: time.Hour, Algorithm: SlidingLog},
			{Name: "c", Quota: 6, Period: 2 * time.Hour},
		}}))
		if got := allows(t, r, "k", 3, true); got.Limit.Name != "b" || got.Remaining != 1 {
			t.Errorf("AllowN(3) = %+v, want the least Remaining, 1 of b", got)
		}
		before := dump(t, s, r, "k")
		if got := allows(t, r, "k", 2, false); got.Limit.Name != "b" || got.Remaining != 1 || got.RetryAfter < 59*time.Minute {
			t.Errorf("AllowN(2) = %+v, want a denial by b, of which 1 is left", got)
		}
		if after := dump(t, s, r, "k"); after != before {
			t.Errorf("the denial changed\n%s\nto\n%s", before, after)
		}
		// b is free in an hour; a and c are not asked before.
		if got := allows(t, r, "k", 4, false); got.Limit.Name != "b" {
			t.Errorf("AllowN(4) = %+v, want a denial by b, the one with the longest RetryAfter", got)
		}
		got, err := r.AllowUpTo(t.Context(), "k", 100)
		if err != nil || !got.Allowed || got.Granted != 1 {
			t.Errorf("AllowUpTo(100) = %+v, %v, want 1", got, err)
		}
		left := []int{6, 0, 2}
		results, err := r.Peek(t.Context(), "k")
		if err != nil || len(results) != 3 {
			t.Fatalf("Peek = %+v, %v, want three results", results, err)
		}
		for i, p := range results {
			if p.Remaining != left[i] || p.Allowed != (left[i] > 0) || p.Limit != r.plans.own.limits[i] {
				t.Errorf("Peek()[%d] = %+v, want %d left", i, p, left[i])
			}
		}
		if err := r.Refund(t.Context(), "k", 2); err != nil {
			t.Fatal(err)
		}
		allows(t, r, "k", 2, true)
		if err := r.Reset(t.Context(), "k", "other"); err != nil {
			t.Fatal(err)
		}
		allows(t, r, "k", 4, true)
	})
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, PerSecond(5), Options{Also: []Limit{{Quota: 3, Period: time.Hour}}})
		counter := redistest.Count(t, rdb)
		ctx := t.Context()
		for _, n := range []int{0, -3} {
			for name, err := range map[string]error{
				"AllowN":    second(r.AllowN(ctx, "k", n)),
				"AllowUpTo": second(r.AllowUpTo(ctx, "k", n)),
				"Refund":    r.Refund(ctx, "k", n),
				"Wait":      r.Wait(ctx, "k", n),
			} {
				if err == nil || errors.Is(err, ErrExceedsBurst) {
					t.Errorf("%s(%d) = %v, want an error", name, n, err)
				}
			}
		}
		if err := second(r.AllowN(ctx, "k", 4)); !errors.Is(err, ErrExceedsBurst) {
			t.Errorf("AllowN(4) of 3 = %v, want ErrExceedsBurst", err)
		}
		if err := r.Wait(ctx, "k", 4); !errors.Is(err, ErrExceedsBurst) {
			t.Errorf("Wait(4) of 3 = %v, want ErrExceedsBurst", err)
		}
		if n := counter.RoundTrips(); n != 0 {
			t.Errorf("that cost %d round trips, want none", n)
		}
		if got, err := r.AllowUpTo(ctx, "k", 4); err != nil || got.Granted != 3 {
			t.Errorf("AllowUpTo(4) of 3 = %+v, %v, want 3", got, err)
		}
		r.denials.add(r.plans.own, "denied", 1, r.denials.now("denied"), []standing{{retry: 1_000_000, reset: 1_000_000}, {}})
		if got := allows(t, r, "denied", 1, false); got.RetryAfter == 0 {
			t.Errorf("a remembered denial is %+v", got)
		}
		if err := r.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"Allow": second(r.Allow(ctx, "k")), "Allow, remembered": second(r.Allow(ctx, "denied")), "AllowUpTo": second(r.AllowUpTo(ctx, "k", 1)),
			"Refund": r.Refund(ctx, "k", 1), "Wait": r.Wait(ctx, "k", 1), "Reset": r.Reset(ctx, "k"),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close = %v, want ErrClosed", name, err)
			}
		}
		if _, err := r.Peek(ctx, "k"); !errors.Is(err, ErrClosed) {
			t.Errorf("Peek after Close = %v, want ErrClosed", err)
		}
	})
}

func second(_ Result, err error) error { return err }

func TestWait(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerSecond(10), Options{})
		m, err := NewMemory(PerSecond(10), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []interface {
			Limiter
			Wait(context.Context, string, int) error
		}{r, m} {
			start := time.Now()
			for range 25 {
				if err := l.Wait(t.Context(), "k", 1); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took != 1500*time.Millisecond {
				t.Errorf("%T: 25 waits took %v, want 1.5 s", l, took)
			}
			start = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 450*time.Millisecond)
			defer cancel()
			if err := l.Wait(ctx, "k", 5); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
				t.Errorf("%T: Wait with a deadline too early = %v after %v, want DeadlineExceeded at once", l, err, time.Since(start))
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if err := l.Wait(ctx, "k", 5); !errors.Is(err, context.Canceled) || time.Since(start) != 50*time.Millisecond {
				t.Errorf("%T: Wait = %v after %v, want Canceled after 50 ms", l, err, time.Since(start))
			}
		}
		allows(t, r, "other", 10, true)
		time.AfterFunc(50*time.Millisecond, func() { _ = r.Close(context.Background()) })
		if err := r.Wait(t.Context(), "other", 5); !errors.Is(err, ErrClosed) {
			t.Errorf("Wait while the limiter is closed = %v, want ErrClosed", err)
		}
	})
}

// Seven a second is exact for ever: the second token is there after 142857 1/7 µs,
// which is not before the 142858th, and the 7n-th after n seconds.
func TestExactRemainder(t *testing.T) {
	for name, also := range map[string][]Limit{"alone": nil, "with another": {PerHour(1_000_000)}} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				opts := bare(Options{Also: also})
				limit := Limit{Quota: 7, Period: time.Second, Burst: 1}
				r := newLimiter(t, s.Client(t), limit, opts)
				m, err := NewMemory(limit, &opts)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range []Limiter{r, m} {
					allows(t, l, "k", 1, true)
					time.Sleep(142857 * time.Microsecond)
					if got := allows(t, l, "k", 1, false); got.RetryAfter != time.Microsecond {
						t.Errorf("after 142857 µs: %+v, want RetryAfter 1 µs", got)
					}
					time.Sleep(time.Microsecond)
					allows(t, l, "k", 1, true)
				}
				if err := r.Reset(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				allows(t, r, "k", 1, true)
				for n := 1; n <= 210; n++ {
					if err := r.Wait(t.Context(), "k", 1); err != nil {
						t.Fatal(err)
					}
					// Who comes after a token is there does not lose the time between.
					exact := time.Duration(n) * time.Second / 7
					if took := time.Since(start); took < exact || took > exact+time.Duration(n)*time.Microsecond {
						t.Fatalf("%d tokens took %v, want %v", n, took, exact)
					}
				}
			})
		})
	}
}

// When the rate changes the bucket goes on with what is in it.
func TestRateChanges(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		open := func(l Limit) *Redis { return newLimiter(t, s.Client(t), l, bare(Options{Prefix: "p"})) }
		seven, eleven, one := open(PerSecond(7)), open(PerSecond(11)), open(PerSecond(1))
		rdb := s.Client(t)
		value := func() string { return rdb.Get(t.Context(), "p:test:t:{k}").Val() }
		start := time.Now().UnixMicro()
		allows(t, seven, "k", 1, true)
		if got, want := value(), fmt.Sprintf("%016d%d", start+142857, 7*6/2+1); got != want {
			t.Errorf("the value is %s, want %s: 142857 µs and 1/7", got, want)
		}
		allows(t, eleven, "k", 1, true)
		if got, want := value(), fmt.Sprintf("%016d%d", start+142857+90909, 11*10/2+1); got != want {
			t.Errorf("the value is %s, want %s: 1/7 dropped, 1/11 added", got, want)
		}
		// A burst of 1 s in which 234 ms are used is more than that limit allows.
		allows(t, one, "k", 1, false)
		time.Sleep(233767 * time.Microsecond)
		allows(t, one, "k", 1, true)
		if got, want := value(), fmt.Sprintf("%016d", start+233767+1_000_000); got != want {
			t.Errorf("the value is %s, want %s", got, want)
		}
	})
}

// A clock that is set back by years heals: buckets and windows are usable again within
// the time in which they would have been without, and counting goes on.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	for name, limits := range someLimits(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
				r := newLimiter(t, s.Client(t), limits[0], bare(Options{Also: limits[1:]}))
				s.Mini().ClockTTL(false)
				now := time.Date(2030, 1, 1, 0, 0, 0, 500_000_000, time.UTC)
				s.Mini().SetTime(now)
				n := int(r.plans.own.capacity)
				allows(t, r, "k", n, true)
				now = now.Add(-20 * 365 * 24 * time.Hour)
				s.Mini().SetTime(now)
				got := allows(t, r, "k", n, false)
				longest := time.Duration(0)
				for _, l := range r.plans.own.limits {
					d := l.Period
					if l.Algorithm == TokenBucket {
						d = time.Duration(float64(l.Burst) / float64(l.Quota) * float64(l.Period))
					} else if l.Algorithm == SlidingWindow {
						d *= 2
					}
					longest = max(longest, d+time.Microsecond)
				}
				if got.RetryAfter > longest {
					t.Errorf("RetryAfter = %v, want at most %v", got.RetryAfter, longest)
				}
				s.Mini().SetTime(now.Add(got.RetryAfter))
				allows(t, r, "k", n, true)
			})
		})
	}
}

// A Refund is for the window in which it was called: if the server comes to it in the
// next one, that gets nothing, but other limits do.
func TestRefundNamesItsWindow(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		limit := Limit{Name: "fixed", Quota: 10, Period: time.Minute, Algorithm: FixedWindow}
		opts := bare(Options{Prefix: "p", Timeout: time.Hour, Also: []Limit{{Name: "bucket", Quota: 10, Period: time.Hour}}})
		r, other := newLimiter(t, rdb, limit, opts), newLimiter(t, s.Client(t), limit, opts)
		left := func(fixed, bucket int) {
			t.Helper()
			got, err := other.Peek(t.Context(), "k")
			if err != nil || got[0].Remaining != fixed || got[1].Remaining != bucket {
				t.Errorf("Peek = %+v, %v, want %d and %d", got, err, fixed, bucket)
			}
		}
		allows(t, r, "k", 4, true)
		held, release := hold(rdb)
		done := make(chan error)
		go func() { done <- r.Refund(context.Background(), "k", 2) }()
		<-held
		time.Sleep(time.Minute)
		allows(t, other, "k", 3, true)
		left(7, 3)
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		left(7, 5)
		if err := r.Refund(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		left(8, 6)
		// The server's clock is not where it was thought to be.
		s.Mini().SetTime(time.Now().Add(-time.Hour))
		if err := r.Refund(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		left(9, 1)
	})
}

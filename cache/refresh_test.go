package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Past its TTL a value is served at once, and one of eight processes refreshes it.
func TestStaleFor(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 8, Options{TTL: 20 * time.Millisecond, Jitter: -1, StaleFor: time.Hour, EarlyRefresh: -1})
		wants(t, cs[0], "k", returns(new(atomic.Int64), "old"), "old")
		settled(t, cs[0])
		time.Sleep(25 * time.Millisecond)
		g := newGate()
		load := func(ctx context.Context) ([]byte, error) {
			SetTTL(ctx, time.Hour)
			return g.load("new", nil)(ctx)
		}
		redistest.Together(64, func(i int) {
			for range 3 {
				wants(t, cs[i%8], "k", load, "old")
			}
		})
		<-g.began
		close(g.open)
		for _, c := range cs {
			settled(t, c)
		}
		var stale, refreshes, loads uint64
		for _, c := range cs {
			wants(t, c, "k", mustNotLoad(t), "new")
			st := c.Stats()
			stale, refreshes, loads = stale+st.StaleHits, refreshes+st.Refreshes, loads+st.Loads
		}
		if n := g.n.Load(); n != 1 || refreshes != 1 || loads != 2 || stale != 64*3 {
			t.Errorf("%d refreshes; Stats: Refreshes %d, Loads %d, StaleHits %d, want 1; 1, 2, %d", n, refreshes, loads, stale, 64*3)
		}
	})
}

// A refresh that fails is told to OnError and tried again once a second, and the
// stale value served until StaleFor ends.
func TestRefreshFails(t *testing.T) {
	for name, fails := range map[string]func() ([]byte, error){
		"error": func() ([]byte, error) { return nil, errBroken },
		"panic": func() ([]byte, error) { panic(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				var reported atomic.Int64
				c := newCaches(t, s, 1, Options{
					Prefix: "p", TTL: time.Minute, Jitter: -1, StaleFor: 10 * time.Second, EarlyRefresh: -1,
					OnError: func(err error) {
						reported.Add(1)
						if !errors.Is(err, errBroken) {
							t.Errorf("OnError(%v), want %v", err, errBroken)
						}
					},
				})[0]
				wants(t, c, "k", returns(new(atomic.Int64), "old"), "old")
				time.Sleep(time.Minute + time.Millisecond)
				var n atomic.Int64
				load := func(context.Context) ([]byte, error) { n.Add(1); return fails() }
				for range 500 { // for 5 s
					wants(t, c, "k", load, "old")
					time.Sleep(10 * time.Millisecond)
				}
				if n.Load() < 4 || n.Load() > 6 || reported.Load() != n.Load() {
					t.Errorf("%d refreshes in 5 s, %d reported, want one a second", n.Load(), reported.Load())
				}
				time.Sleep(5 * time.Second)
				call(t.Context(), c, "k", load).fails(t, "k", errBroken)
			})
		})
	}
}

// A refresh that finds that the thing is gone makes the cache forget it.
func TestRefreshFindsNothing(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", TTL: time.Minute, Jitter: -1, StaleFor: time.Hour, StaleOnError: time.Hour, EarlyRefresh: -1})[0]
		wants(t, c, "k", returns(new(atomic.Int64), "old"), "old")
		time.Sleep(2 * time.Minute)
		none := func(context.Context) ([]byte, error) { return nil, ErrNotFound }
		wants(t, c, "k", none, "old")
		synctest.Wait()
		call(t.Context(), c, "k", mustNotLoad(t)).fails(t, "k", ErrNotFound)
	})
}

// When a load fails the old value is served for StaleOnError, but never for
// ErrNotFound.
func TestStaleOnError(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		var reported atomic.Int64
		opts := Options{
			Prefix: "p", TTL: time.Minute, Jitter: -1, StaleOnError: 10 * time.Second, LoadTimeout: time.Second, EarlyRefresh: -1,
			OnError: func(error) { reported.Add(1) },
		}
		c := newCaches(t, s, 1, opts)[0]
		wants(t, c, "k", returns(new(atomic.Int64), "old"), "old")
		wants(t, c, "gone", returns(new(atomic.Int64), "old"), "old")
		time.Sleep(time.Minute + time.Millisecond)
		for _, fails := range []func(context.Context) ([]byte, error){
			func(context.Context) ([]byte, error) { return nil, errBroken },
			func(context.Context) ([]byte, error) { panic("oops") },
			func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		} {
			redistest.Together(4, func(int) { wants(t, c, "k", fails, "old") })
		}
		if st := c.Stats(); st.StaleOnError != 12 || st.LoadErrors < 3 || uint64(reported.Load()) != 12 {
			t.Errorf("Stats() = %+v, %d reported, want StaleOnError 12, LoadErrors 3 at least, 12 reported", st, reported.Load())
		}
		call(t.Context(), c, "gone", func(context.Context) ([]byte, error) { return nil, fmt.Errorf("row: %w", ErrNotFound) }).fails(t, "gone", ErrNotFound)
		time.Sleep(10 * time.Second)
		call(t.Context(), c, "k", func(context.Context) ([]byte, error) { return nil, errBroken }).fails(t, "k", errBroken)
	})
}

// What a stale value covers within a process is so in every topology.
func TestStaleOnErrorEach(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{TTL: 5 * time.Millisecond, Jitter: -1, StaleOnError: time.Hour})
		wants(t, cs[0], "k", returns(new(atomic.Int64), "old"), "old")
		settled(t, cs[0])
		time.Sleep(10 * time.Millisecond)
		for _, c := range cs {
			wants(t, c, "k", func(context.Context) ([]byte, error) { return nil, errBroken }, "old")
		}
		call(t.Context(), cs[0], "k", func(context.Context) ([]byte, error) { return nil, ErrNotFound }).fails(t, "k", ErrNotFound)
	})
}

// earlyRefresh reads a value every 100 ms until it is loaded anew, and returns how
// long before its TTL that was.
func earlyRefresh(t *testing.T, c *Redis, key string, ttl, cost time.Duration) time.Duration {
	wants(t, c, key, slow(cost), "slow")
	stored := time.Now()
	time.Sleep(time.Millisecond) // until it is
	var left atomic.Int64
	left.Store(math.MinInt64)
	time.Sleep(ttl - 12*cost)
	for left.Load() == math.MinInt64 && time.Since(stored) < ttl+time.Second {
		wants(t, c, key, func(ctx context.Context) ([]byte, error) {
			left.CompareAndSwap(math.MinInt64, int64(ttl-time.Since(stored)))
			return []byte("slow"), nil
		}, "slow")
		time.Sleep(100 * time.Millisecond)
	}
	return time.Duration(left.Load())
}

// XFetch: with a read every δ, the value is loaded anew with x left with the
// probability exp(−x/βΔ) at each of them.
func TestEarlyRefresh(t *testing.T) {
	for _, beta := range []float64{1, 3, -1} {
		t.Run(fmt.Sprint(beta), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				const runs, ttl, cost = 60, time.Minute, time.Second
				c := newCaches(t, s, 1, Options{Prefix: "p", TTL: ttl, Jitter: -1, EarlyRefresh: beta})[0]
				var mu sync.Mutex
				var sum, late float64
				redistest.Together(runs, func(i int) {
					left := earlyRefresh(t, c, fmt.Sprint("k", i), ttl, cost).Seconds()
					mu.Lock()
					defer mu.Unlock()
					sum += left
					if left <= 0 {
						late++
					}
				})
				// What the algorithm gives with these reads.
				var mean, second, none float64 = 0, 0, 1
				for x := 12.0; x > 0; x -= 0.1 {
					p := 0.0
					if beta > 0 {
						p = math.Exp(-x / beta)
					}
					mean += none * p * x
					second += none * p * x * x
					none *= 1 - p
				}
				tolerance := 4 * math.Sqrt((second-mean*mean)/runs)
				t.Logf("β %v: refreshed %.2f s before the TTL on average, want %.2f ± %.2f; %v of %d late", beta, sum/runs, mean, tolerance, late, runs)
				if beta < 0 {
					if late != runs {
						t.Errorf("%v of %d were refreshed early, want none", runs-late, runs)
					}
					return
				}
				if late != 0 || math.Abs(sum/runs-mean) > tolerance+0.1 {
					t.Errorf("refreshed %.2f s before the TTL on average, %v of %d late, want %.2f ± %.2f and none", sum/runs, late, runs, mean, tolerance)
				}
				if st := c.Stats(); st.Refreshes != runs || st.StaleHits != 0 {
					t.Errorf("Stats() = %+v, want Refreshes %d, StaleHits 0", st, runs)
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ jitter, low, high float64 }{{0, 0.9, 1.1}, {0.5, 0.5, 1.5}, {-1, 1, 1}} {
		o, err := newSettings(&Options{TTL: time.Hour, Jitter: test.jitter})
		if err != nil {
			t.Fatal(err)
		}
		low, high := math.Inf(1), math.Inf(-1)
		for range 10_000 {
			f := float64(o.jittered(o.TTL)) / float64(time.Hour)
			low, high = min(low, f), max(high, f)
		}
		if low < test.low || low > test.low+0.01 || high > test.high || high < test.high-0.01 {
			t.Errorf("Jitter %v: TTLs from %.3f to %.3f of it, want %v to %v", test.jitter, low, high, test.low, test.high)
		}
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t), TTL: time.Hour})
		seen := make(map[time.Duration]bool)
		for i := range 20 {
			key := fmt.Sprint("k", i)
			wants(t, c, key, returns(new(atomic.Int64), "v"), "v")
			settled(t, c)
			d := rdb.PTTL(t.Context(), c.keysOf(key)[0]).Val()
			if d < 53*time.Minute || d > 66*time.Minute {
				t.Errorf("a value lives %v, want 54m to 66m", d)
			}
			seen[d.Round(time.Second)] = true
		}
		if len(seen) < 10 {
			t.Errorf("20 values have %d different TTLs", len(seen))
		}
	})
}

func TestSetTTL(t *testing.T) {
	t.Parallel()
	SetTTL(t.Context(), time.Hour) // outside a load: nothing
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t)})
		for _, test := range []struct{ ttl, want time.Duration }{{10 * time.Second, 10 * time.Second}, {0, 0}, {-1, 0}, {math.MaxInt64, maxTTL}} {
			for _, fails := range []error{nil, ErrNotFound} {
				key := fmt.Sprint(test.ttl, fails)
				o := call(t.Context(), c, key, func(ctx context.Context) ([]byte, error) {
					SetTTL(ctx, test.ttl)
					return []byte("v"), fails
				})
				if !errors.Is(o.err, fails) {
					t.Errorf("GetOrLoad(%q) = %v, want %v", key, o.err, fails)
				}
				settled(t, c)
				d := max(rdb.PTTL(t.Context(), c.keysOf(key)[0]).Val(), 0)
				if d > test.want || d < test.want-9*time.Second {
					t.Errorf("SetTTL(%v): the value lives %v, want %v", test.ttl, d, test.want)
				}
				redistest.Eventually(t, "the lease is released", func() bool { return rdb.Exists(t.Context(), c.keysOf(key)[1]).Val() == 0 })
			}
		}
	})
}

func TestOldAndNotModified(t *testing.T) {
	t.Parallel()
	if v, ok := Old[[]byte](t.Context()); ok || v != nil {
		t.Errorf("Old() outside a load = %q, %v", v, ok)
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{StaleOnError: time.Hour})[0]
		notModified := func(old string) func(context.Context) ([]byte, error) {
			return func(ctx context.Context) ([]byte, error) {
				if v, ok := Old[[]byte](ctx); ok != (old != "") || string(v) != old {
					t.Errorf("Old() = %q, %v, want %q", v, ok, old)
				}
				if v, ok := Old[int](ctx); ok || v != 0 {
					t.Errorf("Old[int]() = %v, %v, want 0, false", v, ok)
				}
				return nil, fmt.Errorf("304: %w", ErrNotModified)
			}
		}
		call(t.Context(), c, "k", notModified("")).fails(t, "k", ErrNotModified)
		wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
		settled(t, c)
		if err := c.Expire(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		wants(t, c, "k", notModified("v"), "v")
		settled(t, c)
		peeks(t, c, "k", "v") // fresh again
	})
}

// A process whose clock is decades off sees the same values as fresh, stale and
// expired, and what it stores is stored for others. In a bubble it is the year
// 2000.
func TestClientClockIsWrong(t *testing.T) {
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		opts := Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, StaleOnError: time.Hour, Jitter: -1}
		expires := opts
		expires.StaleFor = 0
		right := newCache(t, s.Client(t), opts)
		for key, ttl := range map[string]time.Duration{"fresh": time.Hour, "stale": time.Millisecond, "expired": time.Millisecond, "kept": time.Millisecond} {
			if err := right.Set(t.Context(), key, []byte("v"), ttl); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(10 * time.Second) })
			if y := time.Now().Year(); y != 2000 {
				t.Fatalf("it is %d", y)
			}
			in := func(opts Options) *Redis { return newCache(t, s.Client(t), opts) }
			c := in(opts)
			wants(t, c, "fresh", mustNotLoad(t), "v")
			wants(t, c, "fresh", mustNotLoad(t), "v") // by GET
			if st := c.Stats(); st.Hits != 2 || st.Refreshes != 0 {
				t.Errorf("Stats() = %+v, want Hits 2, Refreshes 0", st)
			}
			c = in(opts)
			wants(t, c, "stale", returns(new(atomic.Int64), "new"), "v")
			settled(t, c)
			if st := c.Stats(); st.StaleHits != 1 || st.Refreshes != 1 {
				t.Errorf("Stats() = %+v, want StaleHits 1, Refreshes 1", st)
			}
			c = in(expires)
			wants(t, c, "expired", returns(new(atomic.Int64), "new"), "new")
			settled(t, c)
			c = in(expires)
			wants(t, c, "kept", func(context.Context) ([]byte, error) { return nil, errBroken }, "v")
			if err := in(opts).Set(t.Context(), "set", []byte("new"), 0); err != nil {
				t.Errorf("Set(%q) = %v", "set", err)
			}
			if err := in(opts).Expire(t.Context(), "fresh"); err != nil {
				t.Errorf("Expire(%q) = %v", "fresh", err)
			}
		})
		fresh := newCache(t, s.Client(t), expires)
		for _, key := range []string{"stale", "expired", "set"} {
			wants(t, fresh, key, mustNotLoad(t), "new")
		}
		wants(t, fresh, "fresh", returns(new(atomic.Int64), "new"), "new")
	})
}

// A request to refresh arrives after the value has changed: nothing is loaded.
func TestLateRefresh(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, change := range map[string]func(b *Redis) error{
			"refreshed": func(b *Redis) error {
				wants(t, b, "k", returns(new(atomic.Int64), "new"), "old")
				settled(t, b)
				return nil
			},
			"Set":    func(b *Redis) error { return b.Set(t.Context(), "k", []byte("new"), 0) },
			"Delete": func(b *Redis) error { return b.Delete(t.Context(), "k") },
		} {
			t.Run(name, func(t *testing.T) {
				opts := Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, Jitter: -1, EarlyRefresh: -1}
				rdb := s.Client(t)
				a, b := newCache(t, rdb, opts), newCache(t, s.Client(t), opts)
				arrive := make(chan struct{})
				rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
					if cmd.Name() == "evalsha" && redistest.Script(refreshSource)(fmt.Append(nil, cmd.Args()...)) {
						<-arrive
					}
					return send()
				}))
				if err := b.Set(t.Context(), "k", []byte("old"), time.Millisecond); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond)
				wants(t, a, "k", mustNotLoad(t), "old")
				if err := change(b); err != nil {
					t.Fatal(err)
				}
				close(arrive)
				settled(t, a)
				if st := a.Stats(); st.StaleHits != 1 || st.Refreshes != 0 {
					t.Errorf("Stats() = %+v, want StaleHits 1, Refreshes 0", st)
				}
			})
		}
	})
}

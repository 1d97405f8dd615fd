package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// newConcurrency returns a limit whose Timeout is long unless the test sets it.
func newConcurrency(t testing.TB, rdb redis.UniversalClient, limit int, opts ConcurrencyOptions) *Concurrency {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	c, err := NewConcurrency(rdb, "jobs", limit, &opts)
	if err != nil {
		t.Fatalf("NewConcurrency(%d, %+v) = %v", limit, opts, err)
	}
	return c
}

// acquires fails the test unless Acquire comes to want.
func acquires(t testing.TB, c *Concurrency, key string, want error) *Lease {
	t.Helper()
	l, err := c.Acquire(t.Context(), key)
	if !errors.Is(err, want) || (l == nil) != (err != nil) {
		t.Fatalf("Acquire(%q) = %v, %v, want the error %v", key, l, err, want)
	}
	return l
}

// hasLeases fails the test unless as many leases of key are in Redis.
func hasLeases(t testing.TB, s *redistest.Server, c *Concurrency, key string, want int64) {
	t.Helper()
	if n := s.Do(t, "zcard", c.keys.Key("c", key)); n != want {
		t.Errorf("there are %v leases of %q in Redis, want %d", n, key, want)
	}
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		a := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{Prefix: prefix})
		b := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{Prefix: prefix})
		ctx := t.Context()
		first := acquires(t, a, "k", nil)
		second := acquires(t, b, "k", nil)
		for _, c := range []*Concurrency{a, b} {
			acquires(t, c, "k", ErrFull)
			acquires(t, c, "k", ErrFull)
		}
		for _, other := range []string{"", "}", "K", "k\x00\xff", "{k}"} {
			l := acquires(t, a, other, nil)
			hasLeases(t, s, a, other, 1)
			if err := l.Release(ctx); err != nil {
				t.Errorf("Release of %q = %v", other, err)
			}
		}
		if ttl, _ := s.Do(t, "pttl", a.keys.Key("c", "k")).(int64); ttl < 1000 || ttl > 30_001 {
			t.Errorf("the key has a TTL of %d ms, want 30 s", ttl)
		}
		if err := first.Renew(ctx); err != nil {
			t.Errorf("Renew = %v", err)
		}
		hasLeases(t, s, a, "k", 2)
		for range 2 { // the second does nothing
			if err := first.Release(ctx); err != nil {
				t.Errorf("Release = %v", err)
			}
			if err := first.Renew(ctx); !errors.Is(err, ErrLeaseLost) {
				t.Errorf("Renew after Release = %v, want ErrLeaseLost", err)
			}
			hasLeases(t, s, a, "k", 1)
		}
		third := acquires(t, b, "k", nil)
		acquires(t, a, "k", ErrFull)
		if err := errors.Join(second.Release(ctx), third.Release(ctx)); err != nil {
			t.Errorf("Release = %v", err)
		}
		if n := s.Do(t, "exists", a.keys.Key("c", "k")); n != int64(0) {
			t.Errorf("without leases the key is still there")
		}
		for i, want := range []ConcurrencyStats{{Acquired: 6, Full: 3}, {Acquired: 2, Full: 2}} {
			if st := []*Concurrency{a, b}[i].Stats(); st != want {
				t.Errorf("Stats() = %+v, want %+v", st, want)
			}
		}
	})
}

// Leases that nobody releases end after the TTL and not before, also those of a
// holder that renewed a few times; and then they are lost for good.
func TestConcurrencyExpiry(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{TTL: time.Minute})
		ctx := t.Context()
		crashed, renewed := acquires(t, c, "k", nil), acquires(t, c, "k", nil)
		time.Sleep(40 * time.Second)
		if err := renewed.Renew(ctx); err != nil {
			t.Errorf("Renew = %v", err)
		}
		time.Sleep(20*time.Second - time.Millisecond)
		acquires(t, c, "k", ErrFull)
		time.Sleep(time.Millisecond)
		// It has ended, and is there until it is in the way of somebody.
		if err := crashed.Renew(ctx); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Renew of a lease that has ended = %v, want ErrLeaseLost", err)
		}
		next := acquires(t, c, "k", nil)
		acquires(t, c, "k", ErrFull)
		if err := crashed.Renew(ctx); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Renew of a lease that was removed = %v, want ErrLeaseLost", err)
		}
		if err := crashed.Release(ctx); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Release of a lease that was removed = %v, want ErrLeaseLost", err)
		}
		hasLeases(t, s, c, "k", 2)
		time.Sleep(40*time.Second - time.Millisecond)
		acquires(t, c, "k", ErrFull)
		time.Sleep(time.Millisecond)
		if err := renewed.Release(ctx); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Release of a lease that has ended = %v, want ErrLeaseLost", err)
		}
		hasLeases(t, s, c, "k", 1)
		if err := next.Renew(ctx); err != nil {
			t.Errorf("Renew = %v", err)
		}
		if st := c.Stats(); st.Lost != 4 {
			t.Errorf("Stats() = %+v, want 4 Lost", st)
		}
		time.Sleep(time.Minute + 2*time.Millisecond)
		if n := s.Do(t, "exists", c.keys.Key("c", "k")); n != int64(0) {
			t.Errorf("the key is there a TTL after the last Renew")
		}
	})
}

// The same on real servers, where it has to be waited for.
func TestConcurrencyCrash(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const ttl = 150 * time.Millisecond
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{TTL: ttl})
		start := time.Now()
		lost := acquires(t, c, "k", nil)
		var l *Lease
		redistest.Eventually(t, "the lease of a crashed holder ends", func() bool {
			var err error
			l, err = c.Acquire(t.Context(), "k")
			if err != nil && !errors.Is(err, ErrFull) {
				t.Fatalf("Acquire = %v", err)
			}
			return err == nil
		})
		if took := time.Since(start); took < ttl {
			t.Errorf("the lease ended after %v, want %v", took, ttl)
		}
		if err := lost.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Renew = %v, want ErrLeaseLost", err)
		}
		if err := l.Release(t.Context()); err != nil && !errors.Is(err, ErrLeaseLost) { // on a busy machine
			t.Errorf("Release = %v", err)
		}
	})
}

// Renew keeps a lease for much longer than its TTL, and its key with it; and a process
// with a shorter TTL does not shorten what others have.
func TestConcurrencyRenew(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		c := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{Prefix: prefix, TTL: time.Minute})
		quick := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{Prefix: prefix, TTL: time.Second})
		l := acquires(t, c, "k", nil)
		for range 100 {
			acquires(t, quick, "k", nil)
			acquires(t, quick, "k", ErrFull)
			time.Sleep(59 * time.Second)
			if err := l.Renew(t.Context()); err != nil {
				t.Fatalf("Renew = %v", err)
			}
			q := acquires(t, quick, "k", nil)
			if err := errors.Join(q.Renew(t.Context()), q.Release(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Whatever is done in whichever order, the leases are those of the obvious model.
func TestConcurrencyModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				rng := rand.New(rand.NewPCG(seed, 1))
				limit, ttl := 1+rng.IntN(5), time.Duration(1+rng.IntN(1000))*time.Millisecond
				prefix := redistest.Prefix(t)
				var cs []*Concurrency
				for range 2 {
					cs = append(cs, newConcurrency(t, s.Client(t), limit, ConcurrencyOptions{Prefix: prefix, TTL: ttl}))
				}
				ends := make(map[*Lease]time.Time) // those that were not released
				var leases []*Lease
				held := func() (n int) {
					for _, end := range ends {
						if end.After(time.Now()) {
							n++
						}
					}
					return n
				}
				for i := range 300 {
					var l *Lease
					if len(leases) > 0 {
						l = leases[rng.IntN(len(leases))]
					}
					lost := l != nil && !ends[l].After(time.Now())
					switch op := rng.IntN(8); {
					case op < 3:
						full := held() >= limit
						l, err := cs[rng.IntN(2)].Acquire(t.Context(), "k")
						if full != errors.Is(err, ErrFull) || !full && err != nil {
							t.Fatalf("step %d: Acquire = %v with %d of %d held", i, err, held(), limit)
						}
						if err == nil {
							leases = append(leases, l)
							ends[l] = time.Now().Add(ttl)
						}
					case op == 3 && l != nil:
						err := l.Renew(t.Context())
						if lost != errors.Is(err, ErrLeaseLost) || !lost && err != nil {
							t.Fatalf("step %d: Renew = %v, lost: %v", i, err, lost)
						}
						if !lost {
							ends[l] = time.Now().Add(ttl)
						}
					case op == 4 && l != nil:
						_, kept := ends[l]
						err := l.Release(t.Context())
						if kept && lost != errors.Is(err, ErrLeaseLost) || !lost && err != nil || !kept && err != nil {
							t.Fatalf("step %d: Release = %v, lost: %v", i, err, lost)
						}
						delete(ends, l)
					default:
						time.Sleep(time.Duration(rng.Int64N(int64(ttl / 2))).Truncate(time.Microsecond))
					}
				}
			})
		})
	}
}

// Of many who ask at once, in several processes, as many get a place as there are;
// and at no time are more held.
func TestConcurrencyExact(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const limit, callers = 5, 64
		prefix := redistest.Prefix(t)
		var cs []*Concurrency
		for range 4 {
			cs = append(cs, newConcurrency(t, s.Client(t), limit, ConcurrencyOptions{Prefix: prefix, TTL: 10 * time.Minute}))
		}
		var mu sync.Mutex
		var held []*Lease
		redistest.Together(callers, func(i int) {
			l, err := cs[i%len(cs)].Acquire(t.Context(), "at once")
			if err != nil && !errors.Is(err, ErrFull) {
				t.Errorf("Acquire = %v", err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				held = append(held, l)
			}
		})
		if len(held) != limit {
			t.Errorf("%d of %d callers got a place, want %d", len(held), callers, limit)
		}
		rounds := 5
		if s.Topology() == redistest.Miniredis { // which is slow
			rounds = 1
		}
		var now, most, got atomic.Int64
		redistest.Together(callers, func(i int) {
			for n := 0; n < rounds; {
				l, err := cs[i%len(cs)].Acquire(t.Context(), "in turn")
				if errors.Is(err, ErrFull) {
					continue
				}
				if err != nil {
					t.Errorf("Acquire = %v", err)
					return
				}
				for k := now.Add(1); ; {
					if old := most.Load(); k <= old || most.CompareAndSwap(old, k) {
						break
					}
				}
				n++
				got.Add(1)
				now.Add(-1)
				if err := l.Release(t.Context()); err != nil {
					t.Errorf("Release = %v", err)
				}
			}
		})
		if most.Load() > limit || got.Load() != int64(callers*rounds) {
			t.Errorf("%d places were held at once, want at most %d; %d were taken in all, want %d", most.Load(), limit, got.Load(), callers*rounds)
		}
		hasLeases(t, s, cs[0], "in turn", 0)
	})
}

// Processes a quarter of a century apart agree: the times are the server's.
func TestConcurrencyClocks(t *testing.T) {
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		const ttl = 10 * time.Minute
		now := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{Prefix: prefix, TTL: ttl})
		first := acquires(t, now, "k", nil)
		synctest.Test(t, func(t *testing.T) { // where it is the year 2000
			rdb := s.Client(t)
			then := newConcurrency(t, rdb, 2, ConcurrencyOptions{Prefix: prefix, TTL: ttl, Timeout: time.Hour})
			if year := time.Now().Year(); year != 2000 {
				t.Fatalf("it is the year %d", year)
			}
			l := acquires(t, then, "k", nil)
			acquires(t, then, "k", ErrFull)
			if err := l.Renew(t.Context()); err != nil {
				t.Errorf("Renew = %v", err)
			}
			if ttl, _ := rdb.PTTL(t.Context(), then.keys.Key("c", "k")).Result(); ttl < 9*time.Minute || ttl > 11*time.Minute {
				t.Errorf("the key has a TTL of %v, want 10 min", ttl)
			}
			_ = rdb.Close()
			time.Sleep(2 * time.Second) // idle workers end
		})
		acquires(t, now, "k", ErrFull)
		if err := errors.Join(first.Renew(t.Context()), first.Release(t.Context())); err != nil {
			t.Errorf("Renew and Release = %v", err)
		}
		acquires(t, now, "k", nil)
		acquires(t, now, "k", ErrFull)
	})
}

func TestConcurrencyOptions(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	for _, test := range []struct {
		name  string
		limit int
		opts  *ConcurrencyOptions
		want  string
	}{
		{"", 1, nil, "name is empty"},
		{"a b", 1, nil, "name is not"},
		{"a}", 1, nil, "name is not"},
		{"a", 0, nil, "limit is less than 1"},
		{"a", -1, nil, "limit is less than 1"},
		{"a", 1, &ConcurrencyOptions{Prefix: "{"}, "ConcurrencyOptions.Prefix contains"},
		{"a", 1, &ConcurrencyOptions{TTL: -1}, "ConcurrencyOptions.TTL is"},
		{"a", 1, &ConcurrencyOptions{TTL: time.Microsecond}, "ConcurrencyOptions.TTL is"},
		{"a", 1, &ConcurrencyOptions{TTL: 101 * 365 * 24 * time.Hour}, "ConcurrencyOptions.TTL is"},
	} {
		if c, err := NewConcurrency(rdb, test.name, test.limit, test.opts); c != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("NewConcurrency(%q, %d, %+v) = %v, want an error with %q", test.name, test.limit, test.opts, err, test.want)
		}
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer func() { _ = ring.Close() }()
	if _, err := NewConcurrency(ring, "a", 1, nil); err == nil {
		t.Error("NewConcurrency takes a Ring")
	}
	c, err := NewConcurrency(rdb, "a", 1, nil)
	if err != nil || c.ttl != 30*time.Second || c.keys.Key("c", "k") != "ratelimit:a:c:{k}" {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
}

// TestConcurrencyCosts counts the round trips, and compares them with the Cost: lines.
func TestConcurrencyCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		counter := redistest.Count(t, rdb)
		ctx := context.Background()
		prefix := redistest.Prefix(t)
		// The server knows the scripts, and the client the cluster.
		warm := acquires(t, newConcurrency(t, rdb, 1, ConcurrencyOptions{Prefix: prefix}), "k", nil)
		if err := errors.Join(warm.Renew(ctx), warm.Release(ctx)); err != nil {
			t.Fatal(err)
		}
		c := newConcurrency(t, rdb, 1, ConcurrencyOptions{Prefix: prefix})
		var l *Lease
		cost := func(what string, do func() error) int {
			t.Helper()
			counter.Reset()
			if err := do(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			return counter.RoundTrips()
		}
		acquire := func() (err error) { l, err = c.Acquire(ctx, "k"); return err }
		release := func() error { return l.Release(ctx) }
		first := cost("the first Acquire", acquire)
		held := func() {
			t.Helper()
			if err := errors.Join(release(), acquire()); err != nil {
				t.Fatal(err)
			}
		}
		redistest.CheckCosts(t, []string{"Concurrency", "Lease"}, map[string]func() []int{
			"Concurrency.Acquire": func() []int {
				if err := release(); err != nil {
					t.Fatal(err)
				}
				return []int{cost("Acquire", acquire), first}
			},
			"Lease.Renew":   func() []int { return []int{cost("Renew", func() error { return l.Renew(ctx) })} },
			"Lease.Release": func() []int { return []int{cost("Release", release)} },
		}, held)
		held()
		if n := cost("a full Acquire", func() error { acquires(t, c, "k", ErrFull); return nil }); n != 1 {
			t.Errorf("an Acquire that finds no place costs %d round trips", n)
		}
		if n := cost("Release", release) + cost("Release again", release); n != 1 {
			t.Errorf("two Releases cost %d round trips, want 1", n)
		}
	})
}

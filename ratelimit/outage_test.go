package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/redistest"
)

// patience is what a Redis that is away may cost a call in these tests, which are
// not about how busy the machine is.
const patience = 100 * time.Millisecond

// away lists the ways in which Redis can be away for the clients of a proxy.
var away = map[string]func(p *redistest.Proxy, on bool){
	"refused":    (*redistest.Proxy).Refuse,
	"blackholed": (*redistest.Proxy).Blackhole,
}

// While Redis is away every call is a decision of OnUnavailable, within Timeout, and
// at once when Redis has been away for a while; soon after it is back it decides.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, set := range away {
			for mode := range FailClosed + 1 {
				if mode != FailLocal && s.Topology() != redistest.Miniredis && s.Topology() != redistest.Standalone {
					continue // who decides has nothing to do with the topology
				}
				t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
					p := s.Proxy(t)
					r := newLimiter(t, p.Client(t), PerHour(6), bare(Options{Timeout: patience, OnUnavailable: mode, Instances: 2}))
					worksAgain(t, r)
					set(p, true)
					outage(t, r)
					set(p, false)
					worksAgain(t, r)
				})
			}
		}
	})
}

// outage checks what calls say and cost while Redis is away.
func outage(t *testing.T, r *Redis) {
	t.Helper()
	open, before := time.Hour, r.Stats()
	const calls = 30
	for i := range calls {
		start := time.Now()
		got, err := r.AllowN(t.Context(), "away", 2)
		took := time.Since(start)
		if err != nil || !got.Degraded || got.Limit != r.plans.own.limits[0] {
			t.Errorf("AllowN = %+v, %v, want a Degraded decision", got, err)
		}
		switch r.o.OnUnavailable {
		case FailLocal: // a share of 3
			if got.Allowed != (i == 0) || i > 0 && (got.RetryAfter <= 0 || got.Remaining != 1) {
				t.Errorf("call %d: AllowN = %+v", i, got)
			}
		case FailOpen:
			if !got.Allowed || got.Granted != 2 || got.RetryAfter != 0 || got.Remaining != 6 {
				t.Errorf("AllowN = %+v, want to be allowed", got)
			}
		case FailClosed:
			if got.Allowed || got.Granted != 0 || got.RetryAfter != time.Second {
				t.Errorf("AllowN = %+v, want a denial with RetryAfter 1 s", got)
			}
		}
		if took > patience+150*time.Millisecond {
			t.Errorf("call %d took %v, want at most %v", i, took, patience+10*time.Millisecond)
		}
		if i >= 10 {
			open = min(open, took)
		}
	}
	if open > 2*time.Millisecond {
		t.Errorf("with the breaker open a call took %v, want 1 ms", open)
	}
	st := r.Stats()
	if st.Degraded-before.Degraded != calls || st.Unavailable-before.Unavailable != calls {
		t.Errorf("Stats() = %+v, before %+v, want %d more Degraded and Unavailable", st, before, calls)
	}
	for name, err := range map[string]error{
		"Peek":   func() error { _, err := r.Peek(t.Context(), "away"); return err }(),
		"Refund": r.Refund(t.Context(), "away", 1),
		"Reset":  r.Reset(t.Context(), "away", "other"),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", name, err)
		}
	}
}

// worksAgain waits until Redis decides.
func worksAgain(t *testing.T, r *Redis) {
	t.Helper()
	start := time.Now()
	redistest.Eventually(t, "Redis decides", func() bool {
		got, err := r.Allow(t.Context(), fmt.Sprint("works", time.Since(start)))
		if err != nil {
			t.Fatal(err)
		}
		return !got.Degraded
	})
}

// A caller's own context ends a call on a server that hangs, by deadline or cancel.
func TestHungServer(t *testing.T) {
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, PerHour(100), Options{Timeout: time.Second})
		worksAgain(t, r)
		const key, wait = "k", 20 * time.Millisecond
		ops := map[string]func(ctx context.Context) error{
			"Allow":     func(ctx context.Context) error { return second(r.Allow(ctx, key)) },
			"AllowUpTo": func(ctx context.Context) error { return second(r.AllowUpTo(ctx, key, 3)) },
			"Wait":      func(ctx context.Context) error { return r.Wait(ctx, key, 1) },
			"Peek":      func(ctx context.Context) error { _, err := r.Peek(ctx, key); return err },
			"Refund":    func(ctx context.Context) error { return r.Refund(ctx, key, 1) },
			"Reset":     func(ctx context.Context) error { return r.Reset(ctx, key) },
		}
		s.PauseMasterOf(t, r.plans.own.keys(r.o.keys, key)[0])
		for name, op := range ops {
			for _, deadline := range []bool{true, false} {
				var late []time.Duration
				for range 4 {
					ctx, cancel := context.WithCancel(t.Context())
					want := context.Canceled
					if deadline {
						ctx, cancel = context.WithTimeout(t.Context(), wait)
						want = context.DeadlineExceeded
					} else {
						time.AfterFunc(wait, cancel)
					}
					start := time.Now()
					if err := op(ctx); err != nil && !errors.Is(err, want) && !errors.Is(err, ErrUnavailable) {
						t.Errorf("%s = %v, want %v", name, err, want)
					}
					late = append(late, time.Since(start)-wait)
					cancel()
				}
				if best := slices.Min(late); best > 10*time.Millisecond {
					t.Errorf("%s came back %v after its context ended (deadline: %v), want 10 ms at most", name, best, deadline)
				}
			}
		}
		s.Resume(t)
		worksAgain(t, r)
		redistest.Eventually(t, "no connection is missing", func() bool {
			st := rdb.PoolStats()
			return st.TotalConns == st.IdleConns
		})
	})
}

// FailLocal enforces the share of one process in rate and burst, for every algorithm,
// and lets pass what asks for more than the share if that has not been used.
func TestFailLocal(t *testing.T) {
	for name, c := range map[string]struct {
		limit  Limit
		in10s  int // how many of those who ask one by one are allowed in ten seconds
		spread int // and how many more, depending on when these begin
		atOnce int
	}{
		"bucket": {Limit{Quota: 20, Period: time.Second, Burst: 40}, 10 + 50, 0, 10},
		"log":    {Limit{Quota: 20, Period: time.Second, Algorithm: SlidingLog}, 5 * 10, 0, 5},
		"fixed":  {Limit{Quota: 20, Period: time.Second, Algorithm: FixedWindow}, 5 * 10, 5, 5},
		"window": {Limit{Quota: 20, Period: time.Second, Algorithm: SlidingWindow}, 4 * 10, 15, 5},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				r := newLimiter(t, s.Client(t), c.limit, Options{Instances: 4, Timeout: patience})
				s.Kill(t)
				if got, err := r.AllowUpTo(t.Context(), "all", 100); err != nil || got.Granted != c.atOnce || !got.Degraded {
					t.Errorf("AllowUpTo(100) = %+v, %v, want %d", got, err, c.atOnce)
				}
				time.Sleep(time.Second)
				granted := 0
				for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
					got, err := r.Allow(t.Context(), "k")
					if err != nil || !got.Degraded {
						t.Fatalf("Allow = %+v, %v", got, err)
					}
					granted += got.Granted
				}
				if off := granted - c.in10s; off < -1 || off > c.spread+1 {
					t.Errorf("%d were allowed in 10 s, want %d", granted, c.in10s)
				}
				got, err := r.AllowN(t.Context(), "large", 20)
				if err != nil || !got.Allowed || got.Granted != 20 {
					t.Errorf("AllowN(20) of an unused share of %d = %+v, %v", c.atOnce, got, err)
				}
				got, err = r.AllowN(t.Context(), "large", 20)
				if err != nil || got.Allowed || got.RetryAfter <= 0 {
					t.Errorf("AllowN(20) again = %+v, %v, want a denial", got, err)
				}
				time.Sleep(got.RetryAfter)
				if got, err := r.AllowN(t.Context(), "large", 20); err != nil || !got.Allowed {
					t.Errorf("AllowN(20) after RetryAfter = %+v, %v", got, err)
				}
			})
		})
	}
}

// The master fails over under traffic: calls are decided all the time, and by Redis
// again soon after.
func TestFailover(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(1_000_000), bare(Options{Timeout: patience}))
		worksAgain(t, r)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					start := time.Now()
					if _, err := r.Allow(context.Background(), fmt.Sprint("k", i%3)); err != nil {
						t.Errorf("Allow = %v", err)
					}
					if took := time.Since(start); took > patience+200*time.Millisecond {
						t.Errorf("Allow took %v", took)
					}
				}
			})
		}
		s.Failover(t)
		s.KillMasterOf(t, r.plans.own.keys(r.o.keys, "k1")[0])
		redistest.Eventually(t, "Redis decides again", func() bool {
			got, err := r.Allow(t.Context(), "k1")
			return err == nil && !got.Degraded
		})
		close(stop)
		wg.Wait()
	})
}

// More than this process's share of a limit is allowed when nothing of any limit is
// used, and the denial says when that will be.
func TestFailLocalMoreThanShare(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newLimiter(t, p.Client(t), PerSecond(4), bare(Options{Instances: 4, Also: []Limit{PerHour(1000)}, Timeout: 100 * time.Millisecond}))
		p.Refuse(true)
		if got, err := r.Allow(t.Context(), "k"); !got.Allowed || !got.Degraded || err != nil {
			t.Fatalf("Allow = %+v, %v", got, err)
		}
		time.Sleep(1100 * time.Millisecond) // the share of 1 a second is there again, not that of the hour
		got, err := r.AllowN(t.Context(), "k", 2)
		if got.Allowed || !got.Degraded || err != nil || got.RetryAfter < time.Second || got.RetryAfter > time.Minute {
			t.Fatalf("AllowN(2) = %+v, %v, want a denial until the hour's share is unused", got, err)
		}
		time.Sleep(got.RetryAfter)
		if got, err = r.AllowN(t.Context(), "k", 2); !got.Allowed || err != nil {
			t.Errorf("AllowN(2) after RetryAfter = %+v, %v, want Allowed", got, err)
		}
		p.Refuse(false)
		time.Sleep(time.Minute)
	})
}

// A Reset also resets what this process has counted while Redis was away.
func TestResetAfterOutage(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newLimiter(t, p.Client(t), PerHour(2), bare(Options{Timeout: 100 * time.Millisecond}))
		for _, allowed := range []bool{true, true} {
			p.Refuse(true)
			for range 2 {
				if got, err := r.Allow(t.Context(), "k"); got.Allowed != allowed || !got.Degraded || err != nil {
					t.Errorf("Allow = %+v, %v", got, err)
				}
			}
			if got, err := r.Allow(t.Context(), "k"); got.Allowed || !got.Degraded || err != nil {
				t.Errorf("Allow beyond the limit = %+v, %v", got, err)
			}
			p.Refuse(false)
			redistest.Eventually(t, "Reset", func() bool { return r.Reset(t.Context(), "k") == nil })
		}
		time.Sleep(time.Minute)
	})
}

// Who leaves during an outage gets the context's error, wherever he waited.
func TestCanceledWhileAway(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newLimiter(t, p.Client(t), PerSecond(1), Options{Timeout: 100 * time.Millisecond, OnUnavailable: FailClosed})
		p.Refuse(true)
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			if got, err := r.Allow(ctx, "k"); !got.Degraded || err != nil {
				t.Errorf("Allow = %+v, %v", got, err)
			}
		}
		cancel()
		_, err := r.without(ctx, "allow", r.plans.own, "k", request{1, 1, 1}, &exec.Error{Kind: exec.Unavailable, Err: errNoAnswer})
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("an error for who has left is %v, want the context's", err)
		}
		p.Refuse(false)
		time.Sleep(time.Minute)
	})
}

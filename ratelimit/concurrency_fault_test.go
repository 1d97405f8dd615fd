package ratelimit

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A reply is lost at each step, once or as often as it is sent: no place is taken
// twice or for nobody, and who holds a lease is told so.
func TestConcurrencyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct {
			step   string
			source string
			drops  int
			want   error
			leases int64 // after that
		}{
			{"acquire", acquireSource, 1, nil, 1},
			{"acquire", acquireSource, attempts - 1, nil, 1},
			{"acquire", acquireSource, 100, ErrUnknownOutcome, 1},
			{"renew", renewSource, 1, nil, 1},
			{"renew", renewSource, 100, ErrUnavailable, 1},
			{"release", releaseSource, 1, nil, 0},
			{"release", releaseSource, attempts - 1, nil, 0},
			{"release", releaseSource, 100, ErrUnknownOutcome, 0},
		} {
			p := s.Proxy(t)
			opts := ConcurrencyOptions{Prefix: redistest.Prefix(t), Timeout: 3 * time.Second}
			if test.want == ErrUnavailable { // which takes as long
				opts.Timeout = time.Second
			}
			c := newConcurrency(t, p.Client(t), 1, opts)
			opts.Timeout = time.Minute
			direct := newConcurrency(t, s.Client(t), 1, opts)
			l := acquires(t, c, "k", nil)
			if test.step == "acquire" {
				if err := l.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			p.DropRepliesTo(redistest.Script(test.source), test.drops)
			var err error
			switch test.step {
			case "acquire":
				l, err = c.Acquire(t.Context(), "k")
			case "renew":
				err = l.Renew(t.Context())
			case "release":
				err = l.Release(t.Context())
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%s with %d lost replies = %v, want %v", test.step, test.drops, err, test.want)
			}
			p.DropRepliesTo(nil, 0)
			hasLeases(t, s, direct, "k", test.leases)
			if test.leases == 0 {
				acquires(t, direct, "k", nil)
				continue
			}
			acquires(t, direct, "k", ErrFull)
			if l == nil {
				continue
			}
			redistest.Eventually(t, "the lease is still there", func() bool { return l.Renew(t.Context()) == nil })
			if err := l.Release(t.Context()); err != nil {
				t.Errorf("after %s with %d lost replies: %v", test.step, test.drops, err)
			}
			hasLeases(t, s, direct, "k", 0)
		}
	})
}

// One reply in five is lost, of anything, with many callers: never are more places
// held than there are, and in the end all are free of which it is known.
func TestConcurrencyRandomlyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		const limit, callers = 3, 8
		p := s.Proxy(t)
		c := newConcurrency(t, p.Client(t), limit, ConcurrencyOptions{TTL: 10 * time.Minute})
		l := acquires(t, c, "k", nil)
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n, now, unknown atomic.Int64
		p.DropRepliesTo(func(request []byte) bool {
			return strings.Contains(string(request), "evalsha") && n.Add(1)%5 == 0
		}, 1_000_000)
		redistest.Together(callers, func(int) {
			for got := 0; got < 10; {
				l, err := c.Acquire(t.Context(), "k")
				switch {
				case errors.Is(err, ErrFull):
					if unknown.Load() >= limit { // nobody may have them all
						return
					}
					continue
				case errors.Is(err, ErrUnknownOutcome): // three in a row
					unknown.Add(1)
					return
				case errors.Is(err, ErrUnavailable): // after so many Redis seems to be away
					time.Sleep(time.Millisecond)
					continue
				case err != nil:
					t.Errorf("Acquire = %v", err)
					return
				}
				got++
				if k := now.Add(1); k > limit {
					t.Errorf("%d places are held at once", k)
				}
				now.Add(-1)
				err = l.Release(t.Context())
				for errors.Is(err, ErrUnavailable) {
					time.Sleep(time.Millisecond)
					err = l.Release(t.Context())
				}
				if errors.Is(err, ErrUnknownOutcome) {
					unknown.Add(1)
				} else if err != nil {
					t.Errorf("Release = %v", err)
				}
			}
		})
		if left, _ := s.Do(t, "zcard", c.keys.Key("c", "k")).(int64); left > unknown.Load() {
			t.Errorf("%d leases are left, of %d that are unknown", left, unknown.Load())
		}
	})
}

// While Redis is away calls fail within Timeout, and after a few at once; and they work
// soon after it is back.
func TestConcurrencyRedisAway(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, set := range map[string]func(p *redistest.Proxy, on bool){
			"refused":    (*redistest.Proxy).Refuse,
			"blackholed": (*redistest.Proxy).Blackhole,
		} {
			const patience = 100 * time.Millisecond
			p := s.Proxy(t)
			c := newConcurrency(t, p.Client(t), 1000, ConcurrencyOptions{Timeout: patience})
			works := func() bool { _, err := c.Acquire(t.Context(), "k"); return err == nil }
			redistest.Eventually(t, "Acquire works", works)
			l, released := acquires(t, c, "k", nil), acquires(t, c, "k", nil)
			set(p, true)
			before := c.Stats().Unavailable
			fastest := time.Hour
			for i := range 30 {
				for op, f := range map[string]func() error{
					"Acquire": func() error { _, err := c.Acquire(t.Context(), "k"); return err },
					"Renew":   func() error { return l.Renew(t.Context()) },
					"Release": func() error { return released.Release(t.Context()) },
				} {
					start := time.Now()
					err := f()
					took := time.Since(start)
					if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
						t.Errorf("%s: %s = %v, want ErrUnavailable or ErrUnknownOutcome", name, op, err)
					}
					if i > 10 && !errors.Is(err, ErrUnavailable) && took < time.Millisecond {
						t.Errorf("%s: %s that was not sent = %v, want ErrUnavailable", name, op, err)
					}
					if took > patience+2*time.Second { // of go-redis's five, and more
						t.Errorf("%s: %s took %v, want at most %v", name, op, took, patience)
					}
					if i > 10 {
						fastest = min(fastest, took)
					}
				}
			}
			if fastest > 2*time.Millisecond {
				t.Errorf("%s: after a while a call took %v, want 1 ms", name, fastest)
			}
			if st := c.Stats(); st.Unavailable != before+90 {
				t.Errorf("%s: Stats() = %+v, want 90 Unavailable more than %d", name, st, before)
			}
			set(p, false)
			redistest.Eventually(t, "Acquire works again", works)
			redistest.Eventually(t, "Renew works again", func() bool { return l.Renew(t.Context()) == nil })
		}
	})
}

// What was given up takes no place when the server gets to it.
func TestConcurrencyAbandoned(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{Timeout: 50 * time.Millisecond})
		direct := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{Prefix: "other"})
		redistest.Eventually(t, "the clock is known", func() bool {
			l, err := c.Acquire(t.Context(), "warm")
			return err == nil && l.Release(t.Context()) == nil
		})
		for range 5 {
			s.Pause(t)
			for range 3 {
				if _, err := c.Acquire(t.Context(), "k"); !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) {
					t.Errorf("Acquire on a stopped server = %v, want ErrUnknownOutcome or ErrUnavailable", err)
				}
			}
			s.Resume(t)
			for range 20 { // what was in its sockets has been read by then
				acquires(t, direct, "k", nil).Release(t.Context())
			}
			hasLeases(t, s, c, "k", 0)
			redistest.Eventually(t, "Acquire works again", func() bool {
				l, err := c.Acquire(t.Context(), "k")
				return err == nil && l.Release(t.Context()) == nil
			})
		}
	})
}

// A call ends with its context; but Release does its work also for a request that
// has ended.
func TestConcurrencyContext(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newConcurrency(t, p.Client(t), 1, ConcurrencyOptions{})
		l := acquires(t, c, "k", nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Acquire(ended, "other"); !errors.Is(err, context.Canceled) {
			t.Errorf("Acquire = %v, want context.Canceled", err)
		}
		if err := l.Renew(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Renew = %v, want context.Canceled", err)
		}
		if err := l.Release(ended); err != nil {
			t.Errorf("Release with a context that has ended = %v", err)
		}
		hasLeases(t, s, c, "k", 0)
		hasLeases(t, s, c, "other", 0)

		l = acquires(t, c, "k", nil)
		p.Blackhole(true)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := c.Acquire(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire through a black hole = %v, want context.DeadlineExceeded", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := l.Release(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Release through a black hole = %v, want context.DeadlineExceeded", err)
		}
		p.Blackhole(false)
	})
}

// Something else is under the key: it stays, and the error says so.
func TestConcurrencyForeignValue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{})
		l := acquires(t, c, "k", nil)
		key := c.keys.Key("c", "k")
		s.Do(t, "set", key, "mine")
		_, err := c.Acquire(t.Context(), "k")
		for op, err := range map[string]error{"Acquire": err, "Renew": l.Renew(t.Context()), "Release": l.Release(t.Context())} {
			if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull) || errors.Is(err, ErrLeaseLost) || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("%s with a string under its key = %v, want WRONGTYPE", op, err)
			}
			if err != nil && (strings.Contains(err.Error(), key) || !strings.HasPrefix(err.Error(), "ratelimit: ")) {
				t.Errorf("%s = %v, which tells the key, or not who says it", op, err)
			}
		}
		if v := s.Do(t, "get", key); v != "mine" {
			t.Errorf("the value is now %v", v)
		}
		// Leases of a foreign hand, for ever and without expiry: the key gets one.
		s.Do(t, "del", key)
		s.Do(t, "zadd", key, "+inf", "x", "-inf", "y", "1e300", "z")
		c2 := newConcurrency(t, s.Client(t), 3, ConcurrencyOptions{Prefix: "p"})
		c2.keys = c.keys
		acquires(t, c2, "k", nil)
		acquires(t, c2, "k", ErrFull)
		if ttl, _ := s.Do(t, "pttl", key).(int64); ttl <= 0 {
			t.Errorf("the key has a TTL of %d", ttl)
		}
	})
}

// The server forgets the scripts.
func TestConcurrencyScriptFlush(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone, redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{})
		s.Do(t, "script", "flush")
		l := acquires(t, c, "k", nil)
		s.Do(t, "script", "flush")
		if err := l.Renew(t.Context()); err != nil {
			t.Errorf("Renew = %v", err)
		}
		s.Do(t, "script", "flush")
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release = %v", err)
		}
	})
}

// Servers that cannot write say so, in a way that go-redis's predicates know.
func TestConcurrencyOutOfMemory(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 2, ConcurrencyOptions{})
		l := acquires(t, c, "k", nil)
		s.Do(t, "config", "set", "maxmemory", "1")
		if _, err := c.Acquire(t.Context(), "k"); !redis.IsOOMError(err) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("Acquire = %v, want ErrUnavailable because of OOM", err)
		}
		s.Do(t, "config", "set", "maxmemory", "0")
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release = %v", err)
		}
	})
}

// What was perhaps done is not called undone because a later attempt failed.
func TestConcurrencyUnknownStays(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		rdb := p.Client(t)
		c := newConcurrency(t, rdb, 1, ConcurrencyOptions{})
		if err := acquires(t, c, "k", nil).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.DropRepliesTo(redistest.Script(acquireSource), 1)
		rdb.AddHook(&refuseAfter{n: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Acquire(ctx, "k"); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Acquire = %v, want ErrUnknownOutcome", err)
		}
		hasLeases(t, s, c, "k", 1)
	})
}

// refuseAfter lets n commands through, and for the others there is no connection.
type refuseAfter struct{ n int }

func (r *refuseAfter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *refuseAfter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if r.n--; r.n < 0 {
			err := &net.OpError{Op: "dial", Err: errors.New("refused")}
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (r *refuseAfter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A request that is too late undoes what an earlier one of the same call has done.
func TestConcurrencyTooLate(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{})
		l := acquires(t, c, "k", nil)
		s.Do(t, "eval", acquireSource, 1, l.key, l.id, 1, 1_000_000, 1000, 0)
		hasLeases(t, s, c, "k", 0)
	})
}

// The commands that the comment of Concurrency lists are enough, and all are needed.
func TestConcurrencyCommands(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		// EVAL is for a server that does not know the scripts, and PING for one that was away.
		needed := []string{"time", "zadd", "zcard", "zscore", "zrem", "zremrangebyscore", "pttl", "pexpire", "evalsha"}
		works := func(user string) error {
			rdb := s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = user, "pw" })
			c := newConcurrency(t, rdb, 1, ConcurrencyOptions{Prefix: user})
			l, err := c.Acquire(t.Context(), "k")
			if err != nil {
				return err
			}
			if _, full := c.Acquire(t.Context(), "k"); !errors.Is(full, ErrFull) {
				return full
			}
			return errors.Join(l.Renew(t.Context()), l.Release(t.Context()))
		}
		user := func(name string, without int) {
			rules := []any{"acl", "setuser", name, "on", ">pw", "~" + name + ":*", "-@all", "+hello", "+ping", "+eval"}
			for i, command := range needed {
				if i != without {
					rules = append(rules, "+"+command)
				}
			}
			s.Do(t, rules...)
		}
		user("enough", -1)
		if err := works("enough"); err != nil {
			t.Errorf("with the commands listed: %v", err)
		}
		for i, command := range needed {
			user("without-"+command, i)
			if err := works("without-" + command); err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("without %s: %v, want an error that says so", command, err)
			}
		}
	})
}

// Releases of one lease at the same time are one: it was not lost.
func TestConcurrencyReleaseTogether(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newConcurrency(t, s.Client(t), 1, ConcurrencyOptions{})
		for range 50 {
			l := acquires(t, c, "k", nil)
			redistest.Together(4, func(int) {
				if err := l.Release(t.Context()); err != nil {
					t.Errorf("Release = %v", err)
				}
			})
		}
		if n := c.Stats().Lost; n != 0 {
			t.Errorf("Stats().Lost = %d, want 0", n)
		}
	})
}

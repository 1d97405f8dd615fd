package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

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

// The loader's value comes within Timeout more than the load takes, and at once
// when Redis has been away for a while; and the cache works again soon after.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, set := range away {
			t.Run(name, func(t *testing.T) {
				p := s.Proxy(t)
				c := newCache(t, p.Client(t), Options{Prefix: redistest.Prefix(t), Timeout: patience})
				worksAgain(t, c, 20*time.Second)
				set(p, true)
				outage(t, c)
				set(p, false)
				start := time.Now()
				worksAgain(t, c, 20*time.Second)
				t.Logf("works again after %v", time.Since(start))
			})
		}
	})
}

func TestRedisStopped(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		worksAgain(t, c, 20*time.Second)
		s.Pause(t)
		outage(t, c)
		s.Resume(t)
		worksAgain(t, c, 20*time.Second)
		s.Kill(t)
		outage(t, c)
		s.Restart(t)
		start := time.Now()
		worksAgain(t, c, 20*time.Second)
		t.Logf("works again %v after the restart", time.Since(start))
		// go-redis's pool may ask only once a second by then whether it can dial.
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the cache worked again %v after the restart, want a second and little more", took)
		}
	})
}

// outage checks what calls cost while Redis is away.
func outage(t *testing.T, c *Redis) {
	t.Helper()
	var first, open time.Duration
	open = time.Hour
	for i := range 30 {
		key := fmt.Sprint("away", i)
		o := call(t.Context(), c, key, returns(new(atomic.Int64), "v"))
		o.wants(t, key, "v")
		if i == 0 {
			first = o.took
		}
		if o.took > patience+150*time.Millisecond {
			t.Errorf("call %d took %v, want at most %v", i, o.took, patience+10*time.Millisecond)
		}
		if i >= 10 {
			open = min(open, o.took)
		}
	}
	t.Logf("the first call took %v, the fastest of calls 11 to 30 %v", first, open)
	if open > 2*time.Millisecond {
		t.Errorf("with the breaker open a call took %v, want 1 ms", open)
	}
	start := time.Now()
	if err := c.Delete(t.Context(), "away"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Delete = %v, want ErrUnavailable", err)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("with the breaker open Delete took %v", took)
	}
	if st := c.Stats(); st.Unavailable == 0 {
		t.Error("Stats().Unavailable = 0")
	}
}

// worksAgain waits until the cache stores what is loaded.
func worksAgain(t *testing.T, c *Redis, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for i := 0; ; i++ {
		key := fmt.Sprint("works", i)
		wants(t, c, key, returns(new(atomic.Int64), "v"), "v")
		settled(t, c)
		if _, ok, err := c.Peek(t.Context(), key); ok && err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache does not store values")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// While Redis is away MaxLoads loads run at once, and one per key.
func TestMaxLoads(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: patience, MaxLoads: 3, LoadTimeout: 10500 * time.Millisecond})[0]
		s.Kill(t)
		var running, most, n atomic.Int64
		load := func(ctx context.Context) ([]byte, error) {
			n.Add(1)
			now := running.Add(1)
			defer running.Add(-1)
			for {
				old := most.Load()
				if now <= old || most.CompareAndSwap(old, now) {
					break
				}
			}
			time.Sleep(time.Second)
			return []byte("v"), nil
		}
		together(200, func(i int) {
			key := fmt.Sprint("k", i%20)
			call(t.Context(), c, key, load).wants(t, key, "v")
		})
		if n.Load() != 20 || most.Load() != 3 {
			t.Errorf("%d loads of 20 keys, %d at once, want 20 and 3", n.Load(), most.Load())
		}
		// Too many for LoadTimeout: 30 end in time, 3 are cut, and 27 find no place.
		var refused, cut atomic.Int64
		together(60, func(i int) {
			key := fmt.Sprint("many", i)
			o := call(t.Context(), c, key, load)
			switch {
			case errors.Is(o.err, ErrUnavailable):
				refused.Add(1)
			case errors.Is(o.err, context.DeadlineExceeded):
				cut.Add(1)
			default:
				o.wants(t, key, "v")
			}
		})
		if refused.Load() != 27 || cut.Load() != 3 {
			t.Errorf("%d of 60 calls found no place, and %d were cut, want 27 and 3", refused.Load(), cut.Load())
		}
	})
}

// A load that another load waits for needs no place of its own, whoever started it.
func TestNestedLoads(t *testing.T) {
	open := func(t *testing.T, s *redistest.Server) (*Redis, *Cached[string]) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: patience, MaxLoads: 1, LoadTimeout: 10 * time.Second})[0]
		s.Kill(t)
		return c, newMany(t, c, func(keys []string) (map[string]string, error) {
			return map[string]string{"a": "A", "b": "B", "c": "C"}, nil
		})
	}
	quick := func(t *testing.T, o outcome) {
		t.Helper()
		o.wants(t, "outer", "inner")
		if o.took > 5*time.Second {
			t.Errorf("the outer load took %v", o.took)
		}
	}
	t.Run("started by the load", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *redistest.Server) {
			c, _ := open(t, s)
			quick(t, call(t.Context(), c, "outer", func(ctx context.Context) ([]byte, error) {
				return c.GetOrLoad(ctx, "inner", func(ctx context.Context) ([]byte, error) {
					return c.GetOrLoad(ctx, "innermost", returns(new(atomic.Int64), "inner"))
				})
			}))
		})
	})
	t.Run("started by another", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *redistest.Server) {
			c, _ := open(t, s)
			out := begin(t.Context(), c, "outer", func(ctx context.Context) ([]byte, error) {
				time.Sleep(2 * time.Second)
				return c.GetOrLoad(ctx, "inner", mustNotLoad(t))
			})
			time.Sleep(time.Second)
			other := begin(t.Context(), c, "inner", returns(new(atomic.Int64), "inner"))
			quick(t, <-out)
			(<-other).wants(t, "inner", "inner")
		})
	})
	for _, key := range []string{"a", "b", "c"} {
		t.Run("started by a batch/"+key, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *redistest.Server) {
				c, m := open(t, s)
				out := begin(t.Context(), c, "outer", func(ctx context.Context) ([]byte, error) {
					time.Sleep(2 * time.Second)
					if _, err := m.Get(ctx, key); err != nil {
						return nil, err
					}
					return []byte("inner"), nil
				})
				time.Sleep(time.Second)
				go func() { _, _ = m.GetMany(context.Background(), []string{"a", "b", "c"}) }()
				quick(t, <-out)
			})
		})
	}
	t.Run("a batch", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *redistest.Server) {
			c, m := open(t, s)
			quick(t, call(t.Context(), c, "outer", func(ctx context.Context) ([]byte, error) {
				if got, err := m.GetMany(ctx, []string{"a", "b", "c"}); err != nil || len(got) != 3 {
					return nil, fmt.Errorf("GetMany = %v, %w", got, err)
				}
				return []byte("inner"), nil
			}))
		})
	})
}

// A Delete that failed: this process bypasses the key, and does the Delete later,
// after which others see it too.
func TestFailedDelete(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, set := range away {
			for op, void := range map[string]func(c *Redis) error{
				"Delete": func(c *Redis) error { return c.Delete(t.Context(), "k", "l") },
				"Expire": func(c *Redis) error { return c.Expire(t.Context(), "k", "l") },
				"Hold":   func(c *Redis) error { return c.Hold(t.Context(), time.Millisecond, "k", "l") },
				"Set": func(c *Redis) error {
					return errors.Join(c.Set(t.Context(), "k", []byte("set"), 0), c.Set(t.Context(), "l", []byte("set"), 0))
				},
			} {
				t.Run(name+"/"+op, func(t *testing.T) {
					prefix := redistest.Prefix(t)
					p := s.Proxy(t)
					var reported atomic.Int64
					a := newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: patience, OnError: func(error) { reported.Add(1) }})
					b := newCache(t, s.Client(t), Options{Prefix: prefix})
					for _, key := range []string{"k", "l"} {
						if err := b.Set(t.Context(), key, []byte("old"), 0); err != nil {
							t.Fatal(err)
						}
					}
					_, _, _ = a.Peek(t.Context(), "k")
					set(p, true)
					if err := void(a); !errors.Is(err, ErrUnavailable) {
						t.Errorf("%s = %v, want ErrUnavailable", op, err)
					}
					if n := a.Stats().Pending; n != 2 {
						t.Errorf("Stats().Pending = %d, want 2", n)
					}
					wants(t, a, "k", returns(new(atomic.Int64), "new"), "new")
					wants(t, b, "k", mustNotLoad(t), "old")
					set(p, false)
					for a.Stats().Pending > 0 { // the old value is never believed here
						if o := call(t.Context(), a, "k", returns(new(atomic.Int64), "new")); o.err != nil || o.v != "new" {
							t.Errorf("GetOrLoad(%q) = %q, %v while the %s is to be done", "k", o.v, o.err, op)
						}
						if v, ok, err := a.Peek(t.Context(), "k"); ok && string(v) != "new" {
							t.Errorf("Peek(%q) = %q, %v while the %s is to be done", "k", v, err, op)
						}
						time.Sleep(time.Millisecond)
					}
					wants(t, b, "k", returns(new(atomic.Int64), "new"), "new")
					wants(t, b, "l", returns(new(atomic.Int64), "new"), "new")
					if st := a.Stats(); st.Bypassed == 0 {
						t.Errorf("Stats() = %+v, want Bypassed", st)
					}
				})
			}
		}
	})
}

// A Delete fails while the reply to an earlier one is on its way: the earlier one
// has not done it, whatever the other process stored in between.
func TestFailedDeleteAfterAnother(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		executed, arrive := make(chan struct{}), make(chan struct{})
		rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
			err := send()
			if cmd.Name() == "unlink" {
				select {
				case executed <- struct{}{}:
					<-arrive
				case <-arrive:
				}
			}
			return err
		}))
		a := newCache(t, rdb, Options{Prefix: "p"})
		b := newCaches(t, s, 1, Options{Prefix: "p"})[0]
		first := make(chan error)
		go func() { first <- a.Delete(context.Background(), "k") }()
		<-executed
		wants(t, b, "k", returns(new(atomic.Int64), "old"), "old")
		settled(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Delete(ctx, "k"); !errors.Is(err, context.Canceled) {
			t.Errorf("Delete = %v, want context.Canceled", err)
		}
		time.Sleep(time.Millisecond)
		close(arrive)
		if err := <-first; err != nil {
			t.Errorf("Delete = %v", err)
		}
		peeks(t, b, "k", "old")
		wants(t, a, "k", returns(new(atomic.Int64), "new"), "new")
		settled(t, a)
		wants(t, b, "k", returns(new(atomic.Int64), "newer"), "newer")
	})
}

// More failed Deletes than are remembered: nothing is believed until the values
// have expired.
func TestTooManyFailedDeletes(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
		// The connections of Mini cannot take long pipelines, those of a proxy can.
		c := newCache(t, s.Proxy(t).Client(t), Options{Prefix: "p", Timeout: patience, TTL: time.Minute, LoadTimeout: time.Second, Jitter: -1, EarlyRefresh: -1})
		other := newCaches(t, s, 1, Options{Prefix: "p", TTL: time.Hour})[0]
		if err := other.Set(t.Context(), "unrelated", []byte("old"), 0); err != nil {
			t.Fatal(err)
		}
		keys := make([]string, maxOwed+1)
		for i := range keys {
			keys[i] = fmt.Sprint("k", i)
		}
		p := s.Mini()
		p.SetError("LOADING Redis is loading the dataset in memory")
		if err := c.Delete(t.Context(), keys[:maxOwed]...); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Delete = %v, want ErrUnavailable", err)
		}
		p.SetError("")
		if v, _, _ := c.Peek(t.Context(), "unrelated"); v == nil {
			t.Error("an unrelated key is bypassed, want that only beyond 10,000 Deletes")
		}
		p.SetError("LOADING Redis is loading the dataset in memory")
		if err := c.Delete(t.Context(), keys...); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Delete = %v, want ErrUnavailable", err)
		}
		if n := c.Stats().Pending; n != maxOwed+1 {
			t.Errorf("Stats().Pending = %d, want %d", n, maxOwed+1)
		}
		p.SetError("")
		time.Sleep(time.Minute)
		wants(t, c, "unrelated", returns(new(atomic.Int64), "new"), "new")
		if n := c.Stats().Pending; n != 1 {
			t.Errorf("Stats().Pending = %d when the others are done, want 1", n)
		}
		time.Sleep(70 * time.Second)
		wants(t, c, "unrelated", mustNotLoad(t), "old")
		if n := c.Stats().Pending; n != 0 {
			t.Errorf("Stats().Pending = %d in the end, want 0", n)
		}
	})
}

// Retries end when no value can live any more.
func TestFailedDeleteExpires(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: patience, TTL: time.Minute, StaleFor: time.Minute, LoadTimeout: time.Second})[0]
		s.Kill(t)
		if err := c.Delete(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Delete = %v, want ErrUnavailable", err)
		}
		time.Sleep(170 * time.Second)
		if n := c.Stats().Pending; n != 1 {
			t.Errorf("Stats().Pending = %d, want 1", n)
		}
		time.Sleep(20 * time.Second)
		if n := c.Stats().Pending; n != 0 {
			t.Errorf("Stats().Pending = %d after TTL and StaleFor, want 0", n)
		}
	})
}

// What another process has found missing lives longer than values do, and what it
// loads is stored later: a Delete that cannot be done is owed until then.
func TestFailedDeleteOutlivesOthers(t *testing.T) {
	for name, load := range map[string]func(context.Context) ([]byte, error){
		"not found": func(context.Context) ([]byte, error) { return nil, ErrNotFound },
		"slow":      slow(10 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *redistest.Server) {
				rdb := s.Client(t)
				rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
					if cmd.Name() == "unlink" {
						cmd.SetErr(refusal("MISCONF no disk"))
						return cmd.Err()
					}
					return send()
				}))
				opts := Options{Prefix: "p", TTL: time.Second, LoadTimeout: 20 * time.Second}
				a := newCache(t, rdb, opts)
				b := newCaches(t, s, 1, opts)[0]
				other := begin(t.Context(), b, "k", load)
				synctest.Wait()
				if err := a.Delete(t.Context(), "k"); err == nil {
					t.Error("Delete = nil, want an error")
				}
				time.Sleep(10*time.Second + 500*time.Millisecond)
				<-other
				wants(t, a, "k", returns(new(atomic.Int64), "new"), "new")
			})
		})
	}
}

// A Set that was given up arrives after a later one was acknowledged: it does not
// land.
func TestAbandonedSet(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		p := s.Proxy(t)
		a := newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: patience})
		b := newCache(t, s.Client(t), Options{Prefix: prefix})
		if err := a.Set(t.Context(), "k", []byte("v0"), 0); err != nil { // learns the clock
			t.Fatal(err)
		}
		p.Blackhole(true)
		if err := a.Set(t.Context(), "k", []byte("v1"), 0); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Set through a black hole = %v, want ErrUnavailable", err)
		}
		time.Sleep(10 * time.Millisecond)
		if err := b.Set(t.Context(), "k", []byte("v2"), 0); err != nil {
			t.Fatal(err)
		}
		p.Blackhole(false)
		for done := false; !done; { // until a has deleted it
			done = a.Stats().Pending == 0
			if v, _, err := b.Peek(t.Context(), "k"); string(v) == "v1" || err != nil {
				t.Fatalf("Peek(%q) = %q, %v: the abandoned Set has landed", "k", v, err)
			}
		}
	})
}

// Schedule 7, with a server that is stopped.
func TestAbandonedSetOnStoppedServer(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		a := newCache(t, s.Client(t), Options{Timeout: patience})
		b := newCache(t, s.Client(t), Options{})
		for _, c := range []*Redis{a, b} {
			if err := c.Set(t.Context(), "k", []byte("v0"), 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			s.Pause(t)
			if err := a.Set(t.Context(), "k", []byte("v1"), 0); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Set on a stopped server = %v, want ErrUnavailable", err)
			}
			time.Sleep(10 * time.Millisecond)
			s.Resume(t)
			v2 := fmt.Sprint("v2-", i)
			if err := b.Set(t.Context(), "k", []byte(v2), 0); err != nil {
				t.Fatal(err)
			}
			for done := false; !done; {
				done = a.Stats().Pending == 0
				if v, _, err := b.Peek(t.Context(), "k"); string(v) == "v1" || err != nil {
					t.Fatalf("Peek(%q) = %q, %v: the abandoned Set has landed", "k", v, err)
				}
			}
		}
	})
}

// A reply is lost at each step: the result is right, nobody waits for his own
// lease, and nobody sees an old value.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	get := func(want string) func(t *testing.T, c *Redis) {
		return func(t *testing.T, c *Redis) {
			before := c.Stats()
			wants(t, c, "k", returns(new(atomic.Int64), "new"), want)
			settled(t, c)
			st := c.Stats()
			if stored := st.Stored - before.Stored; want == "new" && stored != 1 || st.Refused != before.Refused {
				t.Errorf("Stats() = %+v after %+v, want the value stored in spite of the lost reply", st, before)
			}
		}
	}
	void := func(f func(c *Redis) error) func(t *testing.T, c *Redis) {
		return func(t *testing.T, c *Redis) {
			if err := f(c); err != nil {
				t.Errorf("with a lost reply: %v", err)
			}
		}
	}
	ctx := context.Background()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct {
			step   string
			match  func([]byte) bool
			before string // in Redis
			do     func(t *testing.T, c *Redis)
			after  string // what another process then gets, with a loader of "later"
			drops  int
		}{
			{"peek", requestsOf(peekSource), "old", get("old"), "old", 1},
			{"get", redistest.Command("get"), "old", get("old"), "old", 1},
			{"lease", requestsOf(leaseSource), "", get("new"), "later new", 1},
			{"lease twice", requestsOf(leaseSource), "", get("new"), "later new", 2},
			{"fill", requestsOf(fillSource), "", get("new"), "new", 1},
			{"fill twice", requestsOf(fillSource), "", get("new"), "new", 2},
			{"refresh", requestsOf(refreshSource), "stale", get("old"), "later new old", 1},
			{"delete", redistest.Command("unlink"), "old", void(func(c *Redis) error { return c.Delete(ctx, "k") }), "later", 1},
			{"delete twice", redistest.Command("unlink"), "old", void(func(c *Redis) error { return c.Delete(ctx, "k") }), "later", 2},
			{"expire", requestsOf(expireSource), "old", void(func(c *Redis) error { return c.Expire(ctx, "k") }), "later old", 1},
			{"hold", requestsOf(holdSource), "old", void(func(c *Redis) error { return c.Hold(ctx, time.Second, "k") }), "later", 1},
			{"set", requestsOf(setSource), "old", func(t *testing.T, c *Redis) {
				if err := c.Set(ctx, "k", []byte("set"), 0); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Set with a lost reply = %v, want ErrUnavailable", err)
				}
				wants(t, c, "k", returns(new(atomic.Int64), "new"), "new") // what was loaded after that, at any rate
				settled(t, c)
			}, "later", 1},
			{"release", requestsOf(releaseSource), "", func(t *testing.T, c *Redis) {
				call(ctx, c, "k", func(context.Context) ([]byte, error) { return nil, errBroken }).fails(t, "k", errBroken)
			}, "later", 1},
		} {
			t.Run(test.step, func(t *testing.T) {
				prefix := redistest.Prefix(t)
				opts := Options{Prefix: prefix, Timeout: time.Second, Jitter: -1}
				if test.before == "stale" || test.step == "expire" {
					opts.StaleFor = time.Hour
				}
				p := s.Proxy(t)
				c := newCache(t, p.Client(t), opts)
				b := newCache(t, s.Client(t), opts)
				// All scripts and clocks are known.
				call(ctx, b, "warm", func(context.Context) ([]byte, error) { return nil, errBroken })
				if err := errors.Join(b.Set(ctx, "stale", []byte("x"), time.Millisecond), b.Expire(ctx, "stale"), b.Hold(ctx, 1, "other"), b.Delete(ctx, "other")); err != nil {
					t.Fatal(err)
				}
				if test.step != "peek" {
					call(ctx, c, "k", func(context.Context) ([]byte, error) { return nil, errBroken })
					if err := c.Set(ctx, "k", nil, 0); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Delete(ctx, "k"); err != nil {
					t.Fatal(err)
				}
				if test.before != "" {
					ttl := time.Hour
					if test.before == "stale" {
						ttl = time.Millisecond
					}
					if err := b.Set(ctx, "k", []byte("old"), ttl); err != nil {
						t.Fatal(err)
					}
					if test.before == "stale" {
						time.Sleep(5 * time.Millisecond)
					}
				}
				p.DropRepliesTo(test.match, test.drops)
				start := time.Now()
				test.do(t, c)
				settled(t, c)
				o := call(ctx, b, "k", returns(new(atomic.Int64), "later"))
				if took := time.Since(start); took > 2500*time.Millisecond {
					t.Errorf("with %d lost replies it took %v", test.drops, took)
				}
				if o.err != nil || !bytes.Contains([]byte(test.after), []byte(o.v)) {
					t.Errorf("another process then gets %q, %v, want one of %q", o.v, o.err, test.after)
				}
			})
		}
	})
}

// Any reply may be lost, one in ten: nothing stale after a Delete.
func TestRandomlyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		p := s.Proxy(t)
		var cs []*Redis
		for range 2 {
			cs = append(cs, newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: 2 * time.Second}))
		}
		var n, version atomic.Int64
		load := func(context.Context) ([]byte, error) { return fmt.Appendf(nil, "%d", version.Load()), nil }
		p.DropRepliesTo(func([]byte) bool { return n.Add(1)%10 == 0 }, 1_000_000)
		for i := range 20 {
			version.Add(1)
			if err := cs[i%2].Delete(t.Context(), "k"); err != nil {
				t.Fatalf("Delete = %v", err)
			}
			together(4, func(j int) { wants(t, cs[j%2], "k", load, fmt.Sprint(version.Load())) })
		}
	})
}

// do runs a command that configures a private server.
func do(t *testing.T, s *redistest.Server, args ...any) {
	t.Helper()
	if err := s.Client(t).Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// The server is out of memory: what it has is served, and nothing is stored.
func TestOutOfMemory(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{})
		for _, key := range []string{"kept", "set", "gone", "expired", "held"} {
			if err := c.Set(t.Context(), key, []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
		}
		do(t, s, "config", "set", "maxmemory", 1)
		wants(t, c, "kept", mustNotLoad(t), "v")
		for range 10 {
			o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
			o.wants(t, "new", "w")
			if o.took > time.Second {
				t.Errorf("GetOrLoad took %v", o.took)
			}
		}
		if err := c.Set(t.Context(), "set", []byte("w"), 0); err != nil {
			t.Errorf("Set = %v, want nil", err)
		}
		peeks(t, c, "set", "")
		if st := c.Stats(); st.Dropped != 1 {
			t.Errorf("Stats().Dropped = %d, want 1", st.Dropped)
		}
		if err := c.Delete(t.Context(), "gone"); err != nil {
			t.Errorf("Delete = %v, want nil", err)
		}
		peeks(t, c, "gone", "")
		if err := c.Expire(t.Context(), "expired"); err != nil {
			t.Errorf("Expire = %v, want nil", err)
		}
		if err := c.Hold(t.Context(), time.Hour, "held"); err != nil && !redis.IsOOMError(err) {
			t.Errorf("Hold = %v, want nil or an OOM error", err)
		}
		if st := c.Stats(); st.Unavailable != 0 {
			t.Errorf("Stats().Unavailable = %d, want 0", st.Unavailable)
		}
		// Memory runs out between the lease and the fill.
		do(t, s, "config", "set", "maxmemory", 0)
		settled(t, c)
		var reported atomic.Value
		d := newCache(t, s.Client(t), Options{OnError: func(err error) { reported.Store(err) }})
		g := newGate()
		out := begin(t.Context(), d, "midway", g.load("w", nil))
		<-g.began
		do(t, s, "config", "set", "maxmemory", 1)
		close(g.open)
		(<-out).wants(t, "midway", "w")
		settled(t, d)
		if err, _ := reported.Load().(error); !redis.IsOOMError(err) || d.Stats().Dropped != 1 {
			t.Errorf("OnError(%v), Dropped %d, want an OOM error and 1", err, d.Stats().Dropped)
		}
		do(t, s, "config", "set", "maxmemory", 0)
		worksAgain(t, c, 10*time.Second)
	})
}

// The server refuses writes, because it cannot save.
func TestMisconf(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Timeout: time.Second})
		if err := c.Set(t.Context(), "kept", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		dir := rdb.ConfigGet(t.Context(), "dir").Val()["dir"]
		obstacle := filepath.Join(dir, rdb.ConfigGet(t.Context(), "dbfilename").Val()["dbfilename"])
		if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		do(t, s, "config", "set", "save", "3600 1")
		do(t, s, "bgsave")
		eventually(t, "MISCONF", func() bool {
			return redis.HasErrorPrefix(rdb.Set(t.Context(), "x", "y", time.Second).Err(), "MISCONF")
		})
		wants(t, c, "kept", mustNotLoad(t), "v")
		o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
		o.wants(t, "new", "w")
		if o.took > time.Second {
			t.Errorf("GetOrLoad took %v: it was tried again", o.took)
		}
		for name, err := range map[string]error{
			"Set": c.Set(t.Context(), "kept", []byte("w"), 0), "Delete": c.Delete(t.Context(), "kept"), "Expire": c.Expire(t.Context(), "kept"),
		} {
			if !redis.HasErrorPrefix(errors.Unwrap(errors.Unwrap(err)), "MISCONF") && !bytes.Contains([]byte(fmt.Sprint(err)), []byte("MISCONF")) || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s = %v, want MISCONF and not ErrUnavailable", name, err)
			}
		}
		do(t, s, "config", "set", "save", "")
		eventually(t, "the Delete is done", func() bool { return c.Stats().Pending == 0 })
		wants(t, c, "kept", returns(new(atomic.Int64), "w"), "w")
	})
}

// The master has become a replica.
func TestReadOnly(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		if err := c.Set(t.Context(), "kept", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		do(t, s, "replicaof", "127.0.0.1", "1")
		wants(t, c, "kept", mustNotLoad(t), "v")
		for range 5 {
			o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
			o.wants(t, "new", "w")
			if o.took > patience+150*time.Millisecond {
				t.Errorf("GetOrLoad took %v, want %v at most", o.took, patience)
			}
		}
		if err := c.Delete(t.Context(), "kept"); !errors.Is(err, ErrUnavailable) || !redis.IsReadOnlyError(err) {
			t.Errorf("Delete = %v, want ErrUnavailable and READONLY", err)
		}
		wants(t, c, "kept", returns(new(atomic.Int64), "w"), "w")
		do(t, s, "replicaof", "no", "one")
		eventually(t, "the Delete is done", func() bool { return c.Stats().Pending == 0 })
		peeks(t, c, "kept", "")
	})
}

func TestLoading(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: patience})[0]
		s.Mini().SetError("LOADING Redis is loading the dataset in memory")
		for i := range 20 {
			o := call(t.Context(), c, "k", returns(new(atomic.Int64), "v"))
			o.wants(t, "k", "v")
			if limit := map[bool]time.Duration{true: patience, false: time.Millisecond}[i < 10]; o.took > limit {
				t.Errorf("call %d took %v, want %v at most", i, o.took, limit)
			}
		}
		s.Mini().SetError("")
		time.Sleep(time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
		time.Sleep(time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
		synctest.Wait()
		peeks(t, c, "k", "v")
	})
}

// A user who may do nothing, or not enough, and a wrong password.
func TestNotPermitted(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		do(t, s, "acl", "setuser", "reader", "on", ">pw", "~*", "-@all", "+get", "+hello", "+ping")
		do(t, s, "acl", "setuser", "writer", "on", ">pw", "~*", "-@all", "+get", "+hello", "+ping", "+evalsha", "+eval", "+time")
		as := func(user, password string) *Redis {
			return newCache(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = user, password }), Options{})
		}
		for name, c := range map[string]*Redis{"reader": as("reader", "pw"), "writer": as("writer", "pw"), "WRONGPASS": as("reader", "no")} {
			for range 5 {
				o := call(t.Context(), c, "k", returns(new(atomic.Int64), "v"))
				o.wants(t, "k", "v")
				if o.took > 500*time.Millisecond {
					t.Errorf("%s: GetOrLoad took %v: it was tried again", name, o.took)
				}
			}
			err := c.Delete(t.Context(), "k")
			if err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: Delete = %v, want an error that is not ErrUnavailable", name, err)
			}
			if permitted := !redis.IsPermissionError(err); permitted && name != "WRONGPASS" {
				t.Errorf("%s: Delete = %v, want a permission error", name, err)
			}
			if name == "WRONGPASS" && !redis.IsAuthError(err) {
				t.Errorf("%s: Delete = %v, want an authentication error", name, err)
			}
			if err := c.Set(t.Context(), "k", nil, 0); err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: Set = %v, want an error that is not ErrUnavailable", name, err)
			}
		}
	})
}

// The server forgets the scripts.
func TestScriptFlush(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone, redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{StaleFor: time.Hour})
		m := newMany(t, c, new(tally).load)
		for i, f := range []func() error{
			func() error { return c.Set(t.Context(), "a", []byte("v"), time.Millisecond) },
			func() error { return c.Expire(t.Context(), "a", "b") },
			func() error { return c.Hold(t.Context(), 1, "c", "d") },
			func() error { return call(t.Context(), c, "load", returns(new(atomic.Int64), "v")).err },
			func() error { time.Sleep(3 * time.Millisecond); return call(t.Context(), c, "a", slow(1)).err },
			func() error { _, err := m.GetMany(t.Context(), []string{"a", "b", "c", "d"}); return err },
		} {
			do(t, s, "script", "flush")
			if err := f(); err != nil {
				t.Errorf("operation %d after SCRIPT FLUSH = %v", i, err)
			}
			do(t, s, "script", "flush")
			settled(t, c)
		}
		peeks(t, c, "load", "v")
		if st := c.Stats(); st.Dropped != 0 || st.Unavailable != 0 || st.Stored != 6 {
			t.Errorf("Stats() = %+v, want nothing Dropped or Unavailable, 6 Stored", st)
		}
	})
}

// A slot is being moved: everything works without an error or an old value,
// whether or not the keys have moved.
func TestSlotMigration(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		opts := Options{StaleFor: time.Hour}
		a, b := newCache(t, s.Client(t), opts), newCache(t, s.Client(t), opts)
		m, err := NewCachedMany(a, "{", func(_ context.Context, keys []string) (map[string]string, error) { return nil, nil }, nil)
		if err == nil {
			t.Fatal("a name with a brace was accepted")
		}
		m = newMany(t, a, new(tally).load)
		var migration *redistest.Migration
		value := a.keysOf("k")[0]
		var version atomic.Int64
		load := func(context.Context) ([]byte, error) { return fmt.Appendf(nil, "%d", version.Load()), nil }
		round := func(stage string) {
			t.Helper()
			for _, prior := range []bool{true, false} { // is there a value
				for name, void := range map[string]func(c *Redis) error{
					"Delete": func(c *Redis) error { return c.Delete(t.Context(), "k", "elsewhere") },
					"Expire": func(c *Redis) error { return c.Expire(t.Context(), "k", "elsewhere") },
					"Hold":   func(c *Redis) error { return c.Hold(t.Context(), time.Millisecond, "k", "elsewhere") },
					"Set":    func(c *Redis) error { return c.Set(t.Context(), "k", fmt.Appendf(nil, "%d", version.Load()), 0) },
				} {
					for _, c := range []*Redis{a, b} {
						if prior {
							wants(t, c, "k", load, fmt.Sprint(version.Load()))
							settled(t, c)
						}
						version.Add(1)
						if err := void(c); err != nil {
							t.Errorf("%s: %s = %v", stage, name, err)
						}
						time.Sleep(3 * time.Millisecond) // the Hold ends
						if name == "Expire" && stage == "before" || name == "Expire" && stage == "after" {
							if err := a.Delete(t.Context(), "k"); err != nil { // or the stale one is served
								t.Errorf("%s: Delete = %v", stage, err)
							}
						}
						for _, c := range []*Redis{a, b} {
							together(4, func(int) { wants(t, c, "k", load, fmt.Sprint(version.Load())) })
							settled(t, c)
						}
					}
				}
			}
			if _, err := m.GetMany(t.Context(), []string{"x", "y", "z"}); err != nil {
				t.Errorf("%s: GetMany = %v", stage, err)
			}
		}
		round("before")
		migration = s.MigrateSlot(t, value)
		round("open")
		// The value moves, then it is deleted.
		wants(t, a, "k", load, fmt.Sprint(version.Load()))
		migration.Move(t, a.keysOf("k")...)
		round("moved")
		migration.Finish(t)
		round("after")
		wants(t, a, "k", load, fmt.Sprint(version.Load()))
		settled(t, a)
		wants(t, b, "k", mustNotLoad(t), fmt.Sprint(version.Load()))
	})
}

// A planned failover under load: callers get values, without errors.
func TestFailover(t *testing.T) {
	long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		var cs []*Redis
		for range 3 {
			cs = append(cs, newCache(t, s.Client(t), Options{Prefix: prefix, Timeout: patience, TTL: 50 * time.Millisecond}))
		}
		stop := make(chan struct{})
		done := make(chan time.Duration, 3)
		for _, c := range cs {
			go func() {
				var longest time.Duration
				for i := 0; ; i++ {
					select {
					case <-stop:
						done <- longest
						return
					default:
					}
					key := fmt.Sprint("k", i%10)
					o := call(context.Background(), c, key, returns(new(atomic.Int64), "v"))
					o.wants(t, key, "v")
					longest = max(longest, o.took)
				}
			}()
		}
		s.Failover(t)
		worksAgain(t, cs[0], 20*time.Second)
		close(stop)
		for range cs {
			longest := <-done
			t.Logf("the longest call took %v", longest)
			// A lease may have been replicated and its fill lost: then it has to end.
			if longest > leaseTerm+5*patience {
				t.Errorf("a call took %v during a failover", longest)
			}
		}
	})
}

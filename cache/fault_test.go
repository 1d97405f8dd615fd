package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// patience is what a Redis that is away may cost a call in these tests, and slack
// what a machine may add that does other things.
const (
	patience = 100 * time.Millisecond
	slack    = 500 * time.Millisecond
)

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
				worksAgain(t, c)
				set(p, true)
				outage(t, c)
				set(p, false)
				start := time.Now()
				worksAgain(t, c)
				t.Logf("works again after %v", time.Since(start))
			})
		}
	})
}

func TestRedisStopped(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		worksAgain(t, c)
		s.Pause(t)
		outage(t, c)
		s.Resume(t)
		worksAgain(t, c)
		s.Kill(t)
		outage(t, c)
		s.Restart(t)
		start := time.Now()
		worksAgain(t, c)
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
		if o.took > patience+slack {
			t.Errorf("call %d took %v, want at most %v", i, o.took, patience)
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
	if took := time.Since(start); took > slack {
		t.Errorf("with the breaker open Delete took %v", took)
	}
	if st := c.Stats(); st.Unavailable == 0 {
		t.Error("Stats().Unavailable = 0")
	}
}

// worksAgain waits until the cache stores what is loaded.
func worksAgain(t *testing.T, c *Redis) {
	t.Helper()
	tries := 0
	redistest.Eventually(t, "the cache stores values", func() bool {
		key := fmt.Sprint("works", tries)
		tries++
		wants(t, c, key, returns(new(atomic.Int64), "v"), "v")
		settled(t, c)
		_, ok, err := c.Peek(t.Context(), key)
		return ok && err == nil
	})
}

// While Redis is away MaxLoads loads run at once, and one per key.
func TestMaxLoads(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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
		redistest.Together(200, func(i int) {
			key := fmt.Sprint("k", i%20)
			call(t.Context(), c, key, load).wants(t, key, "v")
		})
		if n.Load() != 20 || most.Load() != 3 {
			t.Errorf("%d loads of 20 keys, %d at once, want 20 and 3", n.Load(), most.Load())
		}
		// Too many for LoadTimeout: 30 end in time, 3 are cut, and 27 find no place.
		var refused, cut atomic.Int64
		redistest.Together(60, func(i int) {
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
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			c, _ := open(t, s)
			quick(t, call(t.Context(), c, "outer", func(ctx context.Context) ([]byte, error) {
				return c.GetOrLoad(ctx, "inner", func(ctx context.Context) ([]byte, error) {
					return c.GetOrLoad(ctx, "innermost", returns(new(atomic.Int64), "inner"))
				})
			}))
		})
	})
	t.Run("started by another", func(t *testing.T) {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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

// A Delete fails while the reply to an earlier one is on its way: the earlier one
// has not done it, whatever the other process stored in between.
func TestFailedDeleteAfterAnother(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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

// What another process has found missing lives longer than values do, and what it
// loads is stored later: a Delete that cannot be done is owed until then.
func TestFailedDeleteOutlivesOthers(t *testing.T) {
	for name, load := range map[string]func(context.Context) ([]byte, error){
		"not found": func(context.Context) ([]byte, error) { return nil, ErrNotFound },
		"slow":      slow(10 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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

// Redis goes away while a load is under way. Who joined it late waits for his reading
// and for what is to be stored, and then for a load, but not for a lease as well.
func TestJoinerWhileRedisGoes(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: "p", Timeout: patience})
		wants(t, c, "warm", returns(new(atomic.Int64), "x"), "x")
		settled(t, c)
		first := begin(t.Context(), c, "k", slow(400*time.Millisecond))
		time.Sleep(310 * time.Millisecond)
		p.Blackhole(true)
		o := call(t.Context(), c, "k", slow(400*time.Millisecond))
		o.wants(t, "k", "slow")
		(<-first).wants(t, "k", "slow")
		if limit := 2*patience + 400*time.Millisecond; o.took > limit {
			t.Errorf("who joined late waited %v, want %v at most", o.took, limit)
		}
		p.Blackhole(false)
		time.Sleep(time.Minute)
	})
}

// A user who may do nothing, or not enough, and a wrong password.
func TestNotPermitted(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		s.Do(t, "acl", "setuser", "reader", "on", ">pw", "~*", "-@all", "+get", "+hello", "+ping")
		s.Do(t, "acl", "setuser", "writer", "on", ">pw", "~*", "-@all", "+get", "+hello", "+ping", "+evalsha", "+eval", "+time")
		as := func(user, password string) *Redis {
			return newCache(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = user, password }), Options{})
		}
		for name, c := range map[string]*Redis{"reader": as("reader", "pw"), "writer": as("writer", "pw"), "WRONGPASS": as("reader", "no")} {
			for range 5 {
				o := call(t.Context(), c, "k", returns(new(atomic.Int64), "v"))
				o.wants(t, "k", "v")
				if o.took > slack {
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

// A batch is refused on account of one key, or of its command: the keys are then
// read one by one.
func TestGetManyNotPermitted(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		s.Do(t, "acl", "setuser", "some", "on", ">pw", "~p:?:{m:mine*", "+@all")
		s.Do(t, "acl", "setuser", "singly", "on", ">pw", "~*", "+@all", "-mget")
		o := Options{Prefix: "p"}
		filler := newCache(t, s.Client(t), o)
		all := newMany(t, filler, func(keys []string) (map[string]string, error) {
			return map[string]string{"mine1": "a", "mine2": "b", "theirs": "c"}, nil
		})
		if _, err := all.GetMany(t.Context(), []string{"mine1", "mine2", "theirs"}); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, "all are stored", func() bool { return filler.Stats().Stored == 3 })
		for user, loaded := range map[string]string{"some": "[theirs]", "singly": "[]"} {
			hits := map[string]uint64{"some": 2, "singly": 3}[user]
			c := newCache(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = user, "pw" }), o)
			asked := []string{}
			m := newMany(t, c, func(keys []string) (map[string]string, error) {
				asked = append(asked, keys...)
				return map[string]string{"theirs": "c"}, nil
			})
			for range 2 { // the first one asks for the time, too
				asked = nil
				before := c.Stats().Hits
				got, err := m.GetMany(t.Context(), []string{"mine1", "mine2", "theirs"})
				if want := map[string]string{"mine1": "a", "mine2": "b", "theirs": "c"}; err != nil || !maps.Equal(got, want) {
					t.Errorf("%s: GetMany = %v, %v, want %v", user, got, err, want)
				}
				if fmt.Sprint(asked) != loaded {
					t.Errorf("%s: GetMany loaded %v, want %s", user, asked, loaded)
				}
				if n := c.Stats().Hits - before; n != hits {
					t.Errorf("%s: %d hits, want %d: the others were leased", user, n, hits)
				}
			}
		}
	})
}

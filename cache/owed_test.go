package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

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

// More failed Deletes than are remembered: nothing is believed until the values
// have expired.
func TestTooManyFailedDeletes(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
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

// An Expire does not do for a Delete that failed: what that was to remove is not
// served as stale either.
func TestExpireAfterFailedDelete(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
			if cmd.Name() == "unlink" {
				cmd.SetErr(refusal("MISCONF no disk"))
				return cmd.Err()
			}
			return send()
		}))
		c := newCache(t, rdb, Options{Prefix: "p", TTL: time.Hour, StaleFor: time.Hour})
		if err := c.Set(t.Context(), "k", []byte("old"), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.Delete(t.Context(), "k"); err == nil {
			t.Error("Delete = nil, want an error")
		}
		time.Sleep(time.Millisecond)
		if err := c.Expire(t.Context(), "k"); err != nil {
			t.Errorf("Expire = %v, want nil", err)
		}
		wants(t, c, "k", returns(new(atomic.Int64), "new"), "new")
	})
}

// A Delete that failed is owed for as long as values live that only others have
// stored, with a TTL of their own, if this process has seen them or knows their TTL.
func TestFailedDeleteOutlivesCachedTTL(t *testing.T) {
	for _, seen := range []bool{true, false} {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			p := s.Proxy(t)
			opts := Options{Prefix: "p", TTL: time.Second, LoadTimeout: time.Second, NotFoundTTL: -1, Timeout: patience}
			ca, cb := newCache(t, p.Client(t), opts), newCache(t, s.Client(t), opts)
			load := func(context.Context, string) (string, error) { return "new", nil }
			day := &CachedOptions{TTL: 24 * time.Hour}
			if seen {
				day = nil // it has read an entry that lives for a day
			}
			m, err := NewCached(ca, "m", load, day)
			if err != nil {
				t.Fatal(err)
			}
			b, err := NewCached(cb, "m", load, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Set(t.Context(), "k", "old", 24*time.Hour); err != nil {
				t.Fatal(err)
			}
			if v, err := m.Get(t.Context(), "k"); seen && (v != "old" || err != nil) {
				t.Fatalf("Get = %q, %v, want old", v, err)
			}
			p.Refuse(true)
			if err := m.Delete(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Delete = %v, want ErrUnavailable", err)
			}
			time.Sleep(time.Hour)
			p.Refuse(false)
			redistest.Eventually(t, "the Delete is done", func() bool { return ca.Stats().Pending == 0 })
			if v, err := b.Get(t.Context(), "k"); v != "new" || err != nil {
				t.Errorf("Get = %q, %v, want new: the Delete was forgotten", v, err)
			}
			settled(t, ca)
		})
	}
}

// With no Timeout of its own, a Set that failed is owed for no longer than it can
// still land.
func TestFailedSetWithoutTimeout(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: "p", Timeout: -1})
		if err := c.Set(t.Context(), "k", []byte("v0"), 0); err != nil {
			t.Fatal(err)
		}
		p.Blackhole(true)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.Set(ctx, "k", []byte("v1"), 0); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Set through a black hole = %v, want ErrUnavailable", err)
		}
		p.Blackhole(false)
		time.Sleep(time.Minute)
		if n := c.Stats().Pending; n != 0 {
			t.Errorf("Stats().Pending = %d a minute later, want 0", n)
		}
		if err := c.Set(t.Context(), "k", []byte("v2"), 0); err != nil {
			t.Fatal(err)
		}
		peeks(t, c, "k", "v2")
	})
}

// A Delete of very many keys takes longer than a Timeout, which is for each thousand.
func TestDeleteOfVeryMany(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: "p", Timeout: patience})
		keys := make([]string, 5*voidBatch)
		for i := range keys {
			keys[i] = fmt.Sprint("k", i)
		}
		for _, key := range []string{keys[0], keys[len(keys)-1], "unrelated"} {
			if err := c.Set(t.Context(), key, []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
		}
		p.Throttle(1_000_000) // a thousand UNLINKs are some 50 kB
		start := time.Now()
		if err := c.Delete(t.Context(), keys...); err != nil {
			t.Errorf("Delete of %d keys = %v", len(keys), err)
		}
		if took := time.Since(start); took < 2*patience {
			t.Errorf("Delete took %v, which does not show much", took)
		}
		p.Throttle(0)
		peeks(t, c, keys[0], "")
		peeks(t, c, keys[len(keys)-1], "")
		peeks(t, c, "unrelated", "v")
	})
}

// A Delete of very many keys on a server that hangs costs one Timeout.
func TestDeleteOfVeryManyHangs(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: "p", Timeout: patience})
		if err := c.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		p.Blackhole(true)
		keys := make([]string, 5*voidBatch)
		for i := range keys {
			keys[i] = fmt.Sprint("k", i)
		}
		start := time.Now()
		if err := c.Delete(t.Context(), keys...); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Delete = %v, want ErrUnavailable", err)
		}
		if took := time.Since(start); took != patience {
			t.Errorf("Delete took %v, want %v", took, patience)
		}
		if n := c.Stats().Pending; n != uint64(len(keys)) {
			t.Errorf("Stats().Pending = %d, want %d", n, len(keys))
		}
		p.Blackhole(false)
		time.Sleep(time.Minute)
		if n := c.Stats().Pending; n != 0 {
			t.Errorf("Stats().Pending = %d a minute later, want 0", n)
		}
	})
}

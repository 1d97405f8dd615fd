package cache

import (
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

// An Expire does not do for a Delete that failed: what that was to remove is not
// served as stale either.
func TestExpireAfterFailedDelete(t *testing.T) {
	bubble(t, func(t *testing.T, s *redistest.Server) {
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

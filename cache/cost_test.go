package cache

import (
	"context"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestCosts counts the round trips of what the Cost: lines describe, in their
// order, and compares. Every line must have its count.
func TestCosts(t *testing.T) {
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		counter := redistest.Count(t, rdb)
		ctx := context.Background()
		newCache := func() *Redis {
			c, err := New(rdb, &Options{Prefix: redistest.Prefix(t), EarlyRefresh: -1, Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := newCache()
		load := func(context.Context) ([]byte, error) { return []byte("v"), nil }
		single, err := NewCached(c, "one", func(_ context.Context, key string) (string, error) { return key, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		// On a cluster the tag keeps them on one node.
		many := []string{"{t}a", "{t}b", "{t}c", "{t}d"}
		batch, err := NewCachedMany(c, "many", func(_ context.Context, keys []string) (map[string]string, error) {
			values := make(map[string]string)
			for _, k := range keys {
				values[k] = k
			}
			return values, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// cost counts a call and what it leaves to be done after it has returned.
		cost := func(c *Redis, f func() error) int {
			t.Helper()
			idle(t, c)
			counter.Reset()
			if err := f(); err != nil {
				t.Fatal(err)
			}
			idle(t, c)
			return counter.RoundTrips()
		}
		get := func() error { _, err := c.GetOrLoad(ctx, "k", load); return err }
		getOne := func() error { _, err := single.Get(ctx, "k"); return err }
		refresh := func() error { _, err := single.Refresh(ctx, "r"); return err }
		getMany := func() error { _, err := batch.GetMany(ctx, many); return err }
		set := func(c *Redis) func() error {
			return func() error { return c.Set(ctx, "s", []byte("v"), 0) }
		}
		setOne := func(c *Redis) func() error {
			m, err := NewCached(c, "one", func(context.Context, string) (string, error) { return "", nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return m.Set(ctx, "{k}", "v", 0) }
		}
		// Fills the pool and the cluster's slots; learns no clock of these caches.
		if err := newCache().Delete(ctx, "k", "s"); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"k", "s", "one:r", "one:k", "one:{k}", "many:{t}a"} {
			if err := get(); err != nil {
				t.Fatal(err)
			}
			if err := c.Set(ctx, k, nil, 0); err != nil {
				t.Fatal(err)
			}
			if err := c.Delete(ctx, k); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Delete(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		measured := map[string]func() []int{
			"Redis.GetOrLoad": func() []int { miss := cost(c, get); return []int{cost(c, get), miss} },
			"Cached.Get":      func() []int { miss := cost(c, getOne); return []int{cost(c, getOne), miss} },
			"Cached.Refresh":  func() []int { miss := cost(c, refresh); return []int{cost(c, refresh), miss} },
			"Cached.GetMany":  func() []int { miss := cost(c, getMany); return []int{miss, cost(c, getMany)} },
			"Redis.Set": func() []int {
				fresh := newCache()
				first := cost(fresh, set(fresh))
				return []int{cost(fresh, set(fresh)), first}
			},
			"Cached.Set": func() []int {
				fresh := newCache()
				first := cost(fresh, setOne(fresh))
				return []int{cost(fresh, setOne(fresh)), first}
			},
			"Redis.Delete":  func() []int { return []int{cost(c, func() error { return c.Delete(ctx, many...) })} },
			"Cached.Delete": func() []int { return []int{cost(c, func() error { return batch.Delete(ctx, many...) })} },
			"Redis.Expire":  func() []int { return []int{cost(c, func() error { return c.Expire(ctx, many...) })} },
			"Redis.Hold":    func() []int { return []int{cost(c, func() error { return c.Hold(ctx, time.Second, many...) })} },
			"Redis.Peek":    func() []int { return []int{cost(c, func() error { _, _, err := c.Peek(ctx, "k"); return err })} },
		}
		// Scripts that the server does not know yet cost a round trip more, once.
		for _, measure := range measured {
			measure()
		}
		if err := c.Delete(ctx, "k", "one:k", "one:r", "many:{t}a", "many:{t}b", "many:{t}c", "many:{t}d"); err != nil {
			t.Fatal(err)
		}
		redistest.CheckCosts(t, []string{"Redis", "Cached"}, measured, func() {})
	})
}

// idle waits until a cache has nothing under way.
func idle(t *testing.T, c *Redis) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.running.Running() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("the cache is not idle: %d calls and goroutines", c.running.Running())
		}
		time.Sleep(time.Millisecond)
	}
}

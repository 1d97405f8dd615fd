package cache

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

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
			s.Do(t, "script", "flush")
			if err := f(); err != nil {
				t.Errorf("operation %d after SCRIPT FLUSH = %v", i, err)
			}
			s.Do(t, "script", "flush")
			settled(t, c)
		}
		peeks(t, c, "load", "v")
		if st := c.Stats(); st.Dropped != 0 || st.Unavailable != 0 || st.Stored != 6 {
			t.Errorf("Stats() = %+v, want nothing Dropped or Unavailable, 6 Stored", st)
		}
	})
}

// The server forgets the scripts all the time while there is traffic, batches
// included: nobody notices.
func TestScriptFlushDuringTraffic(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 3, Options{})
		f := startTraffic(t, cs, []string{"a", "b", "c", "d"}, false)
		for range 20 {
			flushScripts(t, s)
			f.flow(5)
		}
		f.end()
		for _, c := range cs {
			if st := c.Stats(); st.Dropped != 0 || st.Unavailable != 0 || st.LoadErrors != 0 {
				t.Errorf("Stats() = %+v, want nothing Dropped or Unavailable", st)
			}
		}
	})
}

// flushScripts makes every master forget the scripts.
func flushScripts(t *testing.T, s *redistest.Server) {
	t.Helper()
	cluster, ok := s.Client(t).(*redis.ClusterClient)
	if !ok {
		s.Do(t, "script", "flush")
		return
	}
	err := cluster.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		return node.ScriptFlush(ctx).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

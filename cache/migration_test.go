package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

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
							redistest.Together(4, func(int) { wants(t, c, "k", load, fmt.Sprint(version.Load())) })
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

// A Hold holds although the slot is being moved, and does not end one that lasts
// longer.
func TestHoldDuringSlotMigration(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		wants(t, c, "k", returns(new(atomic.Int64), "old"), "old")
		settled(t, c)
		m := s.MigrateSlot(t, c.keysOf("k")[0])
		for _, d := range []time.Duration{time.Hour, time.Millisecond} {
			if err := c.Hold(t.Context(), d, "k"); err != nil {
				t.Fatalf("Hold = %v", err)
			}
		}
		m.Move(t, c.keysOf("k")...)
		m.Finish(t)
		time.Sleep(2 * time.Millisecond)
		wants(t, c, "k", returns(new(atomic.Int64), "from a replica"), "from a replica")
		settled(t, c)
		peeks(t, c, "k", "")
	})
}

// Slots move from master to master and back under traffic, with one key of three
// moved, then all of them: no call fails and nothing is stale.
func TestSlotMigrationDuringTraffic(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 3, Options{})
		keys := []string{"a", "b", "c"}
		f := startTraffic(t, cs, keys, false)
		f.flow(20)
		for i := range 6 {
			all := cs[0].keysOf("t:" + keys[i%len(keys)])
			m := s.MigrateSlot(t, all[0])
			f.flow(20)
			m.Move(t, all[i%3])
			f.flow(20)
			m.Finish(t)
			f.flow(20)
		}
		f.end()
		for _, c := range cs {
			if st := c.Stats(); st.LoadErrors != 0 || st.StaleHits != 0 {
				t.Errorf("Stats() = %+v, want no LoadErrors and no StaleHits", st)
			}
		}
	})
}

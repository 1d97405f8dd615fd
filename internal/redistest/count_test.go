package redistest

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestCount(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		rdb, prefix := s.Client(t), Prefix(t)
		c := Count(t, rdb)
		check := func(what string, trips int, commands ...string) {
			t.Helper()
			if got := c.RoundTrips(); got != trips {
				t.Errorf("%s: %d round trips, want %d", what, got, trips)
			}
			if got := c.Commands(); !slices.Equal(got, commands) {
				t.Errorf("%s: commands %q, want %q", what, got, commands)
			}
			c.Reset()
		}
		rdb.Incr(t.Context(), prefix)
		check("command", 1, "incr")
		_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Incr(t.Context(), "{"+prefix+"}")
			p.Get(t.Context(), "{"+prefix+"}")
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		check("pipeline", 1, "incr", "get")
		_, err = rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Incr(t.Context(), prefix)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		check("transaction", 1, "multi", "incr", "exec")
	})
}

// On a cluster a pipeline is a round trip per node, and a redirected command
// is two.
func TestCountCluster(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Cluster}, func(t *testing.T, s *Server) {
		t.Parallel()
		rdb := s.Client(t)
		rdb.Ping(t.Context()) // nodes that are known before Count are counted as well
		c := Count(t, rdb)
		masters := make(map[string]bool)
		_, _ = rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for _, key := range []string{"a", "b", "c", "d", "e"} {
				masters[s.MasterOf(t, key)] = true
				p.Incr(t.Context(), key)
			}
			return nil
		})
		if got := c.RoundTrips(); got != len(masters) || len(c.Commands()) != 5 {
			t.Errorf("a pipeline to %d nodes: %d round trips, commands %q", len(masters), got, c.Commands())
		}
		m := s.MigrateSlot(t, "a")
		m.Move(t, "a")
		c.Reset()
		rdb.Get(t.Context(), "a")
		if got, want := c.Commands(), []string{"get", "asking", "get"}; c.RoundTrips() != 2 || !slices.Equal(got, want) {
			t.Errorf("after ASK: %d round trips, commands %q; want 2, %q", c.RoundTrips(), got, want)
		}
	})
}

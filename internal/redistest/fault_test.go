package redistest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Miniredis, Standalone, RESP2}, func(t *testing.T, s *Server) {
		rdb, addrs := s.Client(t, failFast), fmt.Sprint(s.Addrs())
		if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		sha := rdb.ScriptLoad(t.Context(), "return 1").Val()
		s.Kill(t)
		if err := rdb.Get(t.Context(), "key").Err(); err == nil || errors.Is(err, redis.Nil) {
			t.Errorf("Get of a killed server = %v, want an error", err)
		}
		s.Restart(t)
		if got := fmt.Sprint(s.Addrs()); got != addrs {
			t.Errorf("restarted on %s, want %s", got, addrs)
		}
		if err := rdb.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("Get after the restart = %v, want redis.Nil", err)
		}
		if loaded := rdb.ScriptExists(t.Context(), sha).Val(); len(loaded) != 1 || loaded[0] {
			t.Errorf("ScriptExists after the restart = %v, want false", loaded)
		}
		if err := rdb.BLPop(t.Context(), 100e6, "list").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("BLPop after the restart = %v, want redis.Nil", err)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Miniredis, Standalone, Sentinel, Cluster}, func(t *testing.T, s *Server) {
		t.Parallel()
		rdb, observer := s.Client(t, failFast), s.Client(t)
		if err := rdb.Set(t.Context(), "key", 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		s.Pause(t)
		if err := rdb.Incr(t.Context(), "key").Err(); err == nil {
			t.Error("a paused server answered")
		}
		s.Resume(t)
		counts(t, observer, "key", "2") // executed late, without its sender
	})
}

// A master that is gone is replaced, and comes back as a replica.
func TestKillMasterOf(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Sentinel, Cluster}, func(t *testing.T, s *Server) {
		t.Parallel()
		old := s.MasterOf(t, "key")
		s.KillMasterOf(t, "key")
		eventually(t, func(ctx context.Context) error {
			rdb := s.Client(t, failFast) // one that has nothing to forget
			defer rdb.Close()
			return rdb.Set(ctx, "key", "value", 0).Err()
		})
		if now := s.MasterOf(t, "key"); now == old {
			t.Errorf("the master is still %s, which was killed", now)
		}
		s.Restart(t)
		if s.Topology() == Sentinel {
			return // the sentinels take ten seconds over it
		}
		n, err := s.nodeAt(old)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) error {
			if role, err := n.info(ctx, "replication", "role"); role != "slave" {
				return fmt.Errorf("the restarted node is a %s, %v", role, err)
			}
			return n.inSync(ctx)
		})
	})
}

func TestFailover(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Sentinel, Cluster}, func(t *testing.T, s *Server) {
		t.Parallel()
		rdb := s.Client(t)
		if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		first := s.MasterOf(t, "key")
		s.FailoverMasterOf(t, "key")
		second := s.MasterOf(t, "key")
		s.Failover(t) // it can be done again
		third := s.MasterOf(t, "key")
		if second == first || third == second {
			t.Errorf("masters one after the other: %s, %s, %s", first, second, third)
		}
		if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Errorf("Set after the failovers: %v", err)
		}
	})
}

func TestMigrateSlot(t *testing.T) {
	t.Parallel()
	EachPrivate(t, []Topology{Cluster}, func(t *testing.T, s *Server) {
		t.Parallel()
		rdb := s.Client(t)
		old := s.MasterOf(t, "{x}stays")
		for _, key := range []string{"{x}stays", "{x}moves"} {
			if err := rdb.Set(t.Context(), key, key, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		direct := adminClient(old, nil)
		defer direct.Close()
		get := func(key string) error { return direct.Get(t.Context(), key).Err() }

		m := s.MigrateSlot(t, "{x}stays")
		if err := get("{x}moves"); err != nil {
			t.Errorf("before its move, a key is missing on the old master: %v", err)
		}
		m.Move(t, "{x}moves")
		if err := get("{x}moves"); !redis.HasErrorPrefix(err, "ASK") {
			t.Errorf("the old master answers %v for a key that moved, want ASK", err)
		}
		if err := get("{x}stays"); err != nil {
			t.Errorf("a key that was not moved is missing on the old master: %v", err)
		}
		if err := direct.MGet(t.Context(), "{x}stays", "{x}moves").Err(); !redis.HasErrorPrefix(err, "TRYAGAIN") {
			t.Errorf("the old master answers %v for both keys, want TRYAGAIN", err)
		}
		for _, key := range []string{"{x}stays", "{x}moves"} {
			if got, err := rdb.Get(t.Context(), key).Result(); got != key {
				t.Errorf("Get(%q) = %q, %v during the migration", key, got, err)
			}
		}
		m.Finish(t)
		if err := get("{x}stays"); !redis.HasErrorPrefix(err, "MOVED") {
			t.Errorf("the old master answers %v after the migration, want MOVED", err)
		}
		if now := s.MasterOf(t, "{x}stays"); now == old {
			t.Errorf("the master is still %s", now)
		}
		if got, err := rdb.Get(t.Context(), "{x}stays").Result(); got != "{x}stays" {
			t.Errorf("Get = %q, %v after the migration", got, err)
		}
	})
}

// A node of a shared server that is silent for seconds, as on a busy machine, stays what it
// is.
func TestSharedServerIsCalm(t *testing.T) {
	t.Parallel()
	for _, topology := range []Topology{Sentinel, Cluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			f := newFleet()
			t.Cleanup(f.stop)
			s, err := f.get(available(t, topology)[0], topology)
			if err != nil {
				t.Fatal(err)
			}
			master := s.MasterOf(t, "k")
			s.PauseMasterOf(t, "k")
			time.Sleep(4 * time.Second) // twice what a failover takes where nobody is calm
			s.Resume(t)
			if now := s.MasterOf(t, "k"); now != master {
				t.Errorf("the master of k is %s after 4 s of silence, and was %s", now, master)
			}
		})
	}
}

package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/internal/rkey"
)

// Every operation on a server that hangs comes back when its context ends, by
// deadline or by cancel, and costs no connection.
func TestHungServer(t *testing.T) {
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{StaleFor: time.Hour, Timeout: time.Second})
		m := newMany(t, c, new(tally).load)
		worksAgain(t, c)
		key := "works0"
		other := sameSlot(c, key, "peek")
		many := sameSlot(c, key, "m:")
		ops := map[string]func(ctx context.Context) error{
			"GetOrLoad": func(ctx context.Context) error { _, err := c.GetOrLoad(ctx, key, slow(time.Second/2)); return err },
			"GetMany":   func(ctx context.Context) error { _, err := m.GetMany(ctx, []string{many[len("m:"):]}); return err },
			"Peek":      func(ctx context.Context) error { _, _, err := c.Peek(ctx, other); return err },
			"Set":       func(ctx context.Context) error { return c.Set(ctx, key, nil, 0) },
			"Delete":    func(ctx context.Context) error { return c.Delete(ctx, key) },
			"Expire":    func(ctx context.Context) error { return c.Expire(ctx, key) },
			"Hold":      func(ctx context.Context) error { return c.Hold(ctx, time.Millisecond, key) },
		}
		s.PauseMasterOf(t, c.keysOf(key)[0])
		const patience = 20 * time.Millisecond
		for name, op := range ops {
			for _, deadline := range []bool{true, false} {
				var late []time.Duration
				for range 4 {
					ctx, cancel := context.WithCancel(t.Context())
					want := context.Canceled
					if deadline {
						ctx, cancel = context.WithTimeout(t.Context(), patience)
						want = context.DeadlineExceeded
					} else {
						time.AfterFunc(patience, cancel)
					}
					start := time.Now()
					if err := op(ctx); !errors.Is(err, want) && !errors.Is(err, ErrUnavailable) {
						t.Errorf("%s = %v, want %v", name, err, want)
					}
					late = append(late, time.Since(start)-patience)
					cancel()
				}
				if best := slices.Min(late); best > 10*time.Millisecond {
					t.Errorf("%s came back %v after its context ended (deadline: %v), want 10 ms at most", name, best, deadline)
				}
			}
		}
		s.Resume(t)
		settled(t, c)
		worksAgain(t, c)
		redistest.Eventually(t, "no connection is missing", func() bool {
			st := rdb.PoolStats()
			return st.TotalConns == st.IdleConns
		})
	})
}

// sameSlot returns a key that begins with prefix and is in the slot of another, so
// that what happens to its node happens to both.
func sameSlot(c *Redis, key, prefix string) string {
	slot := rkey.Slot(c.keysOf(key)[0])
	for i := 0; ; i++ {
		if k := fmt.Sprint(prefix, i); rkey.Slot(c.keysOf(k)[0]) == slot {
			return k
		}
	}
}

// A server two seconds away is like one that hangs.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: redistest.Prefix(t), Timeout: patience})
		worksAgain(t, c)
		p.Delay(time.Second) // there, and back
		outage(t, c)
		p.Delay(0)
		worksAgain(t, c)
	})
}

// The server is killed and comes back empty, again and again under traffic: reads
// never fail, and nothing is stale.
func TestRestartDuringTraffic(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 3, Options{Timeout: patience})
		f := startTraffic(t, cs, []string{"a", "b", "c"}, true)
		for range 2 {
			f.flow(20)
			s.Kill(t)
			f.flow(200)
			s.Restart(t)
			for _, c := range cs {
				start := time.Now()
				redistest.Eventually(t, "a Set succeeds", func() bool { return c.Set(t.Context(), "probe", nil, 0) == nil })
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("the first Set succeeded %v after the restart", took)
				}
			}
		}
		f.end()
		f.longestAtMost(patience)
		for _, c := range cs {
			// Nothing but NOSCRIPT could be refused.
			if st := c.Stats(); st.LoadErrors != 0 || st.Corrupt != 0 {
				t.Errorf("Stats() = %+v, want no LoadErrors and nothing Corrupt", st)
			}
		}
	})
}

// A server that loads its data for a while.
func TestLoadingServer(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		worksAgain(t, c)
		rdb := s.Client(t)
		pipe := rdb.Pipeline()
		for i := range 15_000 {
			pipe.Set(t.Context(), fmt.Sprint("data", i), "", 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := rdb.Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		conf, err := os.OpenFile(configFile(t, rdb), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conf.WriteString("\nkey-load-delay 2000\nloading-process-events-interval-bytes 1024\n") // half a minute in all
		if err := errors.Join(err, conf.Close()); err != nil {
			t.Fatal(err)
		}
		s.Kill(t)
		s.Restart(t)
		isLoading := func() bool { return redis.IsLoadingError(rdb.Get(t.Context(), "data0").Err()) }
		redistest.Eventually(t, "the server is LOADING", isLoading)
		outage(t, c)
		if !isLoading() {
			t.Fatal("the data was loaded too early for the test")
		}
		if err := rdb.ConfigSet(t.Context(), "key-load-delay", "0").Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, "the data is loaded", func() bool { return rdb.Get(t.Context(), "data0").Err() == nil })
		start := time.Now()
		redistest.Eventually(t, "the cache reads", func() bool {
			_, _, err := c.Peek(t.Context(), "k")
			return err == nil
		})
		if took := time.Since(start); took > time.Second+slack {
			t.Errorf("the cache read again %v after the data was loaded, want 1 s", took)
		}
		worksAgain(t, c)
	})
}

// configFile is the configuration file of a private server.
func configFile(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	info, err := rdb.InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	return info["Server"]["config_file"]
}

// The server takes no more connections.
func TestTooManyClients(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		admin := s.Client(t).(*redis.Client).Conn() // keeps its connection
		defer admin.Close()
		limit := func(n int) {
			t.Helper()
			if err := admin.ConfigSet(t.Context(), "maxclients", fmt.Sprint(n)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		limit(1)
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		outage(t, c)
		limit(1000)
		start := time.Now()
		worksAgain(t, c)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the cache worked again %v after connections were possible, want 1 s", took)
		}
	})
}

// What one node of a cluster does is no business of the others.
func TestOneMasterHangs(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience, StaleFor: time.Hour})
		m := newMany(t, c, new(tally).load)
		worksAgain(t, c)
		var keys, healthy []string
		bad := s.MasterOf(t, c.keysOf("m:0")[0])
		for i := range 30 {
			key := fmt.Sprint(i)
			keys = append(keys, key)
			if s.MasterOf(t, c.keysOf("m:" + key)[0]) != bad {
				healthy = append(healthy, key)
			}
		}
		if _, err := m.GetMany(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		settled(t, c)
		s.PauseMasterOf(t, c.keysOf("m:0")[0])
		for range 5 { // before the election
			start := time.Now()
			if got, err := m.GetMany(t.Context(), keys); err != nil || len(got) != len(keys) {
				t.Errorf("GetMany = %d values, %v, want %d", len(got), err, len(keys))
			}
			if took := time.Since(start); took > patience+slack {
				t.Errorf("GetMany took %v", took)
			}
		}
		hits := c.Stats().Hits
		for _, key := range healthy {
			if v, err := m.Get(t.Context(), key); err != nil || v != "v"+key {
				t.Errorf("Get(%q) = %q, %v", key, v, err)
			}
		}
		if n := c.Stats().Hits - hits; n != uint64(len(healthy)) {
			t.Errorf("%d hits on healthy nodes, want %d", n, len(healthy))
		}
		wants(t, c, "m:0", returns(new(atomic.Int64), "x"), "x")
		s.Resume(t)
		worksAgain(t, c)
	})
}

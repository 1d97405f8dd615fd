package exec

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// own is what a user may have made of a client.
type own struct{ redis.UniversalClient }

// New refuses the clients that the library cannot be right on.
func TestNew(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{})
	auto, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	cluster := func(edit func(o *redis.ClusterOptions)) *redis.ClusterClient {
		o := &redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}}
		edit(o)
		c := redis.NewClusterClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	t.Cleanup(func() {
		_ = ring.Close()
		_ = auto.Close()
		_ = client.Close()
	})
	for name, test := range map[string]struct {
		rdb redis.UniversalClient
		ok  bool
	}{
		"nil":             {nil, false},
		"nil *Client":     {(*redis.Client)(nil), false},
		"nil *Cluster":    {(*redis.ClusterClient)(nil), false},
		"nil *Ring":       {(*redis.Ring)(nil), false},
		"nil wrapper":     {(*own)(nil), false},
		"Ring":            {ring, false},
		"AutoPipeliner":   {auto, false},
		"ReadOnly":        {cluster(func(o *redis.ClusterOptions) { o.ReadOnly = true }), false},
		"RouteByLatency":  {cluster(func(o *redis.ClusterOptions) { o.RouteByLatency = true }), false},
		"RouteRandomly":   {cluster(func(o *redis.ClusterOptions) { o.RouteRandomly = true }), false},
		"Client":          {client, true},
		"ClusterClient":   {cluster(func(*redis.ClusterOptions) {}), true},
		"wrapper":         {own{client}, true},
		"pointer to such": {&own{client}, true},
	} {
		c, err := New(test.rdb, time.Second)
		if got := err == nil; got != test.ok || got != (c != nil) {
			t.Errorf("New(%s) = %v, %v, want ok %t", name, c, err, test.ok)
		}
	}
}

// A user's own type of client, around each kind.
func TestWrapper(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		c := newClient(t, &own{p.Client(t)}, 300*time.Millisecond)
		direct := s.Client(t)
		loaded(t, direct, incrScript)
		keys := keys(t, 10)
		for range 2 {
			var cmds []*Cmd
			for _, key := range keys {
				cmds = append(cmds, incr(key))
			}
			if err := c.DoAll(t.Context(), NewBudget(patience), cmds); err != nil {
				t.Errorf("DoAll(INCR…) = %v, want nil", err)
			}
		}
		p.DropRepliesTo(redistest.Command("evalsha"), 1)
		wantKind(t, "Do(INCR) with a lost reply", c.Do(t.Context(), NewBudget(patience), incr(keys[0])), UnknownOutcome)
		if n := count(t, direct, keys[0]); n != 3 {
			t.Errorf("executed %d times, want 3", n)
		}
		if err := c.Do(t.Context(), NewBudget(patience), Get(keys[0])); err != nil {
			t.Errorf("Do(GET) = %v, want nil", err)
		}
		p.Blackhole(true)
		tripped(t, c, keys[0])
		p.Blackhole(false)
		if d := recovery(t, c, keys[0]); d > time.Second+slack {
			t.Errorf("recovered in %v, want 1s", d)
		}
	})
}

// A client that was closed is an error of its own, at once.
func TestClosedClient(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		for _, used := range []bool{false, true} {
			rdb := s.Client(t)
			c := newClient(t, rdb, patience)
			if used {
				if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
					t.Fatalf("Do(GET) = %v, want redis.Nil", err)
				}
			}
			_ = rdb.Close()
			start := time.Now()
			for range 2 * breakerTrips {
				wantKind(t, "Do(GET) on a closed client", c.Do(t.Context(), c.Budget(), Get("k")), Refused)
				wantKind(t, "DoAll(GET, GET) on a closed client", c.DoAll(t.Context(), c.Budget(), []*Cmd{Get("k"), Get("k")}), Refused)
			}
			// A cluster client looks for another node a few times.
			if d := time.Since(start); d > patience {
				t.Errorf("calls on a closed client took %v", d)
			}
		}
	})
}

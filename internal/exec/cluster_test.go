package exec

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Two hundred callers who are the first ones load the slots of a cluster once.
func TestFirstUseOfCluster(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		p.Delay(5 * time.Millisecond)
		rdb := p.Client(t)
		w := watched(rdb)
		c := newClient(t, rdb, patience)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, key := range keys(t, 200) {
			wg.Go(func() {
				<-start
				if err := c.Do(t.Context(), c.Budget(), incr(key)); err != nil {
					t.Errorf("Do(INCR) = %v, want nil", err)
				}
			})
		}
		close(start)
		wg.Wait()
		// Once, or now and then again after a redirection or a busy machine's timeout.
		if n := w.sent("cluster "); n > 10 {
			t.Errorf("the slots were loaded %d times by 200 callers, want once", n)
		}
		// go-redis would ask a random node what it knows of every command, and
		// hold all other commands until that answers.
		if n := w.sent("command"); n != 0 {
			t.Errorf("COMMAND was sent %d times, want none", n)
		}
	})
}

// A cluster of which nothing is known and that is not there.
func TestDeadCluster(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(p *redistest.Proxy, on bool){
		"refused":   (*redistest.Proxy).Refuse,
		"blackhole": (*redistest.Proxy).Blackhole,
	} {
		t.Run(name, func(t *testing.T) {
			redistest.EachOf(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
				t.Parallel()
				p := s.Proxy(t)
				c := newClient(t, p.Client(t), 100*time.Millisecond)
				set(p, true)
				var wg sync.WaitGroup
				all := keys(t, 100)
				for _, key := range all {
					wg.Go(func() {
						start := time.Now()
						var err error
						if len(key)%2 == 0 {
							err = c.Do(t.Context(), c.Budget(), incr(key))
						} else {
							err = c.DoAll(t.Context(), c.Budget(), []*Cmd{incr(key), incr(all[0])})
						}
						wantKind(t, "the first INCR", err, Unavailable)
						if d := time.Since(start); d > 100*time.Millisecond+slack {
							t.Errorf("the first INCR took %v, want 100ms", d)
						}
					})
				}
				wg.Wait()
				var late []time.Duration
				for range 10 {
					start := time.Now()
					wantKind(t, "a later INCR", c.Do(t.Context(), c.Budget(), incr(all[0])), Unavailable)
					late = append(late, time.Since(start))
				}
				overruns(t, "later INCRs", late)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				wantKind(t, "INCR with an ended context", c.Do(ctx, c.Budget(), incr(all[0])), Canceled)
				set(p, false)
				d := recovery(t, c, all[0])
				t.Logf("recovered in %v", d)
				if d > time.Second+slack {
					t.Errorf("recovered in %v, want 1s", d)
				}
			})
		})
	}
}

// The first use of a cluster of which one master hangs: calls to the others
// succeed.
func TestFirstUseWithPausedMaster(t *testing.T) {
	redistest.Long(t)
	s := redistest.Private(t, redistest.Cluster)
	all := keys(t, 30)
	bad := s.MasterOf(t, all[0])
	var running []string
	for _, key := range all {
		if s.MasterOf(t, key) != bad {
			running = append(running, key)
		}
	}
	s.PauseMasterOf(t, all[0])
	var took []time.Duration
	for range 10 {
		c := newClient(t, s.Client(t), time.Second)
		took = append(took, recovery(t, c, running[0]))
		for _, key := range running {
			start := time.Now()
			if err := c.Do(t.Context(), c.Budget(), Get(key)); err != redis.Nil {
				t.Errorf("Do(GET) = %v, want redis.Nil", err)
			}
			if d := time.Since(start); d > slack {
				t.Errorf("Do(GET) took %v", d)
			}
		}
	}
	t.Logf("the first success came after %v", took)
	for _, d := range took {
		if d > time.Second+slack {
			t.Errorf("the first success came after %v, want 1s", d)
		}
	}
}

// A master dies. Its replica is elected, and calls succeed within a second,
// where go-redis by itself would look for the new master once a minute.
func TestMasterKilledLong(t *testing.T) {
	redistest.Long(t)
	for name, stop := range map[string]func(s *redistest.Server, t testing.TB, key string){
		"killed": (*redistest.Server).KillMasterOf,
		"paused": (*redistest.Server).PauseMasterOf,
	} {
		for _, callers := range []int{1, 50} {
			t.Run(name, func(t *testing.T) {
				s := redistest.Private(t, redistest.Cluster)
				rdb := s.Client(t)
				c := newClient(t, rdb, 250*time.Millisecond)
				key := redistest.Prefix(t)
				old := s.MasterOf(t, key)
				if err := c.Do(t.Context(), NewBudget(patience), incr(key)); err != nil {
					t.Fatalf("Do(INCR) = %v, want nil", err)
				}
				stop(s, t, key)
				died := time.Now()
				var wg sync.WaitGroup
				var first sync.Once
				var recovered time.Time
				done := make(chan struct{})
				for range callers {
					wg.Go(func() {
						for {
							select {
							case <-done:
								return
							default:
							}
							if err := c.Do(t.Context(), c.Budget(), incr(key)); err == nil {
								first.Do(func() { recovered = time.Now(); close(done) })
								return
							}
							time.Sleep(5 * time.Millisecond)
						}
					})
				}
				for s.MasterOf(t, key) == old {
					time.Sleep(5 * time.Millisecond)
				}
				elected := time.Now()
				select {
				case <-done:
				case <-time.After(patience):
					t.Errorf("no success %v after the election", patience)
					close(done)
				}
				wg.Wait()
				t.Logf("elected %v after the death, recovered %v after that", elected.Sub(died), recovered.Sub(elected))
				if d := recovered.Sub(elected); d > time.Second+slack {
					t.Errorf("recovered %v after the election, want 1s", d)
				}
			})
		}
	}
}

// A planned failover costs no call.
func TestClusterFailoverLong(t *testing.T) {
	redistest.Long(t)
	s := redistest.Private(t, redistest.Cluster)
	c := newClient(t, s.Client(t), 2*time.Second)
	all := keys(t, 10)
	acked := make([]int64, len(all))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i, key := range all {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := c.Do(t.Context(), c.Budget(), incr(key)); err != nil {
					t.Errorf("Do(INCR) = %v, want nil", err)
					return
				}
				acked[i]++
			}
		})
	}
	s.Failover(t)
	close(done)
	wg.Wait()
	for i, key := range all {
		if n := count(t, c.rdb, key); n != acked[i] {
			t.Errorf("executed %d times, want %d", n, acked[i])
		}
	}
}

// A slot migrates: what touches one key goes on, what touches two keys that are
// split is answered by TRYAGAIN, at once or when the budget is used up.
func TestSlotMigration(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Cluster)
	rdb := s.Client(t)
	c := newClient(t, rdb, patience)
	tag := "{" + redistest.Prefix(t) + "}"
	a, b := tag+"a", tag+"b"
	for _, key := range []string{a, b} {
		if err := c.Do(t.Context(), NewBudget(patience), incr(key)); err != nil {
			t.Fatalf("Do(INCR) = %v, want nil", err)
		}
	}
	m := s.MigrateSlot(t, a)
	m.Move(t, a)
	for _, key := range []string{a, b, tag + "new"} {
		cmd := incr(key)
		if err := c.Do(t.Context(), c.Budget(), cmd); err != nil {
			t.Errorf("Do(INCR) of a key of a migrating slot = %v, want nil", err)
		}
	}
	if err := c.DoAll(t.Context(), c.Budget(), []*Cmd{incr(a), incr(b), incr(a)}); err != nil {
		t.Errorf("DoAll of keys of a migrating slot = %v, want nil", err)
	}
	mget := func() *Cmd { return Command(a, "mget", a, b).Idempotent() }
	start := time.Now()
	err := c.Do(t.Context(), c.Budget(), mget().Splits())
	if !IsTryAgain(err) || KindOf(err) != Unavailable {
		t.Errorf("Do(MGET) that can be split = %v, want TRYAGAIN, unavailable", err)
	}
	if d := time.Since(start); d > slack {
		t.Errorf("Do(MGET) that can be split took %v, want it at once", d)
	}
	err = c.Do(t.Context(), NewBudget(200*time.Millisecond), mget())
	if !IsTryAgain(err) && !errors.Is(err, errNoAnswer) {
		t.Errorf("Do(MGET) = %v, want TRYAGAIN", err)
	}
	cmds := []*Cmd{Get(a), mget().Splits(), Get(b)}
	if err := c.DoAll(t.Context(), c.Budget(), cmds); !IsTryAgain(err) {
		t.Errorf("DoAll(GET, MGET, GET) = %v, want TRYAGAIN", err)
	}
	if cmds[0].Text() != "4" || cmds[2].Text() != "3" {
		t.Errorf("GET = %q and %q, want 4 and 3", cmds[0].Text(), cmds[2].Text())
	}
	// It is sent again, and succeeds when the slot has moved.
	var wg sync.WaitGroup
	wg.Go(func() {
		cmd := mget()
		if err := c.Do(t.Context(), c.Budget(), cmd); err != nil {
			t.Errorf("Do(MGET) = %v, want nil", err)
		}
	})
	m.Finish(t)
	wg.Wait()
	if n := count(t, rdb, a); n != 4 {
		t.Errorf("executed %d times, want 4", n)
	}
}

// A node that leaves the cluster's state and comes back has another client in
// go-redis, and the old one is closed. What exec remembers of the node must not
// depend on the old one.
func TestNodeComesBack(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t).(*redis.ClusterClient)
		c := newClient(t, rdb, 100*time.Millisecond)
		key := redistest.Prefix(t)
		if err := c.Do(t.Context(), NewBudget(patience), Get(key)); err != redis.Nil {
			t.Fatalf("Do(GET) = %v, want redis.Nil", err)
		}
		n, ok := c.nodes.of(key)
		if !ok {
			t.Fatal("of() does not know the node")
		}
		master, err := rdb.MasterForKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		// A second client of the cluster stands for what the first one has
		// after the node's return.
		second := s.Client(t).(*redis.ClusterClient)
		if err := second.Get(t.Context(), key).Err(); err != redis.Nil {
			t.Fatal(err)
		}
		_ = master.Close()
		c.rdb, c.nodes.cluster = second, second
		for range breakerTrips {
			n.breaker.failed(errNoAnswer)
		}
		if m, _ := c.nodes.of(key); m != n {
			t.Fatal("of() forgot the node, want the same with its open breaker")
		}
		if err := n.probe(t.Context()); err != nil {
			t.Errorf("the probe = %v, want nil", err)
		}
		recovery(t, c, key)
	})
}

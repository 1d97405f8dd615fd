package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A server that hangs, on a client with go-redis's default settings, which by
// itself would hold its caller for five seconds and more.
func TestBudget(t *testing.T) {
	t.Parallel()
	type breakable struct {
		rdb   redis.UniversalClient
		hangs func(t *testing.T)
	}
	for name, start := range map[string]func(t *testing.T) breakable{
		"paused": func(t *testing.T) breakable {
			s := redistest.Private(t, redistest.Standalone)
			return breakable{s.Client(t), func(t *testing.T) { s.Pause(t) }}
		},
		"blackhole": func(t *testing.T) breakable {
			s := redistest.Private(t, redistest.Standalone)
			p := s.Proxy(t)
			return breakable{p.Client(t), func(*testing.T) { p.Blackhole(true) }}
		},
		"blackhole miniredis": func(t *testing.T) breakable {
			s := redistest.Private(t, redistest.Miniredis)
			p := s.Proxy(t)
			return breakable{p.Client(t), func(*testing.T) { p.Blackhole(true) }}
		},
		"paused cluster": func(t *testing.T) breakable {
			s := redistest.Private(t, redistest.Cluster)
			return breakable{s.Client(t), func(t *testing.T) { s.Pause(t) }}
		},
		"blackhole cluster": func(t *testing.T) breakable {
			redistest.Long(t)
			s := redistest.Private(t, redistest.Cluster)
			p := s.Proxy(t)
			return breakable{p.Client(t), func(*testing.T) { p.Blackhole(true) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			const rounds, bound = 5, 40 * time.Millisecond
			key := redistest.Prefix(t)
			ends := map[string]struct {
				timeout time.Duration
				ctx     func() (context.Context, context.CancelFunc)
				cause   error
				kind    Kind // of an idempotent command
			}{
				"timeout": {bound, func() (context.Context, context.CancelFunc) {
					return context.WithCancel(t.Context())
				}, errNoAnswer, Unavailable},
				"deadline": {patience, func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(t.Context(), bound)
				}, context.DeadlineExceeded, Canceled},
				"cancel": {patience, func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(bound, cancel)
					return ctx, cancel
				}, context.Canceled, Canceled},
			}
			// Every call has a breaker of its own, and has its slots.
			clients := map[string][]*Client{}
			for end, e := range ends {
				for range 2 * rounds {
					c := newClient(t, b.rdb, patience)
					if err := c.Do(t.Context(), NewBudget(patience), incr(key)); err != nil {
						t.Fatalf("Do(INCR) = %v, want nil", err)
					}
					c.timeout = e.timeout
					clients[end] = append(clients[end], c)
				}
			}
			b.hangs(t)
			for end, e := range ends {
				for i, call := range []string{"Do", "DoAll"} {
					var late []time.Duration
					for _, c := range clients[end][i*rounds:][:rounds] {
						ctx, cancel := e.ctx()
						cmds := []*Cmd{Get(key)}
						do := func() error { return c.Do(ctx, c.Budget(), cmds[0]) }
						if call == "DoAll" {
							cmds = append(cmds, incr(key), Get(key), incr(key+"{1}"), incr(key+"{2}"))
							do = func() error { return c.DoAll(ctx, c.Budget(), cmds) }
						}
						begun := time.Now()
						err := do()
						late = append(late, time.Since(begun)-bound)
						cancel()
						what := fmt.Sprintf("%s at the %s", call, end)
						wantKind(t, what, err, e.kind)
						if !errors.Is(err, e.cause) {
							t.Errorf("%s = %v, want %v", what, err, e.cause)
						}
						for _, cmd := range cmds {
							if cmd.script != nil {
								wantKind(t, what+" of INCR", cmd.Err(), UnknownOutcome)
							}
						}
					}
					overruns(t, call+" at the "+end, late)
				}
			}
		})
	}
}

// A budget is the sum of the waits of one call of a package.
func TestBudgetIsASum(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	p := s.Proxy(t)
	c := newClient(t, p.Client(t), time.Second)
	if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
		t.Fatalf("Do(GET) = %v, want redis.Nil", err)
	}
	p.Delay(150 * time.Millisecond)
	b := c.Budget()
	start := time.Now()
	var calls int
	var err error
	for ; calls < 10 && (err == nil || err == redis.Nil); calls++ {
		err = c.Do(t.Context(), b, Get("k"))
	}
	wantKind(t, "Do(GET)", err, Unavailable)
	if d := time.Since(start); d > time.Second+slack || calls < 2 {
		t.Errorf("%d calls of 300ms took %v of a budget of 1s", calls, d)
	}
	if b.Left() != 0 {
		t.Errorf("Left() = %v, want 0", b.Left())
	}
	before := p.Requests()
	cmd := incr("k")
	err = c.Do(t.Context(), b, cmd)
	wantKind(t, "Do(INCR) without a budget", err, Unavailable)
	if n := p.Requests() - before; n != 0 {
		t.Errorf("a command without a budget was sent")
	}
}

// Calls to the other masters of a cluster go on at full speed.
func TestOnePausedMaster(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Cluster)
	c := newClient(t, s.Client(t), slack)
	all := keys(t, 30)
	bad := s.MasterOf(t, all[0])
	var stopped, running []string
	for _, key := range all {
		if s.MasterOf(t, key) == bad {
			stopped = append(stopped, key)
		} else {
			running = append(running, key)
		}
	}
	for _, key := range all {
		redistest.Eventually(t, "the cluster answers", func() bool { return c.Do(t.Context(), c.Budget(), Get(key)) == redis.Nil })
	}
	s.PauseMasterOf(t, all[0])
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, key := range stopped {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := c.Do(t.Context(), c.Budget(), Get(key)); KindOf(err) != Unavailable {
					t.Errorf("Do(GET) on the paused master = %v, want unavailable", err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	var late []time.Duration
	for start := time.Now(); time.Since(start) < time.Second; {
		for _, key := range running {
			begun := time.Now()
			if err := c.Do(t.Context(), c.Budget(), Get(key)); err != redis.Nil {
				t.Errorf("Do(GET) on a running master = %v, want redis.Nil", err)
			}
			late = append(late, time.Since(begun))
		}
	}
	close(done)
	wg.Wait()
	overruns(t, "calls on the running masters", late)
	// A batch over all nodes has the replies of those that run.
	c = newClient(t, c.rdb, slack)
	redistest.Eventually(t, "the slots are known", func() bool { return c.Do(t.Context(), c.Budget(), Get(running[0])) == redis.Nil })
	cmds := make([]*Cmd, len(all))
	for i, key := range all {
		cmds[i] = Get(key)
	}
	start := time.Now()
	err := c.DoAll(t.Context(), c.Budget(), cmds)
	wantKind(t, "DoAll", err, Unavailable)
	if d := time.Since(start); d > 2*slack {
		t.Errorf("DoAll took %v, want %v", d, slack)
	}
	for i, key := range all {
		want := s.MasterOf(t, key) == bad
		if got := cmds[i].Err() != redis.Nil; got != want {
			t.Errorf("GET of a key on a paused master (%t) = %v", want, cmds[i].Err())
		}
	}
}

// Cancelling calls on a slow but healthy server costs no connection.
func TestCancelKeepsConnections(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		rdb := p.Client(t)
		c := newClient(t, rdb, patience)
		key := redistest.Prefix(t)
		for range 2 {
			if err := c.DoAll(t.Context(), c.Budget(), []*Cmd{Get(key), incr(key)}); err != nil {
				t.Fatalf("DoAll = %v, want nil", err)
			}
		}
		p.Delay(20 * time.Millisecond)
		const calls = 40
		for i := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			if i%2 == 0 {
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(5*time.Millisecond, cancel)
			}
			if i%4 < 2 {
				wantKind(t, "Do(GET)", c.Do(ctx, c.Budget(), Get(key)), Canceled)
			} else {
				wantKind(t, "DoAll(GET, GET)", c.DoAll(ctx, c.Budget(), []*Cmd{Get(key), Get(key)}), Canceled)
			}
			cancel()
		}
		p.Delay(0)
		type pool struct{ made, there, idle, stale uint32 }
		pools := func() []pool {
			s := rdb.PoolStats()
			all := []pool{{s.Misses, s.TotalConns, s.IdleConns, s.StaleConns}}
			if s := s.PipelineStats; s != nil {
				all = append(all, pool{s.Misses, s.TotalConns, s.IdleConns, s.StaleConns})
			}
			return all
		}
		redistest.Eventually(t, "all connections are idle", func() bool {
			for _, p := range pools() {
				if p.there != p.idle {
					return false
				}
			}
			return true
		})
		for i, p := range pools() {
			t.Logf("pool %d: %d connections made, %d there, after %d cancelled calls", i, p.made, p.there, calls)
			if p.there != p.made || p.stale != 0 {
				t.Errorf("pool %d: %d connections of %d are left, %d were stale, want all and none", i, p.there, p.made, p.stale)
			}
		}
	})
}

// A command that waits for a connection when its caller leaves is not sent.
func TestLeftInTheQueue(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		rdb := p.Client(t, func(o *redis.UniversalOptions) { o.PoolSize = 1 })
		direct := s.Client(t)
		loaded(t, direct, incrScript)
		c := newClient(t, rdb, patience)
		first, queued, last := redistest.Prefix(t), redistest.Prefix(t), redistest.Prefix(t)
		if err := c.Do(t.Context(), NewBudget(patience), Get(first)); err != redis.Nil {
			t.Fatalf("Do(GET) = %v, want redis.Nil", err)
		}
		p.Blackhole(true)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Do(t.Context(), c.Budget(), incr(first)); err != nil {
				t.Errorf("Do(INCR) with the connection = %v, want nil", err)
			}
		})
		redistest.Eventually(t, "the connection is in use", func() bool { return rdb.PoolStats().IdleConns == 0 })
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			err := c.Do(ctx, c.Budget(), incr(queued))
			if k := KindOf(err); k != UnknownOutcome && k != Canceled { // Canceled: the machine is too busy to begin
				t.Errorf("Do(INCR) in the queue = %v (kind %d), want kind %d", err, k, UnknownOutcome)
			}
			cancel()
		}
		redistest.Eventually(t, "nobody waits for a connection", func() bool { return rdb.PoolStats().PendingRequests == 0 })
		p.Blackhole(false)
		wg.Wait()
		if err := c.Do(t.Context(), c.Budget(), incr(last)); err != nil {
			t.Errorf("Do(INCR) = %v, want nil", err)
		}
		if n := count(t, direct, queued); n != 0 {
			t.Errorf("%d queued commands were executed, want 0", n)
		}
		if n := count(t, direct, first); n != 1 {
			t.Errorf("the first command was executed %d times, want 1", n)
		}
	})
}

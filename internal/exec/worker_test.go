package exec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Not parallel: it counts the workers of the process.
func TestWorkers(t *testing.T) {
	s := redistest.Private(t, redistest.Miniredis)
	c := newClient(t, s.Client(t), patience)
	redistest.Eventually(t, "the workers of earlier tests have ended", func() bool { return workerCount() == 0 })
	for range 500 {
		if err := c.Do(t.Context(), NewBudget(patience), incr("k")); err != nil {
			t.Fatalf("Do(INCR) = %v, want nil", err)
		}
	}
	if n := workerCount(); n != 1 {
		t.Errorf("sequential calls have %d workers, want 1", n)
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 10 {
				_ = c.Do(t.Context(), c.Budget(), incr("k"))
			}
		})
	}
	wg.Wait()
	last := time.Now()
	for workerCount() > 0 {
		if time.Since(last) > time.Second+slack {
			t.Fatalf("%d workers are left %v after the last call, want none", workerCount(), time.Since(last))
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("the last worker ended %v after the last call", time.Since(last))
}

// A worker that is idle for a long time ends, and is not given a task as it
// does. In virtual time, with calls that come just when workers end.
func TestWorkersEnding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p workers
		for i := range 2000 {
			done := make(chan struct{})
			p.do(signal(done))
			<-done
			time.Sleep(workerIdle + rand.N(workerIdle))
			if i%3 == 0 {
				time.Sleep(workerIdle - time.Duration(i%7))
			}
		}
		time.Sleep(2 * workerIdle)
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.idle) != 0 {
			t.Errorf("%d workers are idle after %v, want none", len(p.idle), 2*workerIdle)
		}
	})
}

// A worker that has been given a task does not end.
func TestRetire(t *testing.T) {
	t.Parallel()
	var p workers
	busy, idle := &worker{}, &worker{}
	p.idle = append(p.idle, idle)
	if p.retire(busy) {
		t.Error("retire() of a worker that has a task = true, want false")
	}
	if !p.retire(idle) || len(p.idle) != 0 {
		t.Errorf("retire() of an idle worker left %d, want true and none", len(p.idle))
	}
}

type signal chan struct{}

func (signal) run()      {}
func (s signal) finish() { close(s) }

// Hundreds of callers, many of whom leave: no reply gets into the wrong
// command, and none into a command whose caller has left, which the race
// detector would see. The server is slow at times, so that calls are left at
// every stage.
func TestLeavingCallers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		rdb := p.Client(t, func(o *redis.UniversalOptions) { // no call fails because the machine is busy
			o.PoolSize, o.PoolTimeout, o.ReadTimeout = 8, time.Minute, time.Minute
		})
		c := newClient(t, rdb, time.Minute)
		keys := keys(t, 16)
		echo := NewScript(`return {ARGV[1], redis.call('get', KEYS[1])}`)
		for _, key := range keys {
			if err := c.Do(t.Context(), c.Budget(), Command(key, "set", key, key)); err != nil {
				t.Fatalf("Do(SET) = %v, want nil", err)
			}
		}
		var wg sync.WaitGroup
		done := make(chan struct{})
		var slow sync.WaitGroup
		slow.Go(func() {
			for {
				p.Delay(rand.N(2 * time.Millisecond))
				select {
				case <-done:
					p.Delay(0)
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		var mu sync.Mutex
		var answered, left int
		for i := range 512 {
			wg.Go(func() {
				for j := range 12 {
					ctx, cancel := context.WithCancel(t.Context())
					switch rand.N(4) {
					case 0:
						ctx, cancel = context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
					case 1:
						time.AfterFunc(rand.N(20*time.Millisecond), cancel)
					}
					var cmds []*Cmd
					var tokens, values []string
					for k := range 1 + rand.N(5)*rand.N(2) {
						key := keys[rand.N(len(keys))]
						tokens = append(tokens, fmt.Sprint(i, j, k))
						values = append(values, key)
						if rand.N(2) == 0 {
							cmds = append(cmds, Get(key))
						} else {
							cmds = append(cmds, echo.Cmd([]string{key}, tokens[k]))
						}
					}
					if len(cmds) == 1 {
						_ = c.Do(ctx, c.Budget(), cmds[0])
					} else {
						_ = c.DoAll(ctx, c.Budget(), cmds)
					}
					cancel()
					for k, cmd := range cmds {
						mu.Lock()
						if cmd.Err() == nil {
							answered++
						} else {
							left++
						}
						mu.Unlock()
						if cmd.Err() == nil {
							got, want := cmd.Text(), values[k]
							if cmd.script != nil {
								got, want = fmt.Sprint(cmd.Val()), fmt.Sprint([]any{tokens[k], values[k]})
							}
							if got != want {
								t.Errorf("a reply = %s, want %s", got, want)
							}
						} else if kind := KindOf(cmd.Err()); kind != Canceled && kind != UnknownOutcome {
							t.Errorf("a command = %v, want that its caller left", cmd.Err())
						}
						cmd.reply, cmd.node = reply{str: "mine"}, nil // nobody else may touch them now
					}
				}
			})
		}
		wg.Wait()
		close(done)
		slow.Wait()
		t.Logf("%d commands were answered, %d were left", answered, left)
		if answered == 0 || left == 0 {
			t.Errorf("%d commands were answered, %d were left, want both", answered, left)
		}
	})
}

// A call that was left is never used again, one that was answered is.
func TestLeftCallIsNotReused(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	p := s.Proxy(t)
	c := newClient(t, p.Client(t), patience)
	if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
		t.Fatalf("Do(GET) = %v, want redis.Nil", err)
	}
	p.Blackhole(true)
	n, _ := c.nodes.of("k")
	b := c.Budget()
	k := c.newCall(t.Context(), b, n)
	k.items = append(k.items, item{cmd: Get("k")})
	c.start(k)
	redistest.Eventually(t, "its worker sends", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.ctx != nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.wait(ctx, b, time.Now(), k)
	p.Blackhole(false)
	redistest.Eventually(t, "the worker is done with it", func() bool { return len(k.done) == 1 })
	for range 1000 {
		if got, _ := c.calls.Get().(*call); got == k {
			t.Fatal("the call was put back, want it left alone")
		} else if got == nil {
			break
		}
	}
	if !k.left || k.ctx.Err() != context.Canceled {
		t.Errorf("its context's error = %v, want %v", k.ctx.Err(), context.Canceled)
	}
}

// A user's hook may keep the context, derive others from it, and read its values.
func TestHookContext(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	rdb := s.Client(t)
	h := &keeping{}
	rdb.AddHook(h)
	c := newClient(t, rdb, patience)
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), patience)
	if err := c.Do(ctx, c.Budget(), Get("k")); err != redis.Nil {
		t.Errorf("Do(GET) = %v, want redis.Nil", err)
	}
	cancel()
	if err := c.DoAll(t.Context(), c.Budget(), []*Cmd{Get("k"), Get("k")}); err != nil {
		t.Errorf("DoAll(GET, GET) = %v, want nil", err)
	}
	if v := h.ctx.Value(key{}); v != "v" {
		t.Errorf("Value() = %v, want v", v)
	}
	if _, ok := h.ctx.Deadline(); ok {
		t.Error("Deadline() is set, want none")
	}
	if err := h.ctx.Err(); err != nil {
		t.Errorf("Err() of an answered call's context = %v, want nil", err)
	}
}

type keeping struct {
	watch
	ctx context.Context
}

func (h *keeping) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		derived, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		err := next(derived, cmd)
		if cmd.Name() == "get" {
			h.ctx = ctx
		}
		return err
	}
}

package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The first caller leaves; the other nine get the value from the one load.
func TestFirstCallerCancels(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		g := newGate()
		ctx, cancel := context.WithCancel(t.Context())
		first := begin(ctx, c, "k", g.load("v", nil))
		<-g.began
		var others []<-chan outcome
		for range 9 {
			others = append(others, begin(t.Context(), c, "k", g.load("v", nil)))
		}
		redistest.Eventually(t, "ten waiters", func() bool { return waiting(c, "k") == 10 })
		cancel()
		(<-first).fails(t, "k", context.Canceled)
		close(g.open)
		for _, o := range others {
			(<-o).wants(t, "k", "v")
		}
		if n := g.n.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
	})
}

// Everybody leaves: the load goes on and its value is stored.
func TestAllCallersCancel(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		g := newGate()
		ctx, cancel := context.WithCancel(t.Context())
		first := begin(ctx, c, "k", g.load("v", nil))
		<-g.began
		cancel()
		(<-first).fails(t, "k", context.Canceled)
		close(g.open)
		settled(t, c)
		wants(t, c, "k", mustNotLoad(t), "v")
	})
}

// A waiter with 50 ms of patience leaves a load of 400 ms after 50 ms.
func TestWaiterDeadline(t *testing.T) {
	t.Run("virtual", func(t *testing.T) {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			c := newCaches(t, s, 1, Options{Prefix: "p"})[0]
			for _, created := range []bool{true, false} {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if !created {
					begin(t.Context(), c, "joined", slow(400*time.Millisecond))
					synctest.Wait()
				}
				key := map[bool]string{true: "created", false: "joined"}[created]
				o := call(ctx, c, key, slow(400*time.Millisecond))
				o.fails(t, key, context.DeadlineExceeded)
				if o.took != 50*time.Millisecond {
					t.Errorf("GetOrLoad(%q) took %v, want 50ms", key, o.took)
				}
			}
		})
	})
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		best := time.Hour // of several: the machine may be busy
		for i := range 5 {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			key := fmt.Sprint("k", i)
			o := call(ctx, c, key, slow(400*time.Millisecond))
			best = min(best, time.Since(start))
			cancel()
			o.fails(t, key, context.DeadlineExceeded)
		}
		t.Logf("50 ms of patience: returned after %v", best)
		if best < 50*time.Millisecond || best > 60*time.Millisecond {
			t.Errorf("GetOrLoad with a deadline of 50ms took %v, want 50 to 60ms", best)
		}
	})
}

func slow(d time.Duration) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		time.Sleep(d)
		return []byte("slow"), nil
	}
}

// failsForAll lets ten callers wait for one load, checks what each gets, and that
// the next call loads at once, here and in another process.
func failsForAll(t *testing.T, s *redistest.Server, load func(*gate) ([]byte, error), check func(error) error) {
	t.Helper()
	cs := newCaches(t, s, 2, Options{})
	a, b := cs[0], cs[1]
	wants(t, a, "warm", returns(new(atomic.Int64), "x"), "x")
	wants(t, b, "warm", mustNotLoad(t), "x")
	g := newGate()
	gated := func(context.Context) ([]byte, error) {
		g.n.Add(1)
		g.began <- struct{}{}
		<-g.open
		return load(g)
	}
	var outs []<-chan outcome
	for range 10 {
		outs = append(outs, begin(t.Context(), a, "k", gated))
	}
	<-g.began
	redistest.Eventually(t, "ten waiters", func() bool { return waiting(a, "k") == 10 })
	close(g.open)
	for _, out := range outs {
		if o := <-out; o.err == nil || check(o.err) != nil {
			t.Errorf("GetOrLoad(%q) = %q, %v: %v", "k", o.v, o.err, check(o.err))
		}
	}
	if n := g.n.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	if got := a.Stats().LoadErrors; got != 1 {
		t.Errorf("Stats().LoadErrors = %d, want 1", got)
	}
	var n atomic.Int64
	o := call(t.Context(), b, "k", returns(&n, "next"))
	o.wants(t, "k", "next")
	if o.took > leaseTerm/2 {
		t.Errorf("the next GetOrLoad(%q) took %v: the lease was not released", "k", o.took)
	}
	wants(t, a, "k", mustNotLoad(t), "next")
}

func TestLoaderPanics(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		failsForAll(t, s, func(*gate) ([]byte, error) { panicking(); return nil, nil }, func(err error) error {
			var p *PanicError
			switch {
			case !errors.As(err, &p):
				return errors.New("want a *PanicError")
			case p.Value != errBroken || !errors.Is(err, errBroken):
				return errors.New("want what the loader panicked with")
			case !strings.Contains(string(p.Stack), "panicking"):
				return fmt.Errorf("the stack does not show the loader:\n%s", p.Stack)
			}
			return nil
		})
	})
}

func panicking() { panic(errBroken) }

func TestLoaderGoexit(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		failsForAll(t, s, func(*gate) ([]byte, error) { runtime.Goexit(); return nil, nil }, func(err error) error {
			var p *PanicError
			if !errors.As(err, &p) || !strings.Contains(err.Error(), "Goexit") {
				return errors.New("want a *PanicError that names Goexit")
			}
			return nil
		})
	})
}

func TestLoaderFails(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		wrapped := fmt.Errorf("query: %w", errBroken)
		failsForAll(t, s, func(*gate) ([]byte, error) { return []byte("ignored"), wrapped }, func(err error) error {
			if err != wrapped {
				return errors.New("want the loader's error as it is")
			}
			return nil
		})
	})
}

// What does not exist is remembered, also by other processes, until a Delete.
func TestNotFound(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		a, b := cs[0], cs[1]
		var n atomic.Int64
		none := func(context.Context) ([]byte, error) {
			n.Add(1)
			return nil, fmt.Errorf("user: %w", ErrNotFound)
		}
		call(t.Context(), a, "k", none).fails(t, "k", ErrNotFound)
		settled(t, a) // stored
		call(t.Context(), a, "k", none).fails(t, "k", ErrNotFound)
		call(t.Context(), b, "k", none).fails(t, "k", ErrNotFound)
		if _, _, err := b.Peek(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Peek(%q) = %v, want ErrNotFound", "k", err)
		}
		if n.Load() != 1 {
			t.Errorf("%d loads, want 1", n.Load())
		}
		if st := b.Stats(); st.NotFoundHits != 1 || st.Hits != 1 || st.Misses != 0 {
			t.Errorf("Stats() = %+v, want NotFoundHits 1, Hits 1, Misses 0", st)
		}
		if st := a.Stats(); st.LoadErrors != 0 || st.Stored != 1 {
			t.Errorf("Stats() = %+v, want LoadErrors 0, Stored 1", st)
		}
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatalf("Delete(%q) = %v", "k", err)
		}
		wants(t, a, "k", returns(&n, "created"), "created")
	})
}

func TestNotFoundTTL(t *testing.T) {
	for _, test := range []struct {
		ttl       time.Duration
		remembers time.Duration
	}{{0, 30 * time.Second}, {time.Minute, time.Minute}, {-1, 0}} {
		t.Run(test.ttl.String(), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				c := newCaches(t, s, 1, Options{Prefix: "p", NotFoundTTL: test.ttl, StaleFor: time.Hour, StaleOnError: time.Hour})[0]
				var n atomic.Int64
				none := func(context.Context) ([]byte, error) { n.Add(1); return nil, ErrNotFound }
				call(t.Context(), c, "k", none).fails(t, "k", ErrNotFound)
				synctest.Wait()
				want := int64(1)
				if test.remembers > 0 {
					time.Sleep(test.remembers - 2*time.Millisecond)
					call(t.Context(), c, "k", none).fails(t, "k", ErrNotFound)
					if n.Load() != want {
						t.Errorf("%d loads within the NotFoundTTL, want %d", n.Load(), want)
					}
					time.Sleep(4 * time.Millisecond)
				}
				call(t.Context(), c, "k", none).fails(t, "k", ErrNotFound)
				if want++; n.Load() != want {
					t.Errorf("%d loads after the NotFoundTTL, want %d", n.Load(), want)
				}
			})
		})
	}
}

// A load that hangs: its callers get an error at LoadTimeout, and what it brings
// later is thrown away.
func TestLoadTimeout(t *testing.T) {
	t.Parallel()
	t.Run("virtual", func(t *testing.T) {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			c := newCaches(t, s, 1, Options{Prefix: "p", LoadTimeout: 7 * time.Second})[0]
			ended := make(chan error, 1)
			hang := func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				time.Sleep(time.Second)
				return []byte("late"), nil
			}
			first := begin(t.Context(), c, "k", hang)
			time.Sleep(5 * time.Second)
			second := call(t.Context(), c, "k", hang)
			for _, o := range []outcome{<-first, second} {
				o.fails(t, "k", context.DeadlineExceeded)
			}
			if second.took != 2*time.Second {
				t.Errorf("the second caller was released after %v, want 2s", second.took)
			}
			time.Sleep(time.Minute)
			if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the loader's context ended with %v, want DeadlineExceeded", err)
			}
			peeks(t, c, "k", "")
		})
	})
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{LoadTimeout: 100 * time.Millisecond})[0]
		g := newGate()
		o := call(t.Context(), c, "k", g.load("late", nil))
		o.fails(t, "k", context.DeadlineExceeded)
		wants(t, c, "k", returns(new(atomic.Int64), "next"), "next")
		close(g.open)
		settled(t, c)
		peeks(t, c, "k", "next")
	})
}

// The load in another process outlasts LoadTimeout: nobody waits longer, but loads
// for himself.
func TestLoadTimeoutOfOthers(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		a := newCache(t, s.Client(t), Options{Prefix: "p", LoadTimeout: time.Hour})
		b := newCache(t, s.Client(t), Options{Prefix: "p", LoadTimeout: 10 * time.Second})
		first := begin(t.Context(), a, "k", slow(time.Minute))
		synctest.Wait()
		o := call(t.Context(), b, "k", returns(new(atomic.Int64), "mine"))
		o.wants(t, "k", "mine")
		if o.took < 10*time.Second || o.took > 10200*time.Millisecond {
			t.Errorf("waited %v for another process, want 10s and a poll at most", o.took)
		}
		(<-first).wants(t, "k", "slow")
	})
}

// Another process has the lease: its value is waited for.
func TestOtherProcessLoads(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		g := newGate()
		first := begin(t.Context(), cs[0], "k", g.load("v", nil))
		<-g.began
		var outs []<-chan outcome
		for range 5 {
			outs = append(outs, begin(t.Context(), cs[1], "k", g.load("w", nil)))
		}
		redistest.Eventually(t, "five waiters", func() bool { return waiting(cs[1], "k") == 5 })
		close(g.open)
		(<-first).wants(t, "k", "v")
		for _, o := range outs {
			(<-o).wants(t, "k", "v")
		}
		if n := g.n.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		if st := cs[1].Stats(); st.Misses != 5 || st.Shared != 5 || st.Loads != 0 {
			t.Errorf("Stats() = %+v, want Misses 5, Shared 5, Loads 0", st)
		}
	})
}

// holdBack keeps commands back before they are sent, once.
type holdBack struct {
	match func(redis.Cmder) bool
	held  chan struct{} // closed when one is
	let   chan struct{}
	done  atomic.Bool
}

func (h *holdBack) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *holdBack) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *holdBack) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.match(cmd) && h.done.CompareAndSwap(false, true) {
			close(h.held)
			<-h.let
		}
		return next(ctx, cmd)
	}
}

func isScript(source string) func(redis.Cmder) bool {
	match := redistest.Script(source)
	return func(cmd redis.Cmder) bool {
		args := cmd.Args()
		return len(args) > 1 && match([]byte(fmt.Sprint(args[1])))
	}
}

// A caller who came after the request for the lease was sent may not have the
// value that it brings, but that is no reason to load it again.
func TestLatecomerTakesStoredValue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		rdb := s.Client(t)
		a := newCache(t, rdb, Options{Prefix: prefix})
		b := newCache(t, s.Client(t), Options{Prefix: prefix})
		h := &holdBack{match: isScript(leaseSource), held: make(chan struct{}), let: make(chan struct{})}
		rdb.AddHook(h)
		first := begin(t.Context(), a, "k", mustNotLoad(t))
		<-h.held
		second := begin(t.Context(), a, "k", mustNotLoad(t))
		redistest.Eventually(t, "two waiters", func() bool { return waiting(a, "k") == 2 })
		wants(t, b, "k", returns(new(atomic.Int64), "v"), "v")
		settled(t, b)
		close(h.let)
		(<-first).wants(t, "k", "v")
		(<-second).wants(t, "k", "v")
	})
}

// Values are voided during a load: who comes later does not get what it brings.
func TestVoidDuringLoad(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	voids := []struct {
		name string
		void func(c *Redis) error
		then string // what Redis has afterwards
	}{
		{"Delete", func(c *Redis) error { return c.Delete(ctx, "k") }, ""},
		{"Expire", func(c *Redis) error { return c.Expire(ctx, "k") }, ""},
		{"Hold", func(c *Redis) error { return c.Hold(ctx, time.Hour, "k") }, ""},
		{"Set", func(c *Redis) error { return c.Set(ctx, "k", []byte("set"), 0) }, "set"},
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, void := range voids {
			for _, by := range []string{"same", "other"} {
				t.Run(void.name+"/"+by, func(t *testing.T) {
					cs := newCaches(t, s, 3, Options{StaleOnError: time.Hour})
					g := newGate()
					first := begin(t.Context(), cs[0], "k", g.load("old", nil))
					<-g.began
					by := map[string]*Redis{"same": cs[0], "other": cs[1]}[by]
					if err := void.void(by); err != nil {
						t.Fatal(err)
					}
					want := "new"
					if void.then != "" {
						want = void.then
					}
					var n atomic.Int64
					later := begin(t.Context(), cs[0], "k", returns(&n, "new"))
					wants(t, cs[2], "k", returns(&n, "new"), want)
					if by == cs[0] {
						(<-later).wants(t, "k", want) // does not wait for the old load
						later = begin(t.Context(), cs[0], "k", returns(&n, "new"))
					}
					if by != cs[0] && void.then == "" && void.name != "Hold" && len(later) == 0 {
						// It either waits for the old load or has got a new value.
						select {
						case o := <-later:
							o.wants(t, "k", want)
							later = begin(t.Context(), cs[0], "k", returns(&n, "new"))
						case <-time.After(20 * time.Millisecond):
						}
					}
					close(g.open)
					if o := <-first; o.err != nil || o.v != "old" && o.v != want {
						t.Errorf("GetOrLoad(%q) = %q, %v for who came first, want %q or %q", "k", o.v, o.err, "old", want)
					}
					(<-later).wants(t, "k", want)
					settled(t, cs[0])
					for _, c := range cs {
						wants(t, c, "k", returns(&n, "new"), want)
					}
					// A flight that was left behind by a void of its own process is not waited for.
					redistest.Eventually(t, "the old load was refused", func() bool { return cs[0].Stats().Refused == 1 })
				})
			}
		}
	})
}

// Deletes come faster than loads end, from another process, so that no load is
// ever stored. Nobody waits for ever: not for two whole loads after the one that
// was under way.
func TestDeletesFasterThanLoads(t *testing.T) {
	for _, by := range []string{"same", "other"} {
		t.Run(by, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				const load = time.Second
				cs := newCaches(t, s, 4, Options{Prefix: "p"})
				stop := make(chan struct{})
				deleter := cs[3]
				if by == "same" {
					deleter = cs[0]
				}
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(load * 3 / 10):
							if err := deleter.Delete(context.Background(), "k"); err != nil {
								t.Errorf("Delete(%q) = %v", "k", err)
							}
						}
					}
				}()
				var longest atomic.Int64
				redistest.Together(30, func(i int) {
					time.Sleep(time.Duration(i) * 170 * time.Millisecond)
					for range 5 {
						o := call(t.Context(), cs[i%3], "k", slow(load))
						o.wants(t, "k", "slow")
						for {
							old := longest.Load()
							if int64(o.took) <= old || longest.CompareAndSwap(old, int64(o.took)) {
								break
							}
						}
					}
				})
				close(stop)
				t.Logf("a load takes %v, the longest wait was %v", load, time.Duration(longest.Load()))
				if got := time.Duration(longest.Load()); got >= 3*load {
					t.Errorf("a caller waited %v for loads of %v, want less than one that was under way and two more", got, load)
				}
			})
		})
	}
}

// The lease passes from one process to another at every Delete, and a third never
// gets hold of it: after the second time it loads for itself.
func TestLeasePassesOn(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		const load, period = time.Second, 600 * time.Millisecond
		cs := newCaches(t, s, 3, Options{Prefix: "p"})
		begin(t.Context(), cs[0], "k", slow(load))
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		unlucky := begin(t.Context(), cs[2], "k", slow(load))
		for i := range 20 {
			time.Sleep(period)
			c := cs[(i+1)%2]
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Fatalf("Delete(%q) = %v", "k", err)
			}
			begin(t.Context(), c, "k", slow(load)) // takes the lease before any time passes
			synctest.Wait()
		}
		o := <-unlucky
		o.wants(t, "k", "slow")
		t.Logf("a load takes %v, the wait was %v", load, o.took)
		if o.took > 2*load+load/2 {
			t.Errorf("GetOrLoad(%q) took %v for a load of %v, want two loads at most", "k", o.took, load)
		}
	})
}

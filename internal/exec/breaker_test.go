package exec

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// tripped makes calls until the breaker of key's node is open.
func tripped(t *testing.T, c *Client, key string) {
	t.Helper()
	var calls int
	for ; ; calls++ {
		err := c.Do(t.Context(), c.Budget(), Get(key))
		wantKind(t, "Do(GET)", err, Unavailable)
		if errors.Is(err, errOpen) {
			break
		}
		if calls == breakerTrips {
			t.Fatalf("after %d failures the breaker is closed, want open: %v", calls, err)
		}
	}
	if calls < breakerTrips {
		t.Errorf("the breaker was open after %d failures, want %d", calls, breakerTrips)
	}
}

// recovery makes a call every few milliseconds until one succeeds, and returns
// how long that took.
func recovery(t *testing.T, c *Client, key string) time.Duration {
	t.Helper()
	start := time.Now()
	redistest.Eventually(t, "a call succeeds", func() bool {
		if err := c.Do(t.Context(), c.Budget(), Get(key)); err == nil || err == redis.Nil {
			return true
		}
		time.Sleep(2 * time.Millisecond)
		return false
	})
	return time.Since(start)
}

// outages are ways in which a server can be gone, and come back.
func outages(t *testing.T, topology redistest.Topology) map[string]func(t *testing.T, edits ...func(*redis.UniversalOptions)) (rdb redis.UniversalClient, stop, resume func()) {
	type edit = func(*redis.UniversalOptions)
	return map[string]func(t *testing.T, edits ...edit) (rdb redis.UniversalClient, stop, resume func()){
		"restart": func(t *testing.T, edits ...edit) (redis.UniversalClient, func(), func()) {
			s := redistest.Private(t, topology)
			return s.Client(t, edits...), func() { s.Kill(t) }, func() { s.Restart(t) }
		},
		"resume": func(t *testing.T, edits ...edit) (redis.UniversalClient, func(), func()) {
			s := redistest.Private(t, topology)
			return s.Client(t, edits...), func() { s.Pause(t) }, func() { s.Resume(t) }
		},
		"blackhole": func(t *testing.T, edits ...edit) (redis.UniversalClient, func(), func()) {
			s := redistest.Private(t, topology)
			p := s.Proxy(t)
			return p.Client(t, edits...), func() { p.Blackhole(true) }, func() { p.Blackhole(false) }
		},
		"refused": func(t *testing.T, edits ...edit) (redis.UniversalClient, func(), func()) {
			s := redistest.Private(t, topology)
			p := s.Proxy(t)
			return p.Client(t, edits...), func() { p.Refuse(true) }, func() { p.Refuse(false) }
		},
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	for name, outage := range outages(t, redistest.Standalone) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, stop, resume := outage(t)
			c := newClient(t, rdb, 100*time.Millisecond)
			key := redistest.Prefix(t)
			if err := c.Do(t.Context(), NewBudget(patience), Get(key)); err != redis.Nil {
				t.Fatalf("Do(GET) = %v, want redis.Nil", err)
			}
			var took []time.Duration
			for range 2 {
				stop()
				tripped(t, c, key)
				var fast []time.Duration
				for range 200 {
					start := time.Now()
					err := c.Do(t.Context(), c.Budget(), incr(key))
					fast = append(fast, time.Since(start))
					wantKind(t, "Do(INCR) while open", err, Unavailable)
				}
				if d := slices.Sorted(slices.Values(fast))[len(fast)/2]; d > time.Millisecond {
					t.Errorf("a call while open took %v (median), want at most 1ms", d)
				}
				// As long as an outage that others notice.
				for start := time.Now(); time.Since(start) < 300*time.Millisecond; time.Sleep(5 * time.Millisecond) {
					wantKind(t, "Do(GET) while open", c.Do(t.Context(), c.Budget(), Get(key)), Unavailable)
				}
				resume()
				took = append(took, recovery(t, c, key))
			}
			t.Logf("recovered in %v", took)
			if d := slices.Max(took); d > time.Second+slack {
				t.Errorf("recovered %v after the server's return, want 1s", d)
			}
		})
	}
}

// The same under load, where go-redis's pool stops to dial and asks only once a
// second whether it may again.
func TestBreakerUnderLoad(t *testing.T) {
	t.Parallel()
	for name, outage := range outages(t, redistest.Standalone) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "refused" {
				redistest.Long(t)
			}
			rdb, stop, resume := outage(t, func(o *redis.UniversalOptions) { o.PoolSize = 4 })
			c := newClient(t, rdb, 300*time.Millisecond)
			key := redistest.Prefix(t)
			if err := c.Do(t.Context(), NewBudget(patience), Get(key)); err != redis.Nil {
				t.Fatalf("Do(GET) = %v, want redis.Nil", err)
			}
			stop()
			done := make(chan struct{})
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						_ = c.Do(t.Context(), c.Budget(), Get(key))
						time.Sleep(time.Millisecond)
					}
				})
			}
			for start := time.Now(); time.Since(start) < 700*time.Millisecond; time.Sleep(5 * time.Millisecond) {
				wantKind(t, "Do(GET)", c.Do(t.Context(), c.Budget(), Get(key)), Unavailable)
			}
			resume()
			d := recovery(t, c, key)
			close(done)
			wg.Wait()
			t.Logf("recovered in %v", d)
			if d > time.Second+slack {
				t.Errorf("recovered %v after the server's return, want the pool's second and little more", d)
			}
		})
	}
}

// A caller that has little time says nothing about the server.
func TestImpatientCallers(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	c := newClient(t, s.Client(t), patience)
	if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
		t.Fatalf("Do(GET) = %v, want redis.Nil", err)
	}
	s.Pause(t)
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		if i%2 == 0 {
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(2*time.Millisecond, cancel)
		}
		err := c.DoAll(ctx, c.Budget(), []*Cmd{Get("k"), Get("l")}[:1+i%4/2])
		wantKind(t, "DoAll", err, Canceled)
		cancel()
	}
	// A budget's dregs neither.
	for range 10 {
		b := c.Budget()
		b.left = 2 * time.Millisecond
		err := c.Do(t.Context(), b, Get("k"))
		wantKind(t, "Do(GET)", err, Unavailable)
		if errors.Is(err, errOpen) {
			t.Fatalf("Do(GET) = %v, want a closed breaker", err)
		}
	}
	s.Resume(t)
	if err := c.Do(t.Context(), c.Budget(), Get("k")); err != redis.Nil {
		t.Errorf("Do(GET) = %v, want redis.Nil", err)
	}
}

// hangsOn is a hook under which GETs of one key are not answered until it is closed.
type hangsOn struct {
	key string
	let chan struct{}
}

func (h hangsOn) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h hangsOn) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h hangsOn) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[1] == h.key {
			<-h.let
		}
		return next(ctx, cmd)
	}
}

// Some callers get no answer in the very moment, as those do who share a connection
// that has died, while others do: the breaker stays closed. When nobody does it
// opens.
func TestSomeConnectionsHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := redistest.Mini(t)
		rdb := s.Client(t)
		h := hangsOn{"dead", make(chan struct{})}
		rdb.AddHook(h)
		c := newClient(t, rdb, 100*time.Millisecond)
		hang := func() {
			var wg sync.WaitGroup
			for range 2 * breakerTrips {
				wg.Go(func() {
					wantKind(t, "Do(GET) without an answer", c.Do(t.Context(), c.Budget(), Get("dead")), Unavailable)
				})
			}
			wg.Wait()
		}
		done := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(30 * time.Millisecond):
				}
				if err := c.Do(t.Context(), c.Budget(), Get("k")); err != redis.Nil {
					t.Errorf("Do(GET) = %v, want redis.Nil", err)
				}
			}
		})
		time.Sleep(30 * time.Millisecond)
		hang()
		if n, _ := c.nodes.of("k"); n.breaker.isOpen() {
			t.Error("the breaker is open although others were answered")
		}
		close(done)
		others.Wait()
		hang()
		if n, _ := c.nodes.of("k"); !n.breaker.isOpen() {
			t.Error("the breaker is closed although nobody was answered")
		}
		close(h.let)
		time.Sleep(2 * time.Second)
	})
}

// A connection takes longer to make than a call may: calls on those that are there
// do not, so the breaker closes after an outage.
func TestSlowDialing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := redistest.Mini(t)
		rdb := s.Client(t, func(o *redis.UniversalOptions) {
			dial := o.Dialer
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				time.Sleep(150 * time.Millisecond)
				return dial(ctx, network, addr)
			}
		})
		c := newClient(t, rdb, 100*time.Millisecond)
		if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
			t.Fatalf("Do(GET) = %v, want redis.Nil", err)
		}
		s.Kill(t)
		redistest.Eventually(t, "the breaker is open", func() bool { return errors.Is(c.Do(t.Context(), c.Budget(), Get("k")), errOpen) })
		s.Restart(t)
		if d := recovery(t, c, "k"); d > time.Second {
			t.Errorf("recovered in %v of virtual time, want 1s", d)
		}
		time.Sleep(time.Minute) // the client's own dials
	})
}

// What the server answers about a command says nothing about its health.
func TestPermanentErrorsDoNotTrip(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		c := newClient(t, s.Client(t), patience)
		key := redistest.Prefix(t)
		if err := c.Do(t.Context(), c.Budget(), Command(key, "set", key, "v")); err != nil {
			t.Fatalf("Do(SET) = %v, want nil", err)
		}
		for range 2 * breakerTrips {
			wantKind(t, "Do(LPUSH) on a string", c.Do(t.Context(), c.Budget(), Command(key, "lpush", key, "v")), Refused)
		}
		if err := c.Do(t.Context(), c.Budget(), Get(key)); err != nil {
			t.Errorf("Do(GET) = %v, want nil", err)
		}
	})
}

// A server that says for a long time that it cannot serve is not asked by every
// call for as long as its budget lasts.
func TestLoadingTrips(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script."} {
		t.Run(text[:4], func(t *testing.T) {
			t.Parallel()
			s := redistest.Private(t, redistest.Miniredis)
			c := newClient(t, s.Client(t), 60*time.Millisecond)
			if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
				t.Fatalf("Do(GET) = %v, want redis.Nil", err)
			}
			s.Mini().SetError(text)
			tripped(t, c, "k")
			s.Mini().SetError("")
			if d := recovery(t, c, "k"); d > time.Second+slack {
				t.Errorf("recovered in %v, want 1s", d)
			}
		})
	}
}

// A probe whose command the server refuses to execute finds a healthy server:
// PING may be forbidden to the user, or be answered by MISCONF.
func TestProbeRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	admin := s.Client(t)
	if err := admin.Do(t.Context(), "acl", "setuser", "reader", "on", ">pw", "~*", "-@all", "+get", "+hello").Err(); err != nil {
		t.Fatal(err)
	}
	p := s.Proxy(t)
	rdb := p.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "reader", "pw" })
	c := newClient(t, rdb, 50*time.Millisecond)
	if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
		t.Fatalf("Do(GET) = %v, want redis.Nil", err)
	}
	wantKind(t, "Do(PING)", c.Do(t.Context(), NewBudget(patience), Command("", "ping")), Refused)
	p.Blackhole(true)
	tripped(t, c, "k")
	p.Blackhole(false)
	if d := recovery(t, c, "k"); d > time.Second+slack {
		t.Errorf("recovered in %v, want 1s", d)
	}
}

// Probes ride on callers: while nobody calls, nothing is sent, and no goroutine
// waits. In virtual time.
func TestProbesNeedCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := redistest.Mini(t)
		p := s.Proxy(t)
		rdb := p.Client(t)
		w := watched(rdb)
		c := newClient(t, rdb, 100*time.Millisecond)
		if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
			t.Fatalf("Do(GET) = %v, want redis.Nil", err)
		}
		p.Blackhole(true)
		tripped(t, c, "k")
		time.Sleep(30 * time.Second) // the client's timeouts
		synctest.Wait()
		dials, pings := w.dialed(), w.sent("ping")
		time.Sleep(time.Hour)
		synctest.Wait()
		if d, n := w.dialed()-dials, w.sent("ping")-pings; d != 0 || n != 0 {
			t.Errorf("%d dials and %d pings without a caller, want none", d, n)
		}
		// Hanging probes are few: one in 750 ms.
		for range 3000 {
			wantKind(t, "Do(GET)", c.Do(t.Context(), c.Budget(), Get("k")), Unavailable)
			time.Sleep(time.Millisecond)
		}
		if n := w.sent("ping") - pings; n < 3 || n > 5 {
			t.Errorf("%d pings in 3s of calls, want 4", n)
		}
		p.Blackhole(false)
		start := time.Now()
		for c.Do(t.Context(), c.Budget(), Get("k")) != redis.Nil {
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(start); d > 800*time.Millisecond {
			t.Errorf("recovered in %v of virtual time, want 800ms", d)
		}
		time.Sleep(10 * time.Second)
	})
}

// The breaker's own rules, without a server.
func TestBreakerRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		cause := errors.New("cause")
		for range breakerTrips - 1 {
			b.failed(cause)
		}
		b.succeeded()
		for range breakerTrips - 1 {
			b.failed(cause)
		}
		if b.isOpen() {
			t.Error("open after failures with a success between them, want closed")
		}
		b.failed(cause)
		if !b.isOpen() || b.why() != cause {
			t.Errorf("isOpen() = %t, why() = %v, want true, %v", b.isOpen(), b.why(), cause)
		}
		if !b.claimProbe() || b.claimProbe() {
			t.Error("claimProbe() twice = false or true, want true and false")
		}
		b.probed(cause, 0, time.Second) // a refused port
		if b.claimProbe() {
			t.Error("claimProbe() at once after a failed probe = true, want false")
		}
		time.Sleep(probeSpacing)
		if !b.claimProbe() {
			t.Errorf("claimProbe() after %v = false, want true", probeSpacing)
		}
		time.Sleep(probeHangs - time.Millisecond)
		if b.claimProbe() {
			t.Error("claimProbe() with a hanging probe = true, want false")
		}
		time.Sleep(time.Millisecond)
		if !b.claimProbe() {
			t.Errorf("claimProbe() after %v = false, want true", probeHangs)
		}
		b.probeNow()
		if !b.claimProbe() {
			t.Error("claimProbe() after probeNow = false, want true")
		}
		b.probed(nil, 2*time.Second, time.Second) // too late
		if !b.isOpen() {
			t.Error("isOpen() after a late answer to a probe = false, want true")
		}
		time.Sleep(probeSpacing)
		if !b.claimProbe() {
			t.Error("claimProbe() after a late answer = false, want true")
		}
		b.probed(nil, 0, time.Second)
		if b.isOpen() {
			t.Error("isOpen() after a good probe = true, want false")
		}
	})
}

package exec

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// valve is a go-redis hook that notes what is sent and holds it back: before it
// is sent, or its replies.
type valve struct {
	mu     sync.Mutex
	sent   [][]string      // the commands of each round trip, as name and first key
	held   []chan struct{} // each round trip that waits
	before bool            // hold commands
	after  bool            // hold replies
}

func (v *valve) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (v *valve) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return v.pass(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (v *valve) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return v.pass(ctx, cmds, func() error { return next(ctx, cmds) })
	}
}

func (v *valve) pass(ctx context.Context, cmds []redis.Cmder, next func() error) error {
	if !cmds[0].NoRetry() {
		return next() // sets up a connection
	}
	var words []string
	for _, cmd := range cmds {
		key := fmt.Sprint(cmd.Args()[1])
		if cmd.Name() == "mget" {
			key = strings.Trim(fmt.Sprint(cmd.Args()[1:]), "[]")
		}
		if cmd.Name() == "evalsha" || cmd.Name() == "eval" {
			key = fmt.Sprint(cmd.Args()[3])
		}
		words = append(words, cmd.Name()+" "+key)
	}
	v.mu.Lock()
	v.sent = append(v.sent, words)
	v.mu.Unlock()
	if err := v.wait(ctx, &v.before); err != nil {
		return err
	}
	err := next()
	if err := v.wait(ctx, &v.after); err != nil {
		return err
	}
	return err
}

// wait waits while the valve is closed, or until the context ends.
func (v *valve) wait(ctx context.Context, closed *bool) error {
	v.mu.Lock()
	if !*closed {
		v.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	v.held = append(v.held, turn)
	v.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close holds back commands, or their replies.
func (v *valve) close(commands bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.before, v.after = commands, !commands
}

// open lets go of all that is held, and holds nothing more.
func (v *valve) open() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.before, v.after = false, false
	for _, turn := range v.held {
		close(turn)
	}
	v.held = nil
}

// take returns the round trips since the last call.
func (v *valve) take() [][]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	sent := v.sent
	v.sent = nil
	return sent
}

// laned runs a test in virtual time, on a client whose valve holds back as many
// calls as may go alone, so that the next ones queue. Their keys are "alone".
func laned(t *testing.T, body func(t *testing.T, c *Client, v *valve, direct redis.UniversalClient)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := redistest.Mini(t)
		rdb := s.Proxy(t).Client(t, func(o *redis.UniversalOptions) { o.PoolSize = 50 })
		v := &valve{}
		rdb.AddHook(v)
		c := newClient(t, rdb, time.Hour)
		loaded(t, rdb, incrScript)
		v.take()
		v.close(true)
		var wg sync.WaitGroup
		for range laneFrom {
			wg.Go(func() { _ = c.Do(t.Context(), NewBudget(time.Hour), Get("alone")) })
		}
		synctest.Wait()
		if sent := v.take(); len(sent) != laneFrom || slices.ContainsFunc(sent, func(s []string) bool { return len(s) != 1 }) {
			t.Errorf("%d callers sent %v, want each a GET", laneFrom, sent)
		}
		body(t, c, v, s.Client(t))
		v.open()
		wg.Wait()
		time.Sleep(time.Second) // for workers to end
	})
}

// start runs f, and returns when it waits for something.
func start(wg *sync.WaitGroup, f func()) {
	wg.Go(f)
	synctest.Wait()
}

// wantSent checks the round trips since the last look.
func wantSent(t *testing.T, v *valve, want ...string) {
	t.Helper()
	var got []string
	for _, words := range v.take() {
		got = append(got, strings.Join(words, ", "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Calls that queue share one round trip, in the order in which they came, and a
// batch keeps its order in it. Then the lane is empty, and calls go alone again.
func TestLaneOrder(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, _ redis.UniversalClient) {
		var wg sync.WaitGroup
		do := func(cmds ...*Cmd) {
			start(&wg, func() {
				if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
					t.Errorf("DoAll = %v, want nil", err)
				}
			})
		}
		do(incr("first")) // leads
		wantSent(t, v, "evalsha first")
		do(incr("b"))
		do(incr("a"))
		before, after := Get("b"), Get("b")
		do(before, incr("b"), after)
		do(incr("c"))
		wantSent(t, v)
		v.open()
		wg.Wait()
		wantSent(t, v, "evalsha b, evalsha a, get b, evalsha b, get b, evalsha c")
		if before.Text() != "1" || after.Text() != "2" {
			t.Errorf("GET around INCR = %q and %q, want 1 and 2", before.Text(), after.Text())
		}
		do(incr("z"))
		wg.Wait()
		v.close(true)
		do(incr("y"))
		do(incr("x"))
		wantSent(t, v, "evalsha z", "evalsha y", "evalsha x")
		v.open()
		wg.Wait()
	})
}

// A GET is sent once for all who wait for it, and each has bytes of its own.
func TestLaneIdenticalGets(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, direct redis.UniversalClient) {
		if err := direct.MSet(t.Context(), "k", "value of k", "l", "value of l").Err(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("first")) })
		var cmds []*Cmd
		for _, key := range []string{"k", "l", "k", "none", "k", "none"} {
			cmd := Get(key)
			cmds = append(cmds, cmd)
			start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), cmd) })
		}
		v.open()
		wg.Wait()
		wantSent(t, v, "get first", "mget k l none")
		bodies := make(map[*byte]bool)
		for i, cmd := range cmds {
			if cmd.key == "none" {
				if cmd.Err() != redis.Nil {
					t.Errorf("GET %d = %v, want redis.Nil", i, cmd.Err())
				}
				continue
			}
			if cmd.Err() != nil || cmd.Text() != "value of "+cmd.key {
				t.Errorf("GET %d of %s = %q, %v", i, cmd.key, cmd.Text(), cmd.Err())
			}
			bodies[unsafe.StringData(cmd.Text())] = true
		}
		if len(bodies) != 4 {
			t.Errorf("4 callers have %d bodies", len(bodies))
		}
	})
}

// Who comes after a pipeline was closed gets nothing of it: what he asks for may
// have been changed since the server answered.
func TestLaneMembership(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, direct redis.UniversalClient) {
		set := func(value string) {
			if err := direct.Set(t.Context(), "k", value, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		set("old")
		v.open()
		synctest.Wait()
		v.take()
		v.close(false)
		var wg sync.WaitGroup
		early, late := Get("k"), Get("k")
		for range laneFrom {
			start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("alone")) })
		}
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), early) })
		if sent := v.take(); len(sent) != laneFrom+1 {
			t.Errorf("sent %v, want the first GET too", sent)
		}
		set("new")
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), late) })
		v.open()
		wg.Wait()
		if early.Text() != "old" || late.Text() != "new" {
			t.Errorf("GET before the SET = %q, after it = %q, want old and new", early.Text(), late.Text())
		}
	})
}

// While a pipeline stalls the next ones go out on other connections, and fewer
// and fewer of them.
func TestLaneStalls(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, _ redis.UniversalClient) {
		var wg sync.WaitGroup
		begun := time.Now()
		var stamps []time.Duration
		for i := range 200 {
			start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get(fmt.Sprint(i))) })
			for range v.take() {
				stamps = append(stamps, time.Since(begun))
			}
			time.Sleep(time.Millisecond)
		}
		t.Logf("pipelines were sent after %v", stamps)
		if n := len(stamps); n < 4 || n > 7 {
			t.Errorf("%d pipelines were sent in 200ms of a hanging server, want 4 to 7", n)
		}
		if d := stamps[1]; d < laneStalls || d > laneStalls+2*time.Millisecond {
			t.Errorf("the second pipeline was sent after %v, want %v", d, laneStalls)
		}
		v.open()
		wg.Wait()
		synctest.Wait()
		// The server is well again: the lane is as patient as at first.
		n, _ := c.nodes.of("k")
		n.lane.mu.Lock()
		defer n.lane.mu.Unlock()
		if l := &n.lane; l.stalling != 0 || l.leaders != 0 || l.underWay != 0 || len(l.queue) != 0 {
			t.Errorf("the lane has %d leaders, %d stalling ones, %d calls under way, %d queued; want none", l.leaders, l.stalling, l.underWay, len(l.queue))
		}
	})
}

// Who leaves the queue is not sent, and knows it. A pipeline that all have left
// is cancelled.
func TestLaneLeaving(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, direct redis.UniversalClient) {
		var wg sync.WaitGroup
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("first")) })
		ctx, cancel := context.WithCancel(t.Context())
		start(&wg, func() { wantKind(t, "Do(INCR) in the queue", c.Do(ctx, c.Budget(), incr("left")), Canceled) })
		start(&wg, func() {
			wantKind(t, "Do(INCR) with no more budget", c.Do(t.Context(), NewBudget(time.Millisecond), incr("left")), Unavailable)
		})
		start(&wg, func() {
			if err := c.Do(t.Context(), c.Budget(), incr("stays")); err != nil {
				t.Errorf("Do(INCR) = %v, want nil", err)
			}
		})
		time.Sleep(time.Millisecond)
		cancel()
		synctest.Wait()
		v.open()
		wg.Wait()
		wantSent(t, v, "get first", "evalsha stays")
		if n := count(t, direct, "left"); n != 0 {
			t.Errorf("commands of callers who had left were executed %d times", n)
		}
	})
	t.Run("all", func(t *testing.T) {
		laned(t, func(t *testing.T, c *Client, v *valve, direct redis.UniversalClient) {
			var wg sync.WaitGroup
			start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("first")) })
			ctx, cancel := context.WithCancel(t.Context())
			for range 3 {
				start(&wg, func() { wantKind(t, "Do(INCR) under way", c.Do(ctx, c.Budget(), incr("left")), UnknownOutcome) })
			}
			time.Sleep(2 * laneStalls) // they are taken by a second leader, and held
			synctest.Wait()
			wantSent(t, v, "get first", "evalsha left, evalsha left, evalsha left")
			cancel()
			synctest.Wait()
			v.open()
			wg.Wait()
			if n := count(t, direct, "left"); n != 0 {
				t.Errorf("a pipeline that all had left was executed: %d", n)
			}
		})
	})
}

// Large calls go by themselves: they would hold up the others.
func TestLaneLarge(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, _ redis.UniversalClient) {
		var wg sync.WaitGroup
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("first")) })
		many := func(n int) (cmds []*Cmd) {
			for range n {
				cmds = append(cmds, Get("many"))
			}
			return cmds
		}
		start(&wg, func() { _ = c.DoAll(t.Context(), c.Budget(), many(laneLightCommands)) })
		wantSent(t, v, "get first")
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Command("s", "set", "s", make([]byte, laneLightBytes))) })
		start(&wg, func() {
			_ = c.Do(t.Context(), c.Budget(), Command("s", "set", "t", strings.Repeat("x", laneLightBytes)))
		})
		start(&wg, func() { _ = c.DoAll(t.Context(), c.Budget(), many(laneLightCommands+1)) })
		wantSent(t, v, "set s", "set t", "mget"+strings.Repeat(" many", laneLightCommands+1))
		v.open()
		wg.Wait()
	})
}

// A pipeline is bounded, and who came first goes first.
func TestLaneBatch(t *testing.T) {
	laned(t, func(t *testing.T, c *Client, v *valve, _ redis.UniversalClient) {
		// As many as make two pipelines may all be under way.
		var wg sync.WaitGroup
		start(&wg, func() { _ = c.Do(t.Context(), c.Budget(), Get("first")) })
		n, _ := c.nodes.of("")
		n.lane.mu.Lock() // the valve opens only when all are in the queue
		for i := range laneBatch + 5 {
			k := c.newCall(t.Context(), c.Budget(), n)
			k.items = append(k.items, item{cmd: Command("", "append", fmt.Sprint(i), "x")})
			k.todo = append(k.todo, &k.items[0])
			n.lane.queue = append(n.lane.queue, k)
			wg.Go(func() { c.wait(t.Context(), c.Budget(), time.Now(), k) })
		}
		n.lane.mu.Unlock()
		v.open()
		wg.Wait()
		var want []string
		for i := range laneBatch + 5 {
			want = append(want, fmt.Sprintf("append %d", i))
		}
		wantSent(t, v, "get first", strings.Join(want[:laneBatch], ", "), strings.Join(want[laneBatch:], ", "))
	})
}

// What one member of a pipeline has to send again, or is refused, does not
// concern the others.
func TestLaneErrors(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		c := newClient(t, s.Client(t), patience)
		w := watched(c.rdb)
		tag := "{" + redistest.Prefix(t) + "}" // one node
		sum := NewScript("return redis.call('incrby', KEYS[1], ARGV[1]) -- " + tag)
		if err := c.Do(t.Context(), c.Budget(), Command(tag, "set", tag+"s", "x")); err != nil {
			t.Fatal(err)
		}
		crowd(64, func(i int) {
			switch i % 4 {
			case 0:
				wantKind(t, "Do(LPUSH) on a string", c.Do(t.Context(), c.Budget(), Command(tag, "lpush", tag+"s", "x")), Refused)
			case 1:
				if cmd := Get(tag + "none"); c.Do(t.Context(), c.Budget(), cmd) != redis.Nil {
					t.Errorf("Do(GET) = %v, want redis.Nil", cmd.Err())
				}
			case 2:
				cmd := sum.Cmd([]string{tag + "n"}, 1)
				if err := c.Do(t.Context(), c.Budget(), cmd); err != nil {
					t.Errorf("Do(script) = %v, want nil", err)
				}
				if cmd.sent.IsZero() || cmd.received.Before(cmd.sent) {
					t.Errorf("sent = %v, received = %v", cmd.sent, cmd.received)
				}
			case 3:
				cmd := Command(tag, "set", tag+"s", "x")
				if err := c.Do(t.Context(), c.Budget(), cmd); err != nil || cmd.Val() != "OK" {
					t.Errorf("Do(SET) = %v, %v, want OK, nil", cmd.Val(), err)
				}
			}
		})
		if n, want := count(t, c.rdb, tag+"n"), int64(16*crowdRounds); n != want {
			t.Errorf("the script was executed %d times, want %d", n, want)
		}
		if n := w.sent("eval "); n == 0 {
			t.Error("the script was never sent as source")
		}
	})
}

const crowdRounds = 20

// crowd has n callers make calls at the same time, some rounds each.
func crowd(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for range crowdRounds {
				call(i)
			}
		})
	}
	wg.Wait()
}

// Under load, with connections that are cut and replies that are lost: nothing
// is executed twice, all that was acknowledged was executed, and reads succeed.
func TestLaneAtMostOnce(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		direct := s.Client(t)
		loaded(t, direct, incrScript)
		p := s.Proxy(t)
		c := newClient(t, p.Client(t), patience)
		all := keys(t, 5)
		var mu sync.Mutex
		acked, unknown := make(map[string]int64), make(map[string]int64)
		done := make(chan struct{})
		var faults sync.WaitGroup
		faults.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5*time.Millisecond + rand.N(10*time.Millisecond)):
				}
				if rand.N(2) == 0 {
					p.Cut()
				} else {
					lost := []byte(all[rand.N(len(all))])
					p.DropRepliesTo(func(request []byte) bool { return bytes.Contains(request, lost) }, 1)
				}
			}
		})
		crowd(64, func(i int) {
			key := all[i%len(all)]
			err := c.Do(t.Context(), c.Budget(), incr(key))
			mu.Lock()
			defer mu.Unlock()
			switch KindOf(err) {
			case 0:
				acked[key]++
			case UnknownOutcome:
				unknown[key]++
			case Unavailable: // not executed
			default:
				t.Errorf("Do(INCR) = %v", err)
			}
		})
		close(done)
		faults.Wait()
		var total, doubt int64
		for _, key := range all {
			n := count(t, direct, key)
			if n < acked[key] || n > acked[key]+unknown[key] {
				t.Errorf("executed %d times, want %d acknowledged and at most %d more", n, acked[key], unknown[key])
			}
			total, doubt = total+acked[key], doubt+unknown[key]
		}
		t.Logf("%d acknowledged, %d unknown", total, doubt)
		if doubt == 0 {
			t.Error("no reply was lost")
		}
	})
}

// Sixty-four callers on a server that hangs return in time, and so do those who
// queue behind them.
func TestLaneBudget(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	const bound = 50 * time.Millisecond
	c := newClient(t, s.Client(t), patience)
	if err := c.Do(t.Context(), NewBudget(patience), incr("k")); err != nil {
		t.Fatalf("Do(INCR) = %v, want nil", err)
	}
	s.Pause(t)
	c.timeout = bound
	var mu sync.Mutex
	var late []time.Duration
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			time.Sleep(time.Duration(i%8) * 5 * time.Millisecond)
			begun := time.Now()
			err := c.Do(t.Context(), c.Budget(), Get("k"))
			d := time.Since(begun) - bound
			wantKind(t, "Do(GET)", err, Unavailable)
			mu.Lock()
			defer mu.Unlock()
			late = append(late, d)
		})
	}
	wg.Wait()
	overruns(t, "64 callers", late)
	s.Resume(t)
	recovery(t, c, "k")
}

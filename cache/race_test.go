package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The race checker runs random schedules of Deletes, Sets, loads and reads by
// several caches, which stand for processes, on one key. Every Redis command waits at a
// barrier before it is sent and after its reply has come, and so does every load
// at its beginning and end. When all goroutines wait (synctest knows, also of
// those that wait for a real server), the schedule lets one of them go on. The
// history is then checked against the guarantee.

// schedules is how many random schedules a test runs: a sample, unless
// FRESHET_SCHEDULES says otherwise.
func schedules(t *testing.T, sample int) int {
	if s := os.Getenv("FRESHET_SCHEDULES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("FRESHET_SCHEDULES: %v", err)
		}
		return n
	}
	return sample
}

// barrier is where the actors of a schedule wait for their turn. One in eight
// waits is a long one: it ends when nothing else can go on, or nearly so. That
// makes the schedules in which a reply is on its way while much else happens.
type barrier struct {
	mu          sync.Mutex
	short, long []chan struct{}
}

func (b *barrier) wait() {
	turn := make(chan struct{})
	b.mu.Lock()
	if rand.IntN(8) == 0 {
		b.long = append(b.long, turn)
	} else {
		b.short = append(b.short, turn)
	}
	b.mu.Unlock()
	<-turn
}

// release lets one of those that wait go on. It reports false if nobody waits.
func (b *barrier) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := &b.short
	if len(b.short) == 0 || len(b.long) > 0 && rand.IntN(64) == 0 {
		from = &b.long
	}
	if len(*from) == 0 {
		return false
	}
	i := rand.IntN(len(*from))
	close((*from)[i])
	*from = slices.Delete(*from, i, i+1)
	return true
}

// barrierHook puts a barrier around every command that the library sends: those
// that the client may not repeat. The others set up a connection, under a lock.
type barrierHook struct{ b *barrier }

func (h barrierHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h barrierHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !cmd.NoRetry() {
			return next(ctx, cmd)
		}
		h.b.wait()
		err := next(ctx, cmd)
		h.b.wait()
		return err
	}
}

func (h barrierHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !cmds[0].NoRetry() {
			return next(ctx, cmds)
		}
		h.b.wait()
		err := next(ctx, cmds)
		h.b.wait()
		return err
	}
}

// history is what happened, in the order in which it did.
type history struct {
	mu    sync.Mutex
	clock int
	// Of each value: when the load that brought it began; when the Set returned, for
	// until then it may take effect after any other command.
	began map[string]int
	// voids are the Deletes and the like that returned without an error.
	voids []span
	reads []read
	fails []string
	stale bool // the caches serve stale values
}

type span struct {
	what       string
	start, end int
	value      string // that a get returned
}

type read struct {
	span
	err error
}

func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// begin makes a value whose load begins now.
func (h *history) begin() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	v := fmt.Sprintf("v%d", h.clock)
	h.began[v] = h.clock
	return v
}

func (h *history) set(value string, returned int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began[value] = returned
}

// check returns what contradicts the guarantee: a read that started after a void
// had returned, of a value whose load began before the void.
func (h *history) check() error {
	for _, r := range h.reads {
		if r.err != nil {
			continue
		}
		began, ok := h.began[r.value]
		if !ok {
			return fmt.Errorf("read %+v: nobody loaded %q", r.span, r.value)
		}
		for _, v := range h.voids {
			if v.end < r.start && began < v.start {
				return fmt.Errorf("stale: read %+v got a value whose load began at %d, before %+v", r.span, began, v)
			}
		}
	}
	return nil
}

// get is a read whose load takes some turns.
func (h *history) get(c *Redis, key string, b *barrier, slow int, fails bool) {
	r := read{span: span{what: "get", start: h.now()}}
	v, err := c.GetOrLoad(context.Background(), key, func(context.Context) ([]byte, error) {
		v := h.begin()
		for range 1 + slow {
			b.wait()
		}
		if fails {
			return nil, errLoad
		}
		return []byte(v), nil
	})
	r.end, r.value, r.err = h.now(), string(v), err
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, r)
}

// void makes the key's value void, in one of the ways there are.
func (h *history) void(c *Redis, key string, kind int) {
	ctx := context.Background()
	v := span{start: h.now()}
	var err error
	switch kind {
	case 0, 1:
		v.what = "set"
		value := h.begin()
		h.set(value, math.MaxInt)
		err = c.Set(ctx, key, []byte(value), 0)
		defer func() { h.set(value, v.end) }()
	case 2:
		v.what = "hold"
		err = c.Hold(ctx, time.Hour, key)
	case 3:
		v.what = "expire"
		err = c.Expire(ctx, key)
	default:
		v.what = "delete"
		err = c.Delete(ctx, key)
	}
	v.end = h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.fails = append(h.fails, fmt.Sprintf("%s: %v", v.what, err))
	case v.what != "expire" || !h.stale: // else the old value may be served on
		h.voids = append(h.voids, v)
	}
}

// schedule runs one random schedule and returns its history.
func schedule(t *testing.T, key string, server func(testing.TB) *redistest.Server, prefix string) *history {
	h := &history{began: make(map[string]int)}
	synctest.Test(t, func(t *testing.T) {
		b := &barrier{}
		const caches = 2
		staleFor := time.Duration(rand.IntN(2)) * time.Hour
		h.stale = staleFor > 0
		var cs []*Redis
		s := server(t)
		for range caches {
			rdb := s.Client(t)
			rdb.AddHook(barrierHook{b})
			c, err := New(rdb, &Options{
				Prefix: prefix, Timeout: -1, LoadTimeout: time.Hour, EarlyRefresh: -1, Jitter: -1,
				TTL:      time.Duration(1+rand.IntN(3)) * time.Hour,
				StaleFor: staleFor,
			})
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		var wg sync.WaitGroup
		actor := func(f func(c *Redis)) {
			c := cs[rand.IntN(caches)]
			wg.Go(func() {
				b.wait()
				f(c)
			})
		}
		for range 4 + rand.IntN(4) {
			rounds, slow, fails := 1+rand.IntN(4), rand.IntN(10), rand.IntN(10) == 0
			actor(func(c *Redis) {
				for range rounds {
					b.wait()
					h.get(c, key, b, slow, fails)
				}
			})
		}
		for range 1 + rand.IntN(3) {
			kind, late := rand.IntN(8), rand.IntN(10)
			actor(func(c *Redis) {
				for range late {
					b.wait()
				}
				h.void(c, key, kind)
			})
		}
		done := make(chan struct{})
		go func() {
			wg.Wait()
			for _, c := range cs {
				_ = c.Close(context.Background())
			}
			close(done)
		}()
		for {
			synctest.Wait()
			select {
			case <-done:
				time.Sleep(time.Second) // for exec's workers to end
				return
			default:
			}
			if !b.release() {
				time.Sleep(time.Millisecond) // somebody sleeps between polls
			}
		}
	})
	return h
}

var errLoad = errors.New("load failed")

func runSchedules(t *testing.T, n int, server func(testing.TB) *redistest.Server, prefix string) {
	reads, voids := 0, 0
	for i := range n {
		h := schedule(t, strconv.Itoa(i), server, prefix)
		if err := h.check(); err != nil {
			t.Fatalf("%v\nhistory: %+v", err, h)
		}
		for _, f := range h.fails {
			t.Fatal(f)
		}
		for _, r := range h.reads {
			if r.err != nil && !errors.Is(r.err, errLoad) {
				t.Fatalf("a read failed: %v", r.err)
			}
		}
		reads, voids = reads+len(h.reads), voids+len(h.voids)
	}
	t.Logf("%d schedules: %d reads, %d voids", n, reads, voids)
}

func TestRaceSchedules(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		runSchedules(t, schedules(t, 500), redistest.Mini, "race")
	})
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		runSchedules(t, schedules(t, 500), func(testing.TB) *redistest.Server { return s }, redistest.Prefix(t))
	})
}

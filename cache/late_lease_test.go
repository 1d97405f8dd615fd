package cache

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// straying is a hook under which the first n requests that match get stuck in the
// network while their connection breaks. They arrive when the test says so.
type straying struct {
	match func(redis.Cmder) bool
	n     atomic.Int64

	mu    sync.Mutex
	stuck [][]any
}

func newStraying(match func(redis.Cmder) bool, n int64) *straying {
	h := &straying{match: match}
	h.n.Store(n)
	return h
}

func (h *straying) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *straying) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !h.takes(cmd) {
			return next(ctx, cmd)
		}
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

func (h *straying) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		var broken bool
		for _, cmd := range cmds {
			broken = h.takes(cmd) || broken
		}
		if !broken {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(io.EOF)
		}
		return io.EOF
	}
}

func (h *straying) takes(cmd redis.Cmder) bool {
	if !h.match(cmd) || h.n.Add(-1) < 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stuck = append(h.stuck, cmd.Args())
	return true
}

// arrive lets what is stuck arrive, as calls of a script's source: the server may
// not know its digest.
func (h *straying) arrive(t *testing.T, rdb redis.UniversalClient, source string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.stuck) == 0 {
		t.Error("nothing is stuck")
	}
	for _, args := range h.stuck {
		if err := rdb.Do(t.Context(), append([]any{"eval", source}, args[2:]...)...).Err(); err != nil {
			t.Errorf("the late request: %v", err)
		}
	}
}

// The first request for a lease gets stuck, the second gets the lease, a Delete
// removes it, and then the first arrives. It must not give the lease back to the
// load that the Delete has made void.
func TestLateLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		rdb := s.Client(t)
		a, b := newCache(t, rdb, Options{Prefix: prefix}), newCache(t, s.Client(t), Options{Prefix: prefix})
		h := newStraying(isScript(leaseSource), 1)
		rdb.AddHook(h)
		g := newGate()
		first := begin(t.Context(), a, "k", g.load("old", nil))
		<-g.began
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		h.arrive(t, s.Client(t), leaseSource)
		close(g.open)
		(<-first).wants(t, "k", "old")
		settled(t, a)
		if st := a.Stats(); st.Refused != 1 || st.Stored != 0 {
			t.Errorf("Stats() = %+v, want what was loaded before the Delete Refused", st)
		}
		peeks(t, b, "k", "")
		// The lease of the late request goes with the load.
		o := call(t.Context(), b, "k", returns(new(atomic.Int64), "new"))
		o.wants(t, "k", "new")
		if o.took > leaseTerm/2 {
			t.Errorf("another process waited %v for a lease that nobody has", o.took)
		}
	})
}

// Requests that were sent again arrive late: a value that a Delete has removed
// does not come back with the fill, nor with a refresh's.
func TestLateFill(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, stale := range []bool{false, true} {
			prefix := redistest.Prefix(t)
			rdb := s.Client(t)
			opts := Options{Prefix: prefix, StaleFor: time.Hour}
			a, b := newCache(t, rdb, opts), newCache(t, s.Client(t), opts)
			want := "old"
			if stale {
				want = "older"
				if err := b.Set(t.Context(), "k", []byte(want), time.Millisecond); err != nil {
					t.Fatal(err)
				}
				redistest.Eventually(t, "the value is stale", func() bool { return b.state(t, "k") == "stale" })
			}
			h := newStraying(isScript(fillSource), 1)
			rdb.AddHook(h)
			wants(t, a, "k", returns(new(atomic.Int64), "old"), want)
			settled(t, a)
			if st := a.Stats(); st.Stored != 1 {
				t.Errorf("Stats() = %+v, want Stored 1: the fill was sent again", st)
			}
			if err := b.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			h.arrive(t, s.Client(t), fillSource)
			peeks(t, b, "k", "")
		}
	})
}

// state is what a cache would make of a value in Redis.
func (c *Redis) state(t *testing.T, key string) string {
	t.Helper()
	cmd := peekScript.Cmd([]string{c.keysOf(key)[0]})
	_ = c.x.Do(t.Context(), c.x.Budget(), cmd)
	e, found, _, err := c.decode(readingOf(cmd))
	if err != nil || !found {
		return "none"
	}
	now, known := c.timeOf(cmd)
	f, _ := c.judge(&e, now, known)
	return map[freshness]string{fresh: "fresh", early: "early", stale: "stale", expired: "expired"}[f]
}

// lostThen is a hook under which the reply to the first request that matches is
// lost, and what is sent after that is refused, or the reply does not come.
type lostThen struct {
	match func(redis.Cmder) bool
	hang  chan struct{} // not nil: the reply comes when it is closed
	n     atomic.Int64
}

func (h *lostThen) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *lostThen) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *lostThen) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !h.match(cmd) {
			return next(ctx, cmd)
		}
		if h.n.Add(1) > 1 {
			cmd.SetErr(refusal("NOPERM this user has no permissions"))
			return cmd.Err()
		}
		err := next(ctx, cmd)
		if h.hang != nil {
			<-h.hang
			return err
		}
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

// A request for a lease was executed, but who asked does not know and will not
// load under it: others do not wait for its end.
func TestUnknownLeaseIsReleased(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		source  string
		hangs   bool
		timeout time.Duration
	}{
		{"lease, then refused", leaseSource, false, 0},
		{"lease, out of time", leaseSource, true, patience},
		{"refresh", refreshSource, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				prefix := redistest.Prefix(t)
				rdb := s.Client(t)
				a := newCache(t, rdb, Options{Prefix: prefix, Timeout: test.timeout, StaleFor: time.Hour})
				b := newCache(t, s.Client(t), Options{Prefix: prefix, StaleOnError: time.Hour})
				want := "a"
				if test.source == refreshSource {
					if want = "stale"; b.Set(t.Context(), "k", []byte(want), time.Millisecond) != nil {
						t.Fatal("Set failed")
					}
					redistest.Eventually(t, "the value is stale", func() bool { return a.state(t, "k") == "stale" })
				}
				worksAgain(t, a) // with scripts known and connections made
				h := &lostThen{match: isScript(test.source)}
				if test.hangs {
					h.hang = make(chan struct{})
					defer close(h.hang)
				}
				rdb.AddHook(h)
				wants(t, a, "k", returns(new(atomic.Int64), "a"), want)
				redistest.Eventually(t, "the request was sent", func() bool { return h.n.Load() > 0 })
				o := call(t.Context(), b, "k", returns(new(atomic.Int64), "b"))
				o.wants(t, "k", "b")
				if o.took > leaseTerm/2 {
					t.Errorf("another process waited %v for a lease that nobody has", o.took)
				}
			})
		})
	}
}

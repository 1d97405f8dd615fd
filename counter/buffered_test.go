package counter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestBuffered(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, opts := range []Options{{}, {TTL: time.Hour}, {TTL: time.Hour, Sliding: true}} {
			opts.Prefix = redistest.Prefix(t) + name(opts)
			r := newCounter(t, s.Client(t), opts)
			b := newBuffered(t, r, BufferedOptions{})
			for _, key := range someKeys {
				adds(t, r, key, 10, 10)
				adds(t, b, key, 3, 13) // the total is read
				adds(t, b, key, -1, 12)
				has(t, b, key, 12)
				has(t, r, key, 10)
			}
			check(t, b.Flush(t.Context()))
			for _, key := range someKeys {
				has(t, r, key, 12)
				has(t, b, key, 12)
				adds(t, b, key, 1, 13)
				once(t, b, key, "op", 5, 18, true) // one of which is gathered
				once(t, b, key, "op", 5, 18, false)
				has(t, r, key, 17)
			}
			check(t, b.Close(t.Context()))
			for _, key := range someKeys {
				has(t, r, key, 18)
			}
			_, addErr := b.Add(t.Context(), "a", 1)
			_, getErr := b.Get(t.Context(), "a")
			_, _, onceErr := b.AddOnce(t.Context(), "a", "other", 1)
			for op, err := range map[string]error{"Add": addErr, "Get": getErr, "AddOnce": onceErr, "Flush": b.Flush(t.Context())} {
				wants(t, op+" after Close", err, ErrClosed)
			}
			check(t, b.Close(t.Context()))
			has(t, r, "a", 18)
		}
	})
}

// Many goroutines add to few keys and to many, while others flush and read: after Close
// all is there, and no reader has seen a total fall.
func TestBufferedIsExact(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{TTL: time.Hour})
		b := newBuffered(t, r, BufferedOptions{Interval: time.Millisecond})
		const adders, times, keys = 8, 2000, 40
		redistest.Together(adders+2, func(i int) {
			if i >= adders {
				var last int64
				for n := range 100 {
					if i == adders {
						check(t, b.Flush(t.Context()))
						continue
					}
					total, err := r.Get(t.Context(), "hot")
					if err != nil || total < last {
						t.Errorf("read %d: Get = %d, %v, after %d", n, total, err, last)
					}
					last = total
				}
				return
			}
			for n := range times {
				if _, err := b.Add(t.Context(), "hot", 1); err != nil {
					t.Error(err)
				}
				if _, err := b.Add(t.Context(), fmt.Sprint(n%keys), int64(i)); err != nil {
					t.Error(err)
				}
			}
		})
		check(t, b.Close(t.Context()))
		has(t, r, "hot", adders*times)
		for key := range keys {
			has(t, r, fmt.Sprint(key), adders*(adders-1)/2*times/keys)
		}
		if st := b.Stats(); st.Added != 2*adders*times || st.Unknown+st.Refused+st.Direct != 0 || st.Written == 0 {
			t.Errorf("Stats() = %+v", st)
		}
	})
}

// What is added is in Redis an Interval later, without anybody's doing; in another process
// the total is as old at most. Nothing runs when nothing is added any more.
func TestInterval(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{})
		b := newBuffered(t, r, BufferedOptions{Interval: 10 * time.Second})
		other := newBuffered(t, r, BufferedOptions{Interval: 10 * time.Second})
		adds(t, b, "k", 1, 1)
		time.Sleep(9 * time.Second)
		has(t, r, "k", 0)
		adds(t, b, "k", 1, 2)
		time.Sleep(2 * time.Second)
		has(t, r, "k", 2)
		adds(t, other, "k", 1, 3)
		adds(t, other, "other", 1, 1)
		for range 20 { // both go on, and each sees the other's an Interval late at most
			time.Sleep(5 * time.Second)
			before, err := r.Get(t.Context(), "k")
			check(t, err)
			time.Sleep(11 * time.Second)
			for name, c := range map[string]Counter{"the one": b, "the other": other} {
				if n, err := c.Add(t.Context(), "k", 1); n <= before || err != nil {
					t.Errorf("%s: Add = %d, %v, and Redis had %d an Interval ago", name, n, err, before)
				}
			}
		}
		time.Sleep(time.Minute)
		for _, c := range []*Buffered{b, other} {
			if st := c.Stats(); st.Held != 0 || c.armed.Load() {
				t.Errorf("Stats() = %+v, armed %v, want nothing when nothing is added", st, c.armed.Load())
			}
		}
		has(t, r, "k", 43)
		has(t, b, "k", 43)
	})
}

// More keys than MaxKeys are counted at once, and so is what they need no more later.
func TestMaxKeys(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newCounter(t, rdb, Options{})
		b := newBuffered(t, r, BufferedOptions{MaxKeys: 3, Interval: time.Second})
		for range 2 {
			for i := range 5 {
				_, err := b.Add(t.Context(), fmt.Sprint(i), 1)
				check(t, err)
			}
		}
		has(t, r, "2", 0)
		has(t, r, "3", 2)
		has(t, r, "4", 2)
		if st := b.Stats(); st.Direct != 4 || st.Held != 3 || st.Added != 6 {
			t.Errorf("Stats() = %+v", st)
		}
		time.Sleep(10 * time.Second)
		has(t, r, "2", 2)
		adds(t, b, "4", 1, 3)
		has(t, r, "4", 2)
		check(t, b.Close(t.Context()))
		has(t, r, "4", 3)
	})
}

// What cannot be counted for good is told and given up, and holds up nothing else.
func TestBufferedRefused(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.RESP2, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{TTL: time.Hour})
		s.Do(t, "rpush", r.key("list"), "secret")
		s.Do(t, "set", r.key("text"), "secret")
		s.Do(t, "set", r.key("full"), int64(math.MaxInt64))
		var told atomic.Value
		b := newBuffered(t, r, BufferedOptions{OnError: func(err error) { told.Store(err) }, Interval: time.Millisecond})
		add := func(keys ...string) {
			t.Helper()
			for _, key := range keys {
				if _, err := b.Add(t.Context(), key, -7); key != "full" && err != nil {
					t.Error(err)
				}
			}
		}
		add("list", "text", "good")
		_, err := b.Add(t.Context(), "full", 7)
		check(t, err)
		redistest.Eventually(t, "three are refused", func() bool { return b.Stats().Refused == 3 })
		redistest.Eventually(t, "it is told", func() bool { return told.Load() != nil })
		if err, _ := told.Load().(error); errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) || strings.Contains(err.Error(), "secret") {
			t.Errorf("OnError was told %v", err)
		}
		redistest.Eventually(t, "the other is written", func() bool { n, _ := r.Get(t.Context(), "good"); return n == -7 })
		if st := b.Stats(); st.RefusedSum != 21 || st.Unknown != 0 {
			t.Errorf("Stats() = %+v", st)
		}
		check(t, b.Close(t.Context()))
		has(t, r, "full", math.MaxInt64)

		b = newBuffered(t, r, BufferedOptions{})
		add("text", "good")
		if err := b.Flush(t.Context()); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("Flush = %v, want a refusal", err)
		}
		has(t, r, "good", -14)
		check(t, b.Flush(t.Context()))
	})
}

func TestBufferedOverflow(t *testing.T) {
	t.Parallel()
	r := newCounter(t, redistest.Mini(t).Client(t), Options{})
	b := newBuffered(t, r, BufferedOptions{})
	for key, n := range map[string]int64{"up": math.MaxInt64, "down": math.MinInt64} {
		adds(t, b, key, n, n)
		if got, err := b.Add(t.Context(), key, sign(n)); err == nil {
			t.Errorf("Add beyond 64 bits = %d, want an error", got)
		}
		check(t, b.Flush(t.Context()))
		has(t, r, key, n)
	}
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

// A context that has ended adds nothing; one that ends while the total is read does not
// take back what was added.
func TestBufferedContext(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		direct := newCounter(t, s.Client(t), Options{})
		r := newCounter(t, p.Client(t), Options{Prefix: direct.o.Prefix, Timeout: time.Second})
		b := newBuffered(t, r, BufferedOptions{Interval: time.Minute})
		adds(t, direct, "k", 100, 100)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Add(ended, "k", 1)
		wants(t, "Add", err, context.Canceled)
		p.Blackhole(true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if n, err := b.Add(ctx, "k", 1); n != 1 || err != nil {
			t.Errorf("Add whose context ends = %d, %v, want 1", n, err)
		}
		if n, err := b.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get whose context has ended = %d, %v", n, err)
		}
		adds(t, b, "k", 1, 2) // after Timeout
		start := time.Now()
		for i := range int64(1000) {
			adds(t, b, "k", 1, 3+i)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Adds while Redis is away took %v, want no time", took)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wants(t, "Flush whose context ends", b.Flush(ctx), context.DeadlineExceeded)
		wants(t, "Flush while Redis is away", b.Flush(t.Context()), ErrUnavailable)
		p.Blackhole(false)
		check(t, b.Close(t.Context()))
		has(t, direct, "k", 1102)
		time.Sleep(time.Minute)
	})
}

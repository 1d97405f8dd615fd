package counter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// everything is every call once that needs Redis.
func everything(t testing.TB, rdb redis.UniversalClient, prefix string, timeout time.Duration) map[string]func(ctx context.Context) error {
	r := newCounter(t, rdb, Options{Prefix: prefix, Timeout: timeout, TTL: time.Hour})
	s := newSeries(t, rdb, SeriesOptions{Prefix: prefix, Timeout: timeout})
	u := newUnique(t, rdb, UniqueOptions{Prefix: prefix, Timeout: timeout})
	return map[string]func(ctx context.Context) error{
		"Add":     func(ctx context.Context) error { return second(r.Add(ctx, "secret", 1)) },
		"AddOnce": func(ctx context.Context) error { _, _, err := r.AddOnce(ctx, "secret", "op", 1); return err },
		"Get":     func(ctx context.Context) error { return second(r.Get(ctx, "secret")) },
		"GetMany": func(ctx context.Context) error { return second(r.GetMany(ctx, []string{"secret", "b"})) },
		"Take":    func(ctx context.Context) error { return second(r.Take(ctx, "secret")) },
		"Reset":   func(ctx context.Context) error { return r.Reset(ctx, "secret") },
		"Series":  func(ctx context.Context) error { return s.Add(ctx, "secret", 1) },
		"Range": func(ctx context.Context) error {
			return second(s.Range(ctx, "secret", time.Now(), time.Now().Add(time.Hour), time.Hour))
		},
		"Unique": func(ctx context.Context) error { return u.Add(ctx, "secret", "m") },
		"Count":  func(ctx context.Context) error { _, _, err := u.Count(ctx, "secret"); return err },
	}
}

// mayBeUnknown are the calls of which it can be unknown whether they were executed.
var mayBeUnknown = []string{"Add", "AddOnce", "Take", "Series"}

func works(t testing.TB, calls map[string]func(context.Context) error) bool {
	for _, f := range calls {
		if f(t.Context()) != nil {
			return false
		}
	}
	return true
}

// While Redis is away calls fail within Timeout, and after a few at once, with errors that
// say so and nothing else; and they work soon after it is back. A Buffered goes on.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, set := range map[string]func(p *redistest.Proxy, on bool){
			"refused":    (*redistest.Proxy).Refuse,
			"blackholed": (*redistest.Proxy).Blackhole,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				const short = 100 * time.Millisecond
				p := s.Proxy(t)
				rdb, prefix := p.Client(t), redistest.Prefix(t)
				calls := everything(t, rdb, prefix, short)
				b := newBuffered(t, newCounter(t, rdb, Options{Prefix: prefix, Timeout: short}), BufferedOptions{})
				redistest.Eventually(t, "all calls work", func() bool { return works(t, calls) })
				set(p, true)
				fastest := time.Hour
				for i := range 10 {
					for op, f := range calls {
						start := time.Now()
						err := f(t.Context())
						took := time.Since(start)
						unknown := errors.Is(err, ErrUnknownOutcome) && slices.Contains(mayBeUnknown, op)
						if !errors.Is(err, ErrUnavailable) && !unknown {
							t.Errorf("%s = %v, want ErrUnavailable", op, err)
						}
						if err != nil && (strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "counter: ")) {
							t.Errorf("%s = %v, which tells a key, or not who says it", op, err)
						}
						if took > short+2*time.Second {
							t.Errorf("%s took %v, want at most %v", op, took, short)
						}
						if i > 5 {
							fastest = min(fastest, took)
						}
					}
					if n, err := b.Add(t.Context(), "gathered", 1); n != int64(i+1) || err != nil {
						t.Errorf("Add to a Buffered = %d, %v, want %d", n, err, i+1)
					}
				}
				if fastest > 2*time.Millisecond {
					t.Errorf("after a while a call took %v, want 1 ms", fastest)
				}
				wants(t, "Flush", b.Flush(t.Context()), ErrUnavailable)
				set(p, false)
				redistest.Eventually(t, "all calls work again", func() bool { return works(t, calls) })
				redistest.Eventually(t, "all is written", func() bool { return b.Flush(t.Context()) == nil })
				has(t, newCounter(t, s.Client(t), Options{Prefix: prefix}), "gathered", 10)
			})
		}
	})
}

// A caller's own context ends a call on a server that hangs, by deadline or cancel.
func TestHungServer(t *testing.T) {
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		rdb := s.Client(t)
		calls := everything(t, rdb, prefix, time.Second)
		redistest.Eventually(t, "all calls work", func() bool { return works(t, calls) })
		s.Pause(t)
		for op, f := range calls {
			for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if want == context.Canceled {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(20*time.Millisecond, cancel)
				}
				start := time.Now()
				err := f(ctx)
				if took := time.Since(start); !errors.Is(err, want) && !errors.Is(err, ErrUnavailable) || took > 600*time.Millisecond {
					t.Errorf("%s = %v after %v, want %v after 20 ms", op, err, took, want)
				}
				cancel()
			}
		}
		s.Resume(t)
		redistest.Eventually(t, "all calls work again", func() bool { return works(t, calls) })
	})
}

// What a server that stood still gets to late is counted once, however often it was sent.
func TestPausedServer(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{Timeout: 100 * time.Millisecond})
		direct := newCounter(t, s.Client(t), Options{Prefix: r.o.Prefix})
		b := newBuffered(t, r, BufferedOptions{})
		adds(t, b, "b", 1, 1)
		redistest.Eventually(t, "the clock is known", func() bool { return b.Flush(t.Context()) == nil })
		once(t, direct, "o", "before", 1, 1, true)
		redistest.Eventually(t, "AddOnce works", func() bool { _, _, err := r.AddOnce(t.Context(), "o", "before", 1); return err == nil })
		_, err := b.Add(t.Context(), "b", 10)
		check(t, err)
		s.Pause(t)
		for range 3 {
			if err := b.Flush(t.Context()); err == nil {
				t.Error("Flush to a server that stands still has no error")
			}
			if _, _, err := r.AddOnce(t.Context(), "o", "op", 10); err == nil {
				t.Error("AddOnce on a server that stands still has no error")
			}
		}
		s.Resume(t)
		redistest.Eventually(t, "AddOnce works again", func() bool { _, _, err := r.AddOnce(t.Context(), "o", "op", 10); return err == nil })
		redistest.Eventually(t, "Flush works again", func() bool { return b.Flush(t.Context()) == nil })
		for range 20 { // what was in its sockets has been read by then
			has(t, direct, "o", 11)
			has(t, direct, "b", 11)
		}
	})
}

// A server that forgets its scripts, and one without memory.
func TestServerStates(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb, prefix := s.Client(t), redistest.Prefix(t)
		calls := everything(t, rdb, prefix, patience)
		r := newCounter(t, rdb, Options{Prefix: prefix, TTL: time.Hour})
		b := newBuffered(t, r, BufferedOptions{})
		for range 2 {
			for op, f := range calls {
				s.Do(t, "script", "flush")
				wants(t, op, f(t.Context()), nil)
			}
			for i := range 300 {
				_, err := b.Add(t.Context(), fmt.Sprint("many", i), 1)
				check(t, err)
			}
			s.Do(t, "script", "flush")
			check(t, b.Flush(t.Context()))
		}
		has(t, r, "many299", 2)

		_, err := b.Add(t.Context(), "many1", 1)
		check(t, err)
		s.Do(t, "config", "set", "maxmemory", "1")
		full := everything(t, rdb, redistest.Prefix(t), patience)
		maps.Copy(full, map[string]func(context.Context) error{"Series that is there": calls["Series"], "Unique that is there": calls["Unique"]})
		for op, f := range full {
			if slices.Contains([]string{"Get", "GetMany", "Take", "Reset", "Range", "Count"}, op) {
				wants(t, op+" without memory", f(t.Context()), nil)
				continue
			}
			if err := f(t.Context()); !redis.IsOOMError(err) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s without memory = %v, want OOM", op, err)
			}
		}
		if err := b.Flush(t.Context()); !redis.IsOOMError(err) {
			t.Errorf("Flush without memory = %v, want OOM", err)
		}
		has(t, r, "many1", 2)
		s.Do(t, "config", "set", "maxmemory", "0")
		check(t, b.Close(t.Context()))
		has(t, r, "many1", 3)
	})
}

// While a slot moves, what needs one key works and what needs two says that it may be tried
// again; nothing is counted twice, and afterwards all is there.
func TestMigration(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{TTL: time.Hour, Timeout: 500 * time.Millisecond})
		b := newBuffered(t, r, BufferedOptions{})
		adds(t, r, "k", 1, 1)
		once(t, r, "k", "before", 1, 2, true)
		adds(t, b, "k", 1, 3)
		check(t, b.Flush(t.Context()))
		m := s.MigrateSlot(t, r.key("k"))
		want := int64(3)
		for _, moved := range []bool{false, true} {
			want++
			redistest.Eventually(t, "Add works", func() bool {
				n, err := r.Add(t.Context(), "k", 1)
				if err == nil && n != want {
					t.Errorf("Add = %d, want %d", n, want)
				}
				return err == nil
			})
			_, _, err := r.AddOnce(t.Context(), "k", "op", 1)
			// If Timeout ends while it is being sent again, nobody knows of that attempt.
			if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("AddOnce while the slot moves = %v, want ErrUnavailable", err)
			}
			m.Move(t, r.key("k"))
			if moved {
				break
			}
		}
		_, err := b.Add(t.Context(), "k", 1)
		check(t, err)
		m.Finish(t)
		redistest.Eventually(t, "AddOnce works again", func() bool { _, _, err := r.AddOnce(t.Context(), "k", "op", 1); return err == nil })
		redistest.Eventually(t, "Flush works again", func() bool { return b.Flush(t.Context()) == nil })
		has(t, r, "k", want+2)
		once(t, r, "k", "before", 1, want+2, false)
	})
}

// The master fails over under traffic; calls work again soon after.
func TestFailover(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{Timeout: time.Second})
		b := newBuffered(t, r, BufferedOptions{Interval: 10 * time.Millisecond})
		adds(t, r, "k", 1, 1)
		s.Failover(t)
		s.KillMasterOf(t, r.key("k"))
		for range 100 {
			_, err := b.Add(t.Context(), "b", 1)
			check(t, err)
		}
		redistest.Eventually(t, "Add works again", func() bool { return second(r.Add(t.Context(), "k", 1)) == nil })
		redistest.Eventually(t, "what was gathered is written", func() bool {
			n, err := r.Get(t.Context(), "b")
			return err == nil && n+int64(b.Stats().UnknownSum) >= 100
		})
		check(t, b.Close(t.Context()))
		n, err := r.Get(t.Context(), "b")
		check(t, err)
		if n > 100 {
			t.Errorf("%d are counted of 100", n)
		}
	})
}

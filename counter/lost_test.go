package counter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A reply is lost at each step, once or as often as it is sent: what was asked for is
// done once, and whoever cannot know it is told so.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	add := func(ctx context.Context, c Counter) error { _, err := c.Add(ctx, "k", 3); return err }
	addOnce := func(ctx context.Context, c Counter) error {
		n, applied, err := c.AddOnce(ctx, "k", "op", 3)
		if err == nil && (n != 103 || !applied) {
			return fmt.Errorf("%d, %v", n, applied)
		}
		return err
	}
	take := func(ctx context.Context, c Counter) error { _, err := c.(*Redis).Take(ctx, "k"); return err }
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct {
			name  string
			opts  Options
			match func([]byte) bool
			drops int
			do    func(ctx context.Context, c Counter) error
			want  error
			total int64 // after it
		}{
			{"add", Options{}, redistest.Command("incrby"), 1, add, ErrUnknownOutcome, 103},
			{"add fixed", Options{TTL: time.Hour}, redistest.Script(fixedSource + addSource), 1, add, ErrUnknownOutcome, 103},
			{"add sliding", Options{TTL: time.Hour, Sliding: true}, redistest.Script(slidingSource + addSource), 1, add, ErrUnknownOutcome, 103},
			{"once", Options{}, redistest.Script(foreverSource + onceSource), 1, addOnce, nil, 103},
			{"once fixed", Options{TTL: time.Hour}, redistest.Script(fixedSource + onceSource), attempts - 1, addOnce, nil, 103},
			{"once sliding", Options{TTL: time.Hour, Sliding: true}, redistest.Script(slidingSource + onceSource), attempts - 1, addOnce, nil, 103},
			{"once always", Options{TTL: time.Hour}, redistest.Script(fixedSource + onceSource), 100, addOnce, ErrUnknownOutcome, 103},
			{"take", Options{}, redistest.Script(takeSource), 1, take, ErrUnknownOutcome, 0},
			{"get", Options{}, redistest.Command("get"), 1, func(ctx context.Context, c Counter) error { _, err := c.Get(ctx, "k"); return err }, nil, 100},
			{"reset", Options{}, redistest.Command("unlink"), 1, func(ctx context.Context, c Counter) error { return c.(*Redis).Reset(ctx, "k") }, nil, 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				opts := test.opts
				opts.Prefix = redistest.Prefix(t)
				p := s.Proxy(t)
				r, direct := newCounter(t, p.Client(t), opts), newCounter(t, s.Client(t), opts)
				adds(t, direct, "k", 100, 100)
				once(t, r, "warm", "op", 1, 1, true) // the scripts and the clock are known
				adds(t, r, "warm", 1, 2)
				_, err := r.Take(t.Context(), "warm")
				check(t, err)
				once(t, r, "k", "known", 0, 100, true)
				p.DropRepliesTo(test.match, test.drops)
				err = test.do(t.Context(), r)
				p.DropRepliesTo(nil, 0)
				wants(t, test.name, err, test.want)
				has(t, direct, "k", test.total)
				if strings.HasPrefix(test.name, "once") { // which may be repeated
					redistest.Eventually(t, "AddOnce answers", func() bool {
						n, applied, err := r.AddOnce(t.Context(), "k", "op", 3)
						return err == nil && n == 103 && !applied
					})
				}
			})
		}
	})
}

// losses has every so-many-th request to a proxy executed, and its reply lost.
func losses(p *redistest.Proxy, every int64) (lost *atomic.Int64) {
	var n atomic.Int64
	lost = new(atomic.Int64)
	p.DropRepliesTo(func(request []byte) bool {
		if text := string(request[:min(len(request), 40)]); !strings.Contains(text, "evalsha") && !strings.Contains(text, "incrby") {
			return false
		}
		if n.Add(1)%every != 0 {
			return false
		}
		lost.Add(1)
		return true
	}, 1<<30)
	return lost
}

// injected is how many replies are lost in the tests of many losses.
func injected(s *redistest.Server) int64 {
	switch {
	case redistest.IsLong():
		return 10_000
	case s.Topology() == redistest.Miniredis || s.Topology() == redistest.Standalone:
		return 400
	}
	return 100
}

// Thousands of replies are lost: nothing is counted twice, what was acknowledged is
// there, and what is not is told. With AddOnce, whose callers repeat what is unknown, and
// with a Buffered the totals are exact.
func TestManyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const callers = 8
		goal := injected(s)
		t.Run("Add", func(t *testing.T) {
			p := s.Proxy(t)
			r := newCounter(t, p.Client(t), Options{TTL: time.Hour})
			direct := newCounter(t, s.Client(t), Options{Prefix: r.o.Prefix})
			adds(t, r, "k", 1, 1)
			var acked, unknown atomic.Int64
			lost := losses(p, 3)
			redistest.Together(callers, func(int) {
				for lost.Load() < goal {
					_, err := r.Add(t.Context(), "k", 1)
					switch {
					case err == nil:
						acked.Add(1)
					case errors.Is(err, ErrUnknownOutcome):
						unknown.Add(1)
					case !errors.Is(err, ErrUnavailable): // after so many Redis seems to be away
						t.Errorf("Add = %v", err)
						return
					}
				}
			})
			p.DropRepliesTo(nil, 0)
			total, err := direct.Get(t.Context(), "k")
			check(t, err)
			if acked := acked.Load() + 1; total < acked || total > acked+unknown.Load() {
				t.Errorf("%d are counted, %d acknowledged and %d unknown", total, acked, unknown.Load())
			}
			if st := r.Stats(); st.Added != uint64(acked.Load()+1) || st.Unknown != uint64(unknown.Load()) {
				t.Errorf("Stats() = %+v, want %d Added, %d Unknown", st, acked.Load()+1, unknown.Load())
			}
			t.Logf("%d replies lost: %d acknowledged, %d unknown, %d counted", lost.Load(), acked.Load(), unknown.Load(), total)
		})
		t.Run("AddOnce", func(t *testing.T) {
			p := s.Proxy(t)
			r := newCounter(t, p.Client(t), Options{TTL: time.Hour})
			direct := newCounter(t, s.Client(t), Options{Prefix: r.o.Prefix})
			once(t, r, "k", "warm", 0, 0, true)
			var done atomic.Int64
			lost := losses(p, 3)
			redistest.Together(callers, func(i int) {
				for n := 0; lost.Load() < goal; n++ {
					for calls := 1; ; calls++ {
						_, applied, err := r.AddOnce(t.Context(), "k", fmt.Sprint(i, n), 1)
						if err == nil {
							if !applied && calls == 1 {
								t.Error("AddOnce says that what is new was counted before")
							}
							break
						}
						if !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) {
							t.Errorf("AddOnce = %v", err)
							return
						}
					}
					done.Add(1)
				}
			})
			p.DropRepliesTo(nil, 0)
			has(t, direct, "k", done.Load())
			t.Logf("%d replies lost: %d counted", lost.Load(), done.Load())
		})
		t.Run("Buffered", func(t *testing.T) {
			p := s.Proxy(t)
			r := newCounter(t, p.Client(t), Options{TTL: time.Hour})
			direct := newCounter(t, s.Client(t), Options{Prefix: r.o.Prefix})
			b := newBuffered(t, r, BufferedOptions{Interval: time.Millisecond})
			var added [5]atomic.Int64
			lost := losses(p, 3)
			redistest.Together(callers, func(i int) {
				rnd := rand.New(rand.NewPCG(1, uint64(i)))
				for n := 0; lost.Load() < goal; n++ {
					k := rnd.IntN(len(added))
					if _, err := b.Add(t.Context(), fmt.Sprint(k), 1); err != nil {
						t.Errorf("Add = %v", err)
						return
					}
					added[k].Add(1)
					if n%16 == 0 { // or all time goes into adding
						time.Sleep(time.Millisecond)
					}
				}
			})
			p.DropRepliesTo(nil, 0)
			check(t, b.Close(t.Context()))
			for k := range added {
				has(t, direct, fmt.Sprint(k), added[k].Load())
			}
			if st := b.Stats(); st.Unknown+st.Refused != 0 || st.Retried == 0 {
				t.Errorf("Stats() = %+v, want Retried and none Unknown", st)
			}
			t.Logf("%d replies lost: %+v", lost.Load(), b.Stats())
		})
	})
}

// A Series whose reply is lost has counted in all buckets or in none.
func TestSeriesLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		prefix := redistest.Prefix(t)
		c, direct := newSeries(t, p.Client(t), SeriesOptions{Prefix: prefix}), newSeries(t, s.Client(t), SeriesOptions{Prefix: prefix})
		check(t, c.Add(t.Context(), "k", 1))
		start := time.Now().Truncate(24 * time.Hour)
		lost := losses(p, 3)
		var acked, unknown int64 = 1, 0
		for lost.Load() < injected(s)/10 {
			err := c.Add(t.Context(), "k", 1)
			switch {
			case err == nil:
				acked++
			case errors.Is(err, ErrUnknownOutcome):
				unknown++
			case !errors.Is(err, ErrUnavailable):
				t.Fatalf("Add = %v", err)
			}
		}
		p.DropRepliesTo(nil, 0)
		var sums []int64
		for _, step := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
			points, err := direct.Range(t.Context(), "k", start, time.Now().Add(time.Minute), step)
			check(t, err)
			var sum int64
			for _, p := range points {
				sum += p.N
			}
			sums = append(sums, sum)
		}
		if sums[0] < acked || sums[0] > acked+unknown || sums[1] != sums[0] || sums[2] != sums[0] {
			t.Errorf("%v are counted in minutes, hours and days; %d acknowledged and %d unknown", sums, acked, unknown)
		}
	})
}

// What a Buffered gives up after a minute is told, and never counted twice.
func TestBufferedUnknown(t *testing.T) {
	t.Parallel()
	for _, executed := range []bool{true, false} {
		for _, loses := range []string{"nothing", "the gate"} {
			t.Run(fmt.Sprint(executed, "/", loses), func(t *testing.T) {
				redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
					p := s.Proxy(t)
					direct := newCounter(t, s.Client(t), Options{})
					r := newCounter(t, p.Client(t), Options{Prefix: direct.o.Prefix, Timeout: 100 * time.Millisecond})
					var told []error
					b := newBuffered(t, r, BufferedOptions{Interval: time.Second, OnError: func(err error) { told = append(told, err) }})
					adds(t, b, "k", 1, 1)
					check(t, b.Flush(t.Context()))
					adds(t, b, "k", 10, 11)
					if executed {
						p.DropRepliesTo(redistest.Script(foreverSource+flushSource), 1)
						p.DropRepliesTo(func([]byte) bool { return true }, 1) // and whatever follows
					}
					p.Blackhole(true)
					if executed {
						p.Blackhole(false)
						p.DropRepliesTo(func([]byte) bool { return true }, 1<<30)
					}
					wants(t, "Flush", b.Flush(t.Context()), ErrUnavailable)
					if executed {
						has(t, direct, "k", 11)
					}
					if loses == "the gate" {
						for _, key := range keysOf(t, s, r.o.Prefix+":"+b.gates) {
							s.Do(t, "unlink", key)
						}
					} else {
						time.Sleep(retryFor + time.Second)
					}
					adds(t, b, "other", 1, 1)
					p.DropRepliesTo(nil, 0)
					p.Blackhole(false)
					redistest.Eventually(t, "all is written or given up", func() bool {
						return b.Flush(t.Context()) == nil && b.Stats().Held >= 1
					})
					n, err := direct.Get(t.Context(), "k")
					check(t, err)
					st := b.Stats()
					if n != 1 && n != 11 || executed && n != 11 || st.Unknown > 1 || n == 1 && st.UnknownSum != 10 {
						t.Errorf("%d are counted, Stats() = %+v", n, st)
					}
					if st.Unknown == 1 && !errors.Is(errors.Join(told...), ErrUnknownOutcome) {
						t.Logf("told: %v", told)
					}
					adds(t, b, "k", 100, n+100) // goes on
					check(t, b.Close(t.Context()))
					has(t, direct, "k", n+100)
					time.Sleep(time.Minute)
				})
			})
		}
	}
}

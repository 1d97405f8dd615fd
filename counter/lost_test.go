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
			{"once fixed", Options{TTL: time.Hour}, redistest.Script(fixedSource + onceSource), 2, addOnce, nil, 103},
			{"once sliding", Options{TTL: time.Hour, Sliding: true}, redistest.Script(slidingSource + onceSource), 2, addOnce, nil, 103},
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
	case redistest.IsLong() && s.Topology() == redistest.Standalone:
		return 4000
	case s.Topology() == redistest.Standalone:
		return 300
	}
	return 50
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
			t.Parallel()
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
			t.Parallel()
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
			t.Parallel()
			p := s.Proxy(t)
			prefix := redistest.Prefix(t)
			rdb := p.Client(t)
			direct := newCounter(t, s.Client(t), Options{Prefix: prefix})
			var added [3]atomic.Int64
			lost := losses(p, 5) // with each all that its pipeline carries
			var retried atomic.Uint64
			redistest.Together(callers, func(i int) {
				b := newBuffered(t, newCounter(t, rdb, Options{Prefix: prefix, TTL: time.Hour}), BufferedOptions{})
				rnd := rand.New(rand.NewPCG(1, uint64(i)))
				for lost.Load() < goal {
					for range 1 + rnd.IntN(5) {
						k := rnd.IntN(len(added))
						if _, err := b.Add(t.Context(), fmt.Sprint(k), 1); err != nil {
							t.Errorf("Add = %v", err)
							return
						}
						added[k].Add(1)
					}
					if err := b.Flush(t.Context()); err != nil {
						t.Errorf("Flush = %v", err)
					}
				}
				if err := b.Close(t.Context()); err != nil {
					t.Errorf("Close = %v", err)
				}
				st := b.Stats()
				if st.Unknown+st.Refused != 0 {
					t.Errorf("Stats() = %+v", st)
				}
				retried.Add(st.Retried)
			})
			p.DropRepliesTo(nil, 0)
			for k := range added {
				has(t, direct, fmt.Sprint(k), added[k].Load())
			}
			if retried.Load() == 0 {
				t.Error("nothing was tried again")
			}
			t.Logf("%d replies lost, %d attempts repeated", lost.Load(), retried.Load())
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
		start := time.Now().Truncate(24 * time.Hour)
		check(t, c.Add(t.Context(), "k", 1))
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

// A flush fails, and Redis is back in a while: what it may have written is not written
// again, and is told if that cannot be found out.
func TestBufferedUnknown(t *testing.T) {
	t.Parallel()
	all := func([]byte) bool { return true }
	lose := func(p *redistest.Proxy, on bool) {
		if p.DropRepliesTo(all, 0); on {
			p.DropRepliesTo(all, 1<<30)
		}
	}
	for name, test := range map[string]struct {
		fault     func(p *redistest.Proxy, on bool)
		wait      time.Duration
		gateGone  bool
		first     bool // nothing was written of the key before
		want      int64
		isUnknown bool
		noConn    bool
	}{
		"replies are lost":                  {fault: lose, want: 11},
		"replies are lost, of the first":    {fault: lose, want: 10, first: true},
		"and for a minute":                  {fault: lose, wait: time.Minute, want: 11},
		"and until the gate has gone":       {fault: lose, wait: flightFor + gateFor, want: 11, isUnknown: true},
		"and the gate":                      {fault: lose, gateGone: true, want: 11, isUnknown: true},
		"requests come late":                {fault: (*redistest.Proxy).Blackhole, want: 11},
		"and too late":                      {fault: (*redistest.Proxy).Blackhole, wait: time.Minute, want: 11},
		"and when the gate would have gone": {fault: (*redistest.Proxy).Blackhole, wait: flightFor + gateFor, want: 1, isUnknown: true},
		"connections are cut":               {fault: (*redistest.Proxy).Refuse, want: 11},
		"nobody is there":                   {fault: (*redistest.Proxy).Refuse, want: 11, noConn: true},
		"nobody is there for a while":       {fault: (*redistest.Proxy).Refuse, wait: 4 * time.Minute, want: 11, noConn: true},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				p := s.Proxy(t)
				direct := newCounter(t, s.Client(t), Options{})
				r := newCounter(t, p.Client(t), Options{Prefix: direct.o.Prefix, Timeout: 100 * time.Millisecond})
				b := newBuffered(t, r, BufferedOptions{})
				if test.first {
					adds(t, b, "another", 1, 1)
				} else {
					adds(t, b, "k", 1, 1)
				}
				check(t, b.Flush(t.Context()))
				_, err := b.Add(t.Context(), "k", 10)
				check(t, err)
				test.fault(p, true)
				if test.noConn { // a request that is cut short may have arrived
					wants(t, "Get", second(r.Get(t.Context(), "k")), ErrUnavailable)
				}
				wants(t, "Flush", b.Flush(t.Context()), ErrUnavailable)
				if test.gateGone {
					if n, err := s.Client(t).Unlink(t.Context(), r.o.keys.Key(b.gates, "k")).Result(); n != 1 || err != nil {
						t.Fatalf("%d gates were removed, %v", n, err)
					}
				}
				time.Sleep(test.wait)
				test.fault(p, false)
				var told error
				redistest.Eventually(t, "all is written or given up", func() bool {
					err := b.Flush(t.Context())
					told = join(told, err)
					return err == nil
				})
				has(t, direct, "k", test.want)
				if st := b.Stats(); (st.Unknown == 1) != test.isUnknown || (st.UnknownSum == 10) != test.isUnknown || errors.Is(told, ErrUnknownOutcome) != test.isUnknown {
					t.Errorf("Stats() = %+v, Flush told %v, want unknown %v", st, told, test.isUnknown)
				}
				adds(t, b, "k", 100, test.want+100) // it goes on
				check(t, b.Close(t.Context()))
				has(t, direct, "k", test.want+100)
				time.Sleep(time.Minute)
			})
		})
	}
}

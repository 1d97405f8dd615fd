package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// checker compares a limiter's decisions with models of its limits.
type checker struct {
	t      *testing.T
	p      *plan
	models []model
	now    []model
	what   string
}

// at goes to a time; who writes something puts the models of then into models.
func (c *checker) at(now int64) (room int64, corrected []bool) {
	room, corrected = c.p.capacity, make([]bool, len(c.models))
	c.now = make([]model, len(c.models))
	for i, m := range c.models {
		c.now[i], corrected[i] = m.at(now)
		room = min(room, c.now[i].room())
	}
	return room, corrected
}

func newChecker(t *testing.T, p *plan) *checker {
	c := &checker{t: t, p: p}
	for _, l := range p.limits {
		c.models = append(c.models, newModel(l))
	}
	return c
}

// decided checks a decision and makes it in the models too.
func (c *checker) decided(q request, d decision) {
	c.t.Helper()
	want, corrected := c.at(d.now)
	want = min(want, q.most)
	if want -= want % q.step; want < q.least {
		want = 0
	}
	if d.granted != want {
		c.t.Fatalf("%s: %+v at %d: granted %d, want %d", c.what, q, d.now, d.granted, want)
	}
	for i, m := range c.now {
		if m.add(want); want > 0 || corrected[i] {
			c.models[i] = m
		}
		got := d.at[i]
		got.early = 0
		if want := (standing{room: m.room(), retry: m.retry(q.least), reset: m.reset()}); got != want {
			c.t.Fatalf("%s: %+v at %d, granted %d: limit %d stands at %+v, want %+v", c.what, q, d.now, d.granted, i, got, want)
		}
	}
}

// someLimits are limits of every algorithm, with rates that divide evenly and others.
func someLimits(t testing.TB) map[string][]Limit {
	berlin := location(t, "Europe/Berlin")
	return map[string][]Limit{
		"bucket 7/s":        {PerSecond(7)},
		"bucket 1/s":        {PerSecond(1)},
		"bucket 3/7 s":      {{Quota: 3, Period: 7 * time.Second, Burst: 5}},
		"bucket 1000003/h":  {{Quota: 1000003, Period: time.Hour, Burst: 40}},
		"bucket 5M/s":       {{Quota: 5_000_000, Period: time.Second, Burst: 9}},
		"bucket 61/min":     {{Quota: 61, Period: time.Minute, Burst: 3}},
		"log 10/s":          {{Quota: 10, Period: time.Second, Algorithm: SlidingLog}},
		"log 1/s":           {{Quota: 1, Period: time.Second, Algorithm: SlidingLog}},
		"log 100/min":       {{Quota: 100, Period: time.Minute, Algorithm: SlidingLog}},
		"window 10/s":       {{Quota: 10, Period: time.Second, Algorithm: SlidingWindow}},
		"window 30M/day":    {{Quota: 30_000_000, Period: 24 * time.Hour, Algorithm: SlidingWindow}},
		"window 1/ms":       {{Quota: 1, Period: time.Millisecond, Algorithm: SlidingWindow}},
		"fixed 10/s":        {{Quota: 10, Period: time.Second, Algorithm: FixedWindow}},
		"fixed 20/h Berlin": {{Quota: 20, Period: time.Hour, Algorithm: FixedWindow, Location: berlin}},
		"two buckets":       {PerSecond(7), {Quota: 20, Period: 7 * time.Second}},
		"one of each": {
			{Name: "b", Quota: 7, Period: time.Second},
			{Name: "l", Quota: 12, Period: 2 * time.Second, Algorithm: SlidingLog},
			{Name: "w", Quota: 15, Period: 3 * time.Second, Algorithm: SlidingWindow},
			{Name: "f", Quota: 20, Period: 4 * time.Second, Algorithm: FixedWindow, Location: berlin},
		},
	}
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err) // a machine without time zones
	}
	return l
}

// script is a random life of one key: what is asked for, and how much time passes.
type life struct {
	*rand.Rand
	p *plan
}

func newLife(seed uint64, p *plan) life { return life{rand.New(rand.NewPCG(seed, 1)), p} }

// request is often of 1, and sometimes of more than there can be room for.
func (l life) request() request {
	n := int64(1)
	if l.IntN(3) == 0 {
		n = 1 + l.Int64N(min(l.p.capacity, 50))
	}
	switch l.IntN(6) {
	case 0: // AllowUpTo
		return request{l.Int64N(l.p.capacity + 1), 1, 1}
	case 1: // of several callers
		return request{min(n*(1+l.Int64N(5)), l.p.capacity), n, n}
	}
	return request{n, n, n}
}

// pause is a time in which about one token is gained, or many, or none.
func (l life) pause() time.Duration {
	limit := l.p.limits[l.IntN(len(l.p.limits))]
	each := limit.Period.Microseconds()/int64(limit.Quota) + 1
	us := l.Int64N(2 * each)
	switch l.IntN(10) {
	case 0, 1:
		us = 0
	case 2:
		us = l.Int64N(limit.Period.Microseconds() + 2)
	case 3:
		us = limit.Period.Microseconds() - 2 + l.Int64N(4)
	}
	return micros(max(us, 0))
}

// What the scripts decide is what an exact model decides, at random times and costs,
// with a clock that is set forward and back by hours.
func TestModelVirtualTime(t *testing.T) {
	t.Parallel()
	steps := 500
	if redistest.IsLong() {
		steps = 5_000
	}
	for name, limits := range someLimits(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
				seed := rand.Uint64()
				clients := []*Redis{}
				opts := bare(Options{Prefix: redistest.Prefix(t), Also: limits[1:]})
				for range 3 {
					clients = append(clients, newLimiter(t, s.Client(t), limits[0], opts))
				}
				// Its TTLs do not follow a clock that goes back. A test of their own is about
				// them; counts must not depend on them.
				s.Mini().ClockTTL(false)
				p := clients[0].plans.own
				c, l := newChecker(t, p), newLife(seed, p)
				now := time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC) // two hours later summer ends in Berlin
				for i := range steps {
					c.what = fmt.Sprintf("seed %d, step %d", seed, i)
					switch now = now.Add(l.pause()); l.IntN(100) {
					case 0:
						now = now.Add(-time.Hour)
					case 1:
						now = now.Add(time.Hour)
					case 2:
						now = now.Add(-l.pause())
					}
					s.Mini().SetTime(now)
					r := clients[l.IntN(len(clients))]
					step(t, r, c, l, now.UnixMicro())
				}
			})
		})
	}
}

// step does one operation and compares it with the models.
func step(t *testing.T, r *Redis, c *checker, l life, now int64) {
	t.Helper()
	const key = "k"
	ctx := t.Context()
	switch l.IntN(20) {
	case 0:
		n := min(1+l.Int64N(3), c.p.capacity)
		if _, err := r.Peek(ctx, key); err != nil { // else a refund may be for a window that is over
			t.Fatal(err)
		}
		c.at(now)
		for i, m := range c.now {
			m.add(-n)
			c.models[i] = m
		}
		if err := r.Refund(ctx, key, int(n)); err != nil {
			t.Fatal(err)
		}
	case 1:
		results, err := r.Peek(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		c.at(now)
		for i, m := range c.now {
			want := Result{
				Allowed: m.room() > 0, Limit: c.p.limits[i], Remaining: int(m.room()),
				RetryAfter: micros(m.retry(1)), ResetAfter: micros(m.reset()),
			}
			if results[i] != want {
				t.Fatalf("%s: Peek at %d = %+v, want %+v", c.what, now, results[i], want)
			}
		}
	default:
		q := l.request()
		d, err := r.take(ctx, r.x.Budget(), c.p, key, q)
		if err != nil {
			t.Fatal(err)
		}
		if now != 0 && d.now != now {
			t.Fatalf("%s: the script's time is %d, want %d", c.what, d.now, now)
		}
		c.decided(q, d)
	}
}

// The same on real servers, whose clocks run by themselves.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string][]Limit{
		"bucket 7000/s": {{Quota: 7000, Period: time.Second, Burst: 5}},
		"bucket 3/7 ms": {{Quota: 3, Period: 7 * time.Millisecond, Burst: 30}},
		"log":           {{Quota: 30, Period: 11 * time.Millisecond, Algorithm: SlidingLog}},
		"window":        {{Quota: 30, Period: 11 * time.Millisecond, Algorithm: SlidingWindow}},
		"fixed":         {{Quota: 30, Period: 11 * time.Millisecond, Algorithm: FixedWindow}},
		"two buckets":   {{Quota: 7, Period: time.Millisecond}, {Quota: 20, Period: 7 * time.Millisecond}},
		"one of each": {
			{Name: "b", Quota: 7, Period: time.Millisecond},
			{Name: "l", Quota: 40, Period: 6 * time.Millisecond, Algorithm: SlidingLog},
			{Name: "w", Quota: 60, Period: 8 * time.Millisecond, Algorithm: SlidingWindow},
			{Name: "f", Quota: 80, Period: 10 * time.Millisecond, Algorithm: FixedWindow},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				seed := rand.Uint64()
				opts := bare(Options{Prefix: redistest.Prefix(t), Also: limits[1:]})
				clients := []*Redis{newLimiter(t, s.Client(t), limits[0], opts), newLimiter(t, s.Client(t), limits[0], opts)}
				p := clients[0].plans.own
				c, l := newChecker(t, p), newLife(seed, p)
				steps := 500
				if redistest.IsLong() {
					steps = 15_000
				}
				if s.Mini() != nil {
					s.Mini().ClockTTL(false) // a script that is not run for a while sees keys expire
				}
				if s.Topology() == redistest.Miniredis || testing.Short() {
					steps = 300
				}
				for i := range steps {
					c.what = fmt.Sprintf("seed %d, step %d", seed, i)
					q := l.request()
					d, err := clients[i%2].take(t.Context(), clients[i%2].x.Budget(), p, "k", q)
					if err != nil {
						t.Fatal(err)
					}
					c.decided(q, d)
				}
			})
		})
	}
}

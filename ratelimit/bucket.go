package ratelimit

import (
	"math/bits"
	"strings"
)

// bucket is a TokenBucket as GCRA: what is stored is the theoretical arrival time
// (TAT), when the bucket will be full. It is exact: a time is whole µs and a
// remainder in 1/den µs.
type bucket struct {
	quota, period, den int64 // a token takes period/den µs, in lowest terms
	burst              int64
	full               instant // what burst tokens take
}

type instant struct{ us, rem int64 }

func (a instant) after(b instant) bool { return a.us > b.us || a.us == b.us && a.rem > b.rem }

// ceil is the first whole µs that is not before a.
func (a instant) ceil() int64 {
	if a.rem > 0 {
		return a.us + 1
	}
	return a.us
}

func newBucket(l Limit) (*bucket, error) {
	period, quota := l.Period.Microseconds(), int64(l.Quota)
	d := gcd(period, quota)
	b := &bucket{quota: quota, period: period / d, den: quota / d, burst: int64(l.Burst)}
	if b.den > 1e8 {
		return nil, badField{"Quota", "and Period make a rate that cannot be counted exactly; take rounder numbers"}
	}
	if hi, lo := bits.Mul64(uint64(b.burst), uint64(b.den)); hi > 0 || lo > exact {
		return nil, badField{"Burst", "is too large to be counted exactly"}
	}
	hi, lo := bits.Mul64(uint64(b.burst), uint64(b.period))
	if hi >= uint64(b.den) {
		return nil, errLongBurst
	}
	if us, _ := bits.Div64(hi, lo, uint64(b.den)); us > uint64(maxPeriod.Microseconds()) {
		return nil, errLongBurst
	}
	b.full = b.cost(b.burst)
	return b, nil
}

var errLongBurst error = badField{"Burst", "× Period ÷ Quota is longer than 100 years"}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// cost is what n tokens take, n at most burst.
func (b *bucket) cost(n int64) instant {
	hi, lo := bits.Mul64(uint64(n), uint64(b.period))
	us, rem := bits.Div64(hi, lo, uint64(b.den))
	return instant{int64(us), int64(rem)}
}

// tokens is the most that can be had for some time, which is at most full.
func (b *bucket) tokens(t instant) int64 {
	if t.us < 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(t.us), uint64(b.den))
	lo, carry := bits.Add64(lo, uint64(t.rem), 0)
	n, _ := bits.Div64(hi+carry, lo, uint64(b.period))
	return int64(n)
}

func (b *bucket) plus(x, y instant) instant {
	s := instant{x.us + y.us, x.rem + y.rem}
	if s.rem >= b.den {
		s.us, s.rem = s.us+1, s.rem-b.den
	}
	return s
}

func (b *bucket) minus(x, y instant) instant {
	s := instant{x.us - y.us, x.rem - y.rem}
	if s.rem < 0 {
		s.us, s.rem = s.us-1, s.rem+b.den
	}
	return s
}

// at is how the bucket stands when its TAT is in so much time.
func (b *bucket) at(tat instant, n int64) standing {
	if tat.us < 0 {
		tat = instant{}
	}
	s := standing{reset: tat.ceil()}
	if tat.rem > 0 {
		s.early = b.den - tat.rem
	}
	s.room = b.tokens(b.minus(b.full, tat))
	if n > b.burst { // in a share of the limit, which must be unused then
		s.retry = s.reset
	} else if n > s.room {
		s.retry = b.minus(b.plus(tat, b.cost(n)), b.full).ceil()
	}
	return s
}

// zero is the code of remainder 0; see bucket.lua.
func (b *bucket) zero() int64 { return b.den * (b.den - 1) / 2 }

// bucketsReply reads what gcra.lua and buckets.lua return, for n tokens.
func bucketsReply(buckets []*bucket, reply any, n int64) (d decision, ok bool) {
	s, _ := reply.(string)
	head, values, _ := strings.Cut(s, "  ")
	var f [3]int64
	if !numbers(head, f[:]) {
		return d, false
	}
	d = decision{f[0] * n, f[1]*1_000_000 + f[2], make([]standing, len(buckets))}
	for i, b := range buckets {
		value, rest, more := strings.Cut(values, " ")
		var tat instant
		if len(value) < 16 || more != (i < len(buckets)-1) {
			return d, false
		}
		if tat.us, ok = number(value[:16]); ok && len(value) > 16 {
			tat.rem, ok = number(value[16:])
			tat.rem -= b.zero()
		}
		tat = b.minus(tat, instant{us: d.now})
		if !ok || tat.rem < 0 || tat.rem >= b.den || b.minus(b.full, tat).us < 0 {
			return d, false
		}
		d.at[i], values = b.at(tat, n), rest
	}
	return d, true
}

func (b *bucket) letter() string  { return "t" }
func (b *bucket) capacity() int64 { return b.burst }

func (b *bucket) params(int64) [6]int64 {
	one := b.cost(1)
	return [6]int64{b.den, b.zero(), one.us, one.rem, b.full.us, b.full.rem}
}

func (b *bucket) later(s standing, elapsed, n int64) (standing, bool) {
	return b.at(b.minus(instant{us: s.reset - elapsed}, instant{rem: s.early}), n), true
}

func (b *bucket) meter(other meter, now int64) meter {
	m := &bucketMeter{b: b}
	if o, ok := other.(*bucketMeter); ok {
		if m.tat.us = o.tat.us; o.b.den == b.den {
			m.tat.rem = o.tat.rem
		}
		if most := (instant{now + b.full.us, b.full.rem}); m.tat.after(most) {
			m.tat = most
		}
	}
	return m
}

type bucketMeter struct {
	b   *bucket
	tat instant
}

func (m *bucketMeter) standing(now, n int64) standing {
	return m.b.at(instant{m.tat.us - now, m.tat.rem}, n)
}

func (m *bucketMeter) add(now, n int64) {
	if m.tat.us < now {
		m.tat = instant{us: now}
	}
	// A share may be asked for more than it has.
	for ; n > m.b.burst && m.tat.us-now < maxPeriod.Microseconds(); n -= m.b.burst {
		m.tat = m.b.plus(m.tat, m.b.full)
	}
	if n >= 0 {
		m.tat = m.b.plus(m.tat, m.b.cost(min(n, m.b.burst)))
		return
	}
	if m.tat = m.b.minus(m.tat, m.b.cost(min(-n, m.b.burst))); m.tat.us < now {
		m.tat = instant{us: now}
	}
}

package ratelimit

import (
	"math/big"
	"slices"
)

// A model counts one limit in obvious ways and exact numbers: what the scripts, which
// count in other ways, must agree with. Its times are the server's, in µs.
type model interface {
	// at returns the model at a time, which may be before the last one, and whether
	// that had to be corrected.
	at(now int64) (m model, corrected bool)
	room() int64
	add(n int64)
	retry(n int64) int64
	reset() int64
}

func newModel(l Limit) model {
	l, a, err := l.normal()
	if err != nil {
		panic(err)
	}
	period := l.Period.Microseconds()
	switch l.Algorithm {
	case TokenBucket:
		return &bucketModel{burst: rat(l.Burst), each: big.NewRat(period, int64(l.Quota)), tokens: rat(l.Burst)}
	case SlidingLog:
		return &logModel{quota: int64(l.Quota), period: period}
	case SlidingWindow:
		return &windowModel{quota: int64(l.Quota), period: period, tick: a.(*slidingWindow).tick}
	default:
		return &fixedModel{quota: int64(l.Quota), w: a.(*fixedWindow)}
	}
}

func rat(n int) *big.Rat { return big.NewRat(int64(n), 1) }

func floor(r *big.Rat) int64 { return new(big.Int).Div(r.Num(), r.Denom()).Int64() }

func ceil(r *big.Rat) int64 { return -floor(new(big.Rat).Neg(r)) }

// bucketModel has a number of tokens, as in the books.
type bucketModel struct {
	burst, tokens, each *big.Rat
	now                 int64
}

func (m bucketModel) at(now int64) (model, bool) {
	if m.tokens.Cmp(m.burst) == 0 {
		return &bucketModel{m.burst, m.burst, m.each, now}, false
	}
	gained := new(big.Rat).Quo(big.NewRat(now-m.now, 1), m.each)
	tokens := gained.Add(m.tokens, gained)
	if tokens.Cmp(m.burst) > 0 {
		tokens.Set(m.burst)
	}
	corrected := tokens.Sign() < 0 // the clock went back by more than they are worth
	if corrected {
		tokens.SetInt64(0)
	}
	return &bucketModel{m.burst, tokens, m.each, now}, corrected
}

func (m *bucketModel) room() int64 { return floor(m.tokens) }

func (m *bucketModel) add(n int64) {
	m.tokens = new(big.Rat).Sub(m.tokens, big.NewRat(n, 1))
	if m.tokens.Cmp(m.burst) > 0 {
		m.tokens.Set(m.burst)
	}
}

func (m *bucketModel) until(tokens *big.Rat) int64 {
	missing := new(big.Rat).Sub(tokens, m.tokens)
	return max(ceil(missing.Mul(missing, m.each)), 0)
}

func (m *bucketModel) retry(n int64) int64 { return m.until(big.NewRat(n, 1)) }
func (m *bucketModel) reset() int64        { return m.until(m.burst) }

// logModel has a list of times. A clock that goes back takes them all with it.
type logModel struct {
	quota, period, now int64
	times              []int64
}

func (m logModel) at(now int64) (model, bool) {
	m.times = slices.Clone(m.times)
	corrected := false
	if len(m.times) > 0 {
		if back := m.times[len(m.times)-1] - now; back > 0 {
			corrected = true
			for i := range m.times {
				m.times[i] -= back
			}
		}
	}
	m.now = now
	m.times = slices.DeleteFunc(m.times, func(t int64) bool { return t <= now-m.period })
	return &m, corrected
}

func (m *logModel) room() int64 { return max(m.quota-int64(len(m.times)), 0) }

func (m *logModel) add(n int64) {
	for ; n > 0; n-- {
		m.times = append(m.times, m.now)
	}
	for ; n < 0 && len(m.times) > 0; n++ {
		m.times = m.times[1:]
	}
}

func (m *logModel) retry(n int64) int64 {
	if leave := int64(len(m.times)) + n - m.quota; leave > 0 {
		return m.times[leave-1] + m.period - m.now
	}
	return 0
}

func (m *logModel) reset() int64 {
	if len(m.times) == 0 {
		return 0
	}
	return m.times[len(m.times)-1] + m.period - m.now
}

// windowModel is the formula, and searches for when it allows something.
type windowModel struct {
	quota, period, tick int64
	start, prev, cur    int64
	now                 int64
}

func (m windowModel) at(now int64) (model, bool) {
	start := now / m.period * m.period
	corrected := m.start > start
	for ; m.start < start && m.prev+m.cur > 0; m.start += m.period {
		m.prev, m.cur = m.cur, 0
	}
	m.now, m.start = now, start
	return &m, corrected
}

func (m *windowModel) roomAt(now int64) int64 {
	start, prev, cur := m.start, m.prev, m.cur
	for ; start+m.period <= now; start += m.period {
		prev, cur = cur, 0
	}
	inView := big.NewRat(m.period/m.tick-(now-start)/m.tick, m.period/m.tick)
	estimate := inView.Add(inView.Mul(inView, big.NewRat(prev, 1)), big.NewRat(cur, 1))
	return max(m.quota-ceil(estimate), 0)
}

func (m *windowModel) room() int64 { return m.roomAt(m.now) }

func (m *windowModel) add(n int64) {
	m.cur += n
	if m.cur < 0 {
		m.prev, m.cur = max(m.prev+m.cur, 0), 0
	}
}

func (m *windowModel) retry(n int64) int64 {
	lo, hi := int64(0), 2*m.period // room only grows while nothing is taken
	for lo < hi {
		if mid := (lo + hi) / 2; m.roomAt(m.now+mid) >= n {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

func (m *windowModel) reset() int64 {
	switch {
	case m.cur > 0:
		return m.start + 2*m.period - m.now
	case m.prev > 0:
		return m.start + m.period - m.now
	}
	return 0
}

type fixedModel struct {
	quota      int64
	w          *fixedWindow
	start, end int64
	taken      int64
	now        int64
}

func (m fixedModel) at(now int64) (model, bool) {
	corrected := now < m.start
	if now >= m.end {
		m.taken = 0
	}
	if now < m.start || now >= m.end {
		m.start, m.end = m.w.bounds(now)
	}
	m.now = now
	return &m, corrected
}

func (m *fixedModel) room() int64 { return m.quota - m.taken }
func (m *fixedModel) add(n int64) { m.taken = max(m.taken+n, 0) }

func (m *fixedModel) retry(n int64) int64 {
	if n > m.room() {
		return m.end - m.now
	}
	return 0
}

func (m *fixedModel) reset() int64 {
	if m.taken == 0 {
		return 0
	}
	return m.end - m.now
}

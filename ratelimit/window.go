package ratelimit

// slidingWindow is a SlidingWindow.
type slidingWindow struct {
	quota, period int64
	tick          int64 // in which the share of a window is counted, a part of the period
}

func newSlidingWindow(l Limit) (*slidingWindow, error) {
	w := &slidingWindow{int64(l.Quota), l.Period.Microseconds(), 1}
	for w.quota > exact/(w.period/w.tick) {
		if w.tick *= 10; w.period%w.tick != 0 || w.tick > w.period {
			return nil, badField{"Quota", "× Period is too large to be counted exactly; take a rounder Period"}
		}
	}
	return w, nil
}

func (w *slidingWindow) letter() string  { return "w" }
func (w *slidingWindow) capacity() int64 { return w.quota }

func (w *slidingWindow) params(int64) [6]int64 {
	return [6]int64{w.quota, w.period / w.tick, w.tick}
}

// later is not told: what was taken before the window counts less and less.
func (w *slidingWindow) later(s standing, _, _ int64) (standing, bool) { return s, false }

func (w *slidingWindow) meter(other meter, _ int64) meter {
	m := &windowMeter{w: w}
	if o, ok := other.(*windowMeter); ok {
		m.start, m.prev, m.cur = o.start, min(o.prev, w.quota), min(o.cur, w.quota)
	}
	return m
}

type windowMeter struct {
	w         *slidingWindow
	start     int64
	prev, cur int64
}

// turn goes to the window of now and returns how many ticks are left of it.
func (m *windowMeter) turn(now int64) (left int64) {
	start := now - now%m.w.period
	switch {
	case m.start == start-m.w.period:
		m.prev, m.cur = m.cur, 0
	case m.start < start:
		m.prev, m.cur = 0, 0
	}
	m.start = start
	return m.w.period/m.w.tick - (now-start)/m.w.tick
}

func (m *windowMeter) standing(now, n int64) standing {
	left, ticks := m.turn(now), m.w.period/m.w.tick
	s := standing{room: max(m.w.quota-m.cur-(m.prev*left+ticks-1)/ticks, 0)}
	if m.cur > 0 {
		s.reset = m.start + 2*m.w.period - now
	} else if m.prev > 0 {
		s.reset = m.start + m.w.period - now
	}
	switch {
	case n > m.w.quota:
		s.retry = s.reset
	case n > s.room && m.cur+n <= m.w.quota:
		s.retry = m.start + (ticks-(m.w.quota-m.cur-n)*ticks/m.prev)*m.w.tick - now
	case n > s.room:
		s.retry = m.start + (2*ticks-(m.w.quota-n)*ticks/m.cur)*m.w.tick - now
	}
	return s
}

func (m *windowMeter) add(now, n int64) {
	m.turn(now)
	if m.cur += n; m.cur < 0 {
		m.prev, m.cur = max(m.prev+m.cur, 0), 0
	}
}

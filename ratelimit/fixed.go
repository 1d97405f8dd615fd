package ratelimit

import (
	"sync/atomic"
	"time"
)

// fixedWindow is a FixedWindow.
type fixedWindow struct {
	quota    int64
	period   int64
	location *time.Location
	kept     atomic.Pointer[fixedArgs]
}

// fixedArgs are parameters in the form that scripts want.
type fixedArgs struct {
	from, to int64
	args     []any
}

func newFixedWindow(l Limit) *fixedWindow {
	w := &fixedWindow{quota: int64(l.Quota), period: l.Period.Microseconds(), location: l.Location}
	if w.location == nil {
		w.location = time.UTC
	}
	return w
}

// monday is where the local clock is counted from: 00:00 on 5 January 1970, so that
// days begin at midnight and weeks on Monday.
const monday = 4 * 24 * 3600 * 1_000_000

// cell numbers the windows that the local clock shows at a time with some offset.
func (w *fixedWindow) cell(us, offset int64) int64 {
	local := us + offset - monday
	n := local / w.period
	if local%w.period < 0 {
		n--
	}
	return n
}

// zone is the offset of the local clock at a time, and between which times it holds.
func (w *fixedWindow) zone(us int64) (offset, from, to int64) {
	t := time.UnixMicro(us).In(w.location)
	_, s := t.Zone()
	from, to = -1<<62, 1<<62
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		from = start.UnixMicro()
	}
	if !end.IsZero() {
		to = end.UnixMicro()
	}
	return int64(s) * 1_000_000, from, to
}

// bounds returns where the window of a time begins and ends. A window begins
// whenever the local clock reaches, or jumps over, a multiple of the period; so what
// the clock shows twice is in one window if the period is longer than the jump, and in
// two if not.
func (w *fixedWindow) bounds(us int64) (start, end int64) {
	offset, from, to := w.zone(us)
	cell := w.cell(us, offset)
	start, end = cell*w.period+monday-offset, (cell+1)*w.period+monday-offset
	for off, begin := offset, from; start < begin; {
		var earlier int64
		off, earlier, _ = w.zone(begin - 1)
		if w.cell(begin-1, off) != cell {
			start = begin
			break
		}
		start, begin = cell*w.period+monday-off, earlier
	}
	for next := to; end >= next; {
		off, _, later := w.zone(next)
		if begins := (next+off-monday)%w.period == 0; begins || w.cell(next, off) != cell {
			end = next
			break
		}
		end, next = (cell+1)*w.period+monday-off, later
	}
	return start, end
}

func (w *fixedWindow) letter() string  { return "f" }
func (w *fixedWindow) capacity() int64 { return w.quota }

// params are for as long as windows follow each other regularly, which is until the
// local clock is put forward or back; around that they are for one window.
func (w *fixedWindow) params(now int64) [6]int64 {
	offset, from, to := w.zone(now)
	start, end := w.bounds(now)
	anchor := monday - offset
	if (start-anchor)%w.period != 0 || (end-anchor)%w.period != 0 || start < from || end > to {
		return w.named(now)
	}
	from, to = max(from, 0), min(to, exact)
	from = start - (start-from)/w.period*w.period
	to = start + (to-start)/w.period*w.period
	if last, e := w.bounds(to - 1); e != to { // it goes on after the clock is put back
		to = last
	}
	return [6]int64{w.quota, from, to, start, w.period}
}

// args are the params of a time, kept for as long as they hold.
func (w *fixedWindow) args(now int64) []any {
	k := w.kept.Load()
	if k == nil || now < k.from || now >= k.to {
		p := w.params(now)
		k = &fixedArgs{p[1], p[2], numbered(w.letter(), p)}
		w.kept.Store(k)
	}
	return k.args
}

// named are the parameters for the window of one time only.
func (w *fixedWindow) named(now int64) [6]int64 {
	start, end := w.bounds(now)
	return [6]int64{w.quota, start, end, start, end - start}
}

func (w *fixedWindow) later(s standing, elapsed, _ int64) (standing, bool) {
	if s.reset > 0 && elapsed >= s.reset {
		return standing{room: w.quota}, true
	}
	return standing{room: s.room, retry: max(s.retry-elapsed, 0), reset: max(s.reset-elapsed, 0)}, true
}

func (w *fixedWindow) meter(other meter, now int64) meter {
	m := &fixedMeter{w: w}
	if o, ok := other.(*fixedMeter); ok {
		if m.start, m.end = w.bounds(now); o.start >= m.start {
			m.taken = min(o.taken, w.quota)
		}
	}
	return m
}

type fixedMeter struct {
	w          *fixedWindow
	start, end int64
	taken      int64
}

func (m *fixedMeter) turn(now int64) {
	if now < m.start || now >= m.end {
		m.start, m.end = m.w.bounds(now)
		m.taken = 0
	}
}

func (m *fixedMeter) standing(now, n int64) standing {
	m.turn(now)
	s := standing{room: max(m.w.quota-m.taken, 0)}
	if m.taken > 0 {
		s.reset = m.end - now
	}
	if n > s.room {
		s.retry = s.reset
	}
	return s
}

func (m *fixedMeter) add(now, n int64) {
	m.turn(now)
	m.taken = max(m.taken+n, 0)
}

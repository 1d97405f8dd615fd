package leaderboard

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Period is how long scores count: AllTime, Daily, Weekly, Monthly, or what [Every] and
// [Rolling] return.
type Period string

// The periods of the calendar begin at midnight in Options.Location, where the clock that
// hangs there first shows it, or would if it were not set forward.
const (
	AllTime Period = "" // for ever
	Daily   Period = "daily"
	Weekly  Period = "weekly" // begins on Options.WeekStart
	Monthly Period = "monthly"
)

// Every is the period of a fixed length, counted from 1970 on, in UTC. It is whole
// seconds.
func Every(d time.Duration) Period { return Period("every " + d.String()) }

// Rolling is a window that moves with the time: what was submitted in the last d. It moves
// by 24ths of d, so that a score counts for between 23/24 of d and d. It is whole seconds.
//
// Best is the best in the window, Sum the sum, Last the last if it is in there. What has
// expired is taken off by the calls that come after, of up to 50 members by each: see
// [Stats.Lag].
func Rolling(d time.Duration) Period { return Period("rolling " + d.String()) }

// kind is how a period begins and ends.
type kind byte

const (
	endless kind = 'a'
	daily   kind = 'd'
	weekly  kind = 'w'
	monthly kind = 'm'
	every   kind = 'e'
	rolling kind = 'r'
)

const (
	buckets = 24 // of a rolling window; see window.lua

	maxPeriod = 10 * 366 * day
	day       = 24 * time.Hour

	// eternity is an end that is none, in µs, as exact as a double.
	eternity = 1 << 53
	// epoch is where the times of periods without an end begin, 2020 in UTC, in µs.
	epoch = 1_577_836_800_000_000
	// age is how long they go on.
	age = 1 << 32 * 1_000_000
)

// period is a Period in a place.
type period struct {
	kind      kind
	length    time.Duration // of every and rolling
	location  *time.Location
	weekStart time.Weekday
	unit      int64 // of the time in a packed score, µs; 0 for plain ones
}

// span is one of the period's, from start until before end, in µs.
type span struct{ start, end int64 }

func newPeriod(p Period, o *Options, pack packing) (*period, error) {
	parsed := &period{location: o.Location, weekStart: o.WeekStart}
	switch p {
	case AllTime:
		parsed.kind = endless
	case Daily:
		parsed.kind = daily
	case Weekly:
		parsed.kind = weekly
	case Monthly:
		parsed.kind = monthly
	default:
		name, length, _ := strings.Cut(string(p), " ")
		d, err := time.ParseDuration(length)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is unknown", p)
		case name == "every":
			parsed.kind = every
		case name == "rolling":
			parsed.kind = rolling
		default:
			return nil, fmt.Errorf("%q is unknown", p)
		}
		if d < time.Second || d > maxPeriod || d%time.Second != 0 {
			return nil, errors.New("is not of whole seconds, between 1 second and 10 years")
		}
		parsed.length = d
	}
	if !o.Raw {
		parsed.unit = parsed.tieUnit(pack)
	}
	return parsed, nil
}

// ends reports whether the period is one of those that follow each other.
func (p *period) ends() bool { return p.kind != endless && p.kind != rolling }

// longest is the longest that one of them can be, or nearly: where clocks are changed it
// may be an hour or two more.
func (p *period) longest() time.Duration {
	switch p.kind {
	case daily:
		return day
	case weekly:
		return 7 * day
	case monthly:
		return 31 * day
	}
	return p.length
}

// tieUnit is the unit of the times in packed scores, in µs: they go on for as long again
// as the period does, which is the longest that Grace can be.
func (p *period) tieUnit(pack packing) int64 {
	total := int64(age)
	if p.ends() {
		total = 2 * p.longest().Microseconds()
		if p.kind != every {
			total += 4 * time.Hour.Microseconds() // for clocks that are changed
		}
	}
	return (total + pack.times() - 1) >> pack.bits
}

// base is where the times in a span's scores begin.
func (p *period) base(s span) int64 {
	if p.ends() {
		return s.start
	}
	return epoch
}

// width is a bucket of a rolling window in µs, or 0.
func (p *period) width() int64 {
	if p.kind == rolling {
		return p.length.Microseconds() / buckets
	}
	return 0
}

// at returns the span that a time in µs is in.
func (p *period) at(us int64) span {
	switch p.kind {
	case endless, rolling:
		return span{0, eternity}
	case every:
		d := p.length.Microseconds()
		n := us / d
		if us < n*d {
			n--
		}
		return span{n * d, (n + 1) * d}
	}
	year, month, d := time.UnixMicro(us).In(p.location).Date()
	switch p.kind {
	case weekly:
		d -= (int(time.Date(year, month, d, 12, 0, 0, 0, time.UTC).Weekday()-p.weekStart) + 7) % 7
	case monthly:
		d = 1
	}
	year, month, d = p.step(year, month, d, 0) // a day of that month
	s := p.from(year, month, d)
	// Where a clock is set back over midnight the date is not that of the period.
	for i := -1; us < s.start; i-- {
		s = p.from(p.step(year, month, d, i))
	}
	for i := 1; us >= s.end; i++ {
		s = p.from(p.step(year, month, d, i))
	}
	return s
}

// from returns the span that begins on a day.
func (p *period) from(year int, month time.Month, d int) span {
	return span{p.midnight(year, month, d), p.midnight(p.step(year, month, d, 1))}
}

// step goes n periods on.
func (p *period) step(year int, month time.Month, d, n int) (int, time.Month, int) {
	switch p.kind {
	case daily:
		d += n
	case weekly:
		d += 7 * n
	case monthly:
		month += time.Month(n)
	}
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC).Date()
}

// midnight is when a day begins, in µs: the first time that its midnight is shown, or, if
// the clock is set forward over it, when that is done.
func (p *period) midnight(year int, month time.Month, d int) int64 {
	t := time.Date(year, month, d, 0, 0, 0, 0, p.location)
	began, ends := t.ZoneBounds()
	y, m, on := t.Date()
	switch {
	case y != year || m != month || on != d: // skipped, and this is before
		return ends.UnixMicro()
	case t.Hour() != 0 || t.Minute() != 0 || t.Second() != 0: // skipped, and this is after
		return began.UnixMicro()
	case began.IsZero():
		return t.UnixMicro()
	}
	_, offset := t.Zone()
	_, earlier := began.Add(-time.Second).Zone()
	first := t.Add(time.Duration(offset-earlier) * time.Second)
	if first.Before(t) && first.Before(began) { // shown twice
		return first.UnixMicro()
	}
	return t.UnixMicro()
}

// farthest is how many spans of a calendar it makes sense to go back: as many days as
// the longest Retain and Grace have, and some.
const farthest = 4000

// previous goes n spans back, or as far as there are any.
func (p *period) previous(s span, n int) span {
	if p.kind == every {
		d := p.length.Microseconds()
		back := min(int64(n), (s.start+eternity)/d) * d
		return span{s.start - back, s.end - back}
	}
	for range min(n, farthest) {
		s = p.at(s.start - 1)
	}
	return s
}

// name is what a span's keys are called.
func (p *period) name(s span) string {
	name := string(p.kind)
	if p.length > 0 {
		name += p.length.String()
	}
	if p.ends() {
		name += "." + time.UnixMicro(s.start).UTC().Format("20060102T150405Z")
	}
	return name
}

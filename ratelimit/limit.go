package ratelimit

import "time"

// Algorithm is how a [Limit] counts.
type Algorithm uint8

const (
	// TokenBucket is GCRA, the generic cell rate algorithm (ITU-T I.371), which is a
	// token bucket without a timer: it holds Burst tokens and gains Quota of them
	// every Period, evenly. In any time span Δ it admits at most Burst + Δ×Quota/Period,
	// and it never denies a request that keeps to that.
	TokenBucket Algorithm = iota
	// SlidingLog remembers when each admitted request was. It admits at most Quota in
	// any span of length Period, and denies only when that many were admitted in the
	// Period before. It costs 7 to 14 bytes for each that was admitted in a Period.
	SlidingLog
	// SlidingWindow estimates the requests of the last Period from the counts of two
	// aligned windows: previous × (share of it that is still in view), rounded up, +
	// current. It is cheap at any Quota, and no hard bound: somewhat less than 2×Quota
	// may be admitted in an unlucky Period. The share is counted in µs, or in the
	// least power of ten of them with which Quota×Period stays below 2⁵².
	SlidingWindow
	// FixedWindow counts in windows aligned to the calendar of Location: it admits at
	// most Quota in each, and so up to 2×Quota across the border of two. A window
	// begins when the local clock reaches, or is put past, a multiple of Period since
	// a Monday at 00:00, so hours, days and weeks are those of the calendar; a day may
	// have 23 or 25 hours.
	FixedWindow
)

// A Limit is how much is allowed in which time. The zero Limit is not valid; see
// [PerSecond], [PerMinute] and [PerHour].
type Limit struct {
	// Name tells limits apart in headers, in Result and among the limits of one
	// limiter; it is part of the key. It is printable ASCII without spaces, quotes,
	// backslashes, colons and braces. Empty: the limiter's name; if another limit has
	// that already, it and the Period.
	Name string
	// Quota is how much is allowed in one Period. For a SlidingLog, a million at most.
	Quota int
	// Period is the time that Quota is for, in whole microseconds, at most 100 years.
	Period time.Duration
	// Burst is how many tokens a TokenBucket holds, and so how much is allowed at
	// once. Zero: Quota. The other algorithms have none.
	Burst int
	// Algorithm is how to count. Zero: TokenBucket.
	Algorithm Algorithm
	// Location is the calendar that a FixedWindow is aligned to. Nil: UTC.
	Location *time.Location
}

// PerSecond allows n a second, and n at once.
func PerSecond(n int) Limit { return Limit{Quota: n, Period: time.Second} }

// PerMinute allows n a minute, and n at once.
func PerMinute(n int) Limit { return Limit{Quota: n, Period: time.Minute} }

// PerHour allows n an hour, and n at once.
func PerHour(n int) Limit { return Limit{Quota: n, Period: time.Hour} }

// badField is what is wrong with a field of a Limit.
type badField struct{ field, what string }

func (e badField) Error() string { return e.field + " " + e.what }

// normal returns l with the defaults filled in, and how it is counted.
func (l Limit) normal() (Limit, algorithm, error) {
	switch {
	case l.Quota <= 0:
		return l, nil, badField{"Quota", "is not positive"}
	case int64(l.Quota) > exact:
		return l, nil, badField{"Quota", "is more than 2⁵²"}
	case l.Period <= 0:
		return l, nil, badField{"Period", "is not positive"}
	case l.Period%time.Microsecond != 0:
		return l, nil, badField{"Period", "is not in whole microseconds"}
	case l.Period > maxPeriod:
		return l, nil, badField{"Period", "is longer than 100 years"}
	case l.Burst < 0:
		return l, nil, badField{"Burst", "is negative"}
	case l.Burst > 0 && l.Algorithm != TokenBucket:
		return l, nil, badField{"Burst", "is for a TokenBucket only"}
	case l.Location != nil && l.Algorithm != FixedWindow:
		return l, nil, badField{"Location", "is for a FixedWindow only"}
	}
	switch l.Algorithm {
	case TokenBucket:
		if l.Burst == 0 {
			l.Burst = l.Quota
		}
		a, err := newBucket(l)
		return l, a, err
	case SlidingLog:
		a, err := newSlidingLog(l)
		return l, a, err
	case SlidingWindow:
		a, err := newSlidingWindow(l)
		return l, a, err
	case FixedWindow:
		return l, newFixedWindow(l), nil
	}
	return l, nil, badField{"Algorithm", "is unknown"}
}

// validName reports whether a name may be part of a key and stand in a header.
func validName(name string, colon bool) bool {
	for _, r := range name {
		if r <= ' ' || r >= 0x7f || r == '"' || r == '\\' || r == '{' || r == '}' || r == ':' && !colon {
			return false
		}
	}
	return true
}

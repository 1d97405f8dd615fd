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
	// Period before. It costs about 20 bytes for each of Quota.
	SlidingLog
	// SlidingWindow estimates the requests of the last Period from the counts of two
	// aligned windows: previous × (share of it that is still in view) + current. It
	// is cheap at any Quota, and no hard bound: somewhat less than 2×Quota may be
	// admitted in an unlucky Period.
	SlidingWindow
	// FixedWindow counts in windows aligned to the calendar of Location: it admits at
	// most Quota in each, and so up to 2×Quota across the border of two.
	FixedWindow
)

// A Limit is how much is allowed in which time. The zero Limit is not valid; see
// [PerSecond], [PerMinute] and [PerHour].
type Limit struct {
	// Name tells limits apart in headers, in Result and among the limits of one
	// limiter. Empty: the limiter's name.
	Name string
	// Quota is how much is allowed in one Period.
	Quota int
	// Period is the time that Quota is for, in whole microseconds.
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

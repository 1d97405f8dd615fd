package ratelimit

import "time"

// A Result is a decision about one request.
//
// Take PerSecond(5), a bucket of five tokens that gains one every 200 ms. On a
// full bucket AllowN(3) answers Allowed, Granted 3, Remaining 2, RetryAfter 0,
// ResetAfter 600ms. AllowN(4) right after that answers not Allowed, Granted 0,
// Remaining 2, RetryAfter 400ms, ResetAfter 600ms, and takes nothing.
type Result struct {
	// Allowed reports whether the request may go on.
	Allowed bool
	// Degraded reports that Redis could not be asked, or that its answer is not
	// known, and that Options.OnUnavailable decided.
	Degraded bool
	// Limit is the one that decided: of those that deny, the one with the longest
	// RetryAfter; of those that allow, the one with the least Remaining.
	Limit Limit
	// Granted is how much was taken: what was asked for, or nothing; AllowUpTo may
	// grant a part.
	Granted int
	// Remaining is the most that would be allowed now, also after a denial.
	Remaining int
	// RetryAfter is zero if the request was allowed. Otherwise it is when the same
	// request would be allowed, to the microsecond, if nobody else takes any.
	RetryAfter time.Duration
	// ResetAfter is when the limit is as if it had never been used, if nobody takes
	// any.
	ResetAfter time.Duration
}

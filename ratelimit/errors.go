package ratelimit

import "errors"

var (
	// ErrExceedsBurst is returned when more is asked for than the limit can ever
	// allow at once. No wait cures it.
	ErrExceedsBurst = errors.New("ratelimit: more than the limit can ever allow at once")

	// ErrFull is returned by Acquire when as many leases as the limit allows are
	// held. Trying again later may succeed.
	ErrFull = errors.New("ratelimit: full")

	// ErrLeaseLost is returned by Renew and Release when the lease has expired, so
	// that another may have taken its place.
	ErrLeaseLost = errors.New("ratelimit: lease lost")

	// ErrUnavailable is returned when Redis could not be reached or did not answer in
	// time, by calls that have no OnUnavailable to go by. Nothing was taken. A retry
	// may succeed.
	ErrUnavailable = errors.New("ratelimit: redis unavailable")

	// ErrUnknownOutcome is returned by the same calls when the reply was lost: what was
	// asked for was done once or not at all.
	ErrUnknownOutcome = errors.New("ratelimit: unknown outcome")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("ratelimit: closed")
)

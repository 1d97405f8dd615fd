package counter

import "errors"

var (
	// ErrUnavailable is returned by every call when Redis could not be reached or did not
	// answer in time. Nothing was counted, or what may have been done may be done again. A
	// retry may succeed. A Flush or Close that returns it has kept what it could not write.
	ErrUnavailable = errors.New("counter: redis unavailable")

	// ErrUnknownOutcome is returned when a reply was lost. After an Add, of a Redis or a
	// Series, n was counted once or not at all, and may still be: repeating it could count
	// it twice. After an AddOnce the same, but calling it again with the same opID is safe
	// and tells. After a Take the total was taken, and is lost, or is still there. Flush and
	// Close return it when there are counts of which it cannot be found out any more whether
	// they were written; they have been given up.
	ErrUnknownOutcome = errors.New("counter: unknown outcome")

	// ErrClosed is returned by every call of a [Buffered] after Close, but for Close. A retry
	// does not help.
	ErrClosed = errors.New("counter: closed")
)

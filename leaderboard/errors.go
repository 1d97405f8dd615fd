package leaderboard

import "errors"

var (
	// ErrNotFound is returned by Around when the member is not on the board, and by ScoreAt
	// when nobody is. A retry does not help.
	ErrNotFound = errors.New("leaderboard: not found")

	// ErrScoreRange is returned by Submit for a value beyond Options.MaxScore, or one that
	// would make a sum so. Nothing of the call was stored. A retry does not help.
	ErrScoreRange = errors.New("leaderboard: score out of range")

	// ErrSealed is returned by Submit on a view of a period that has ended, after its
	// Grace. Nothing of the call was stored. A retry does not help.
	ErrSealed = errors.New("leaderboard: the period is sealed")

	// ErrUnavailable is returned by every call when Redis could not be reached or did not
	// answer in time. Nothing was done; members may have been removed. A retry may succeed.
	ErrUnavailable = errors.New("leaderboard: redis unavailable")

	// ErrUnknownOutcome is returned by Submit when the reply was lost: the scores were
	// stored once or not at all, and may still be. In mode Best, or with the same OpIDs,
	// repeating the call is safe.
	ErrUnknownOutcome = errors.New("leaderboard: unknown outcome")
)

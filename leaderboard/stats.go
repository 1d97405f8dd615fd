package leaderboard

import "sync/atomic"

// Stats are counts since the board was made, shared by its views.
type Stats struct {
	Submitted  uint64 // scores that were stored, or were not good enough
	Changed    uint64 // of these, those that changed the board
	Duplicates uint64 // scores whose OpID had been submitted before
	Reads      uint64 // reads that were answered
	Removed    uint64 // members removed by Remove

	Elsewhen uint64 // calls sent again since the server's clock was in another period
	Sealed   uint64 // calls refused since a period was sealed

	// Lag is how many members of the rolling windows had something that had expired and
	// was still counted, at the latest reply to a submit to these, or read of one.
	Lag uint64

	Unavailable uint64 // calls that failed because Redis was away
	Unknown     uint64 // calls whose reply was lost for good
}

type counters struct {
	submitted, changed, duplicates, reads, removed atomic.Uint64
	elsewhen, sealed, lag, unavailable, unknown    atomic.Uint64
}

// Stats returns the counts. It costs a few atomic reads.
func (r *Redis) Stats() Stats {
	n := &r.board.n
	return Stats{
		Submitted: n.submitted.Load(), Changed: n.changed.Load(), Duplicates: n.duplicates.Load(), Reads: n.reads.Load(),
		Removed: n.removed.Load(), Elsewhen: n.elsewhen.Load(), Sealed: n.sealed.Load(), Lag: n.lag.Load(),
		Unavailable: n.unavailable.Load(), Unknown: n.unknown.Load(),
	}
}

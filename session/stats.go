package session

import "sync/atomic"

// Stats are counts of calls since the store was made.
type Stats struct {
	Reads     uint64 // Gets, and records that UserRecords read
	Created   uint64 // records created
	Swapped   uint64 // records swapped
	Touched   uint64 // records touched
	Deleted   uint64 // records that were to be deleted, there or not
	NotFound  uint64 // Gets, Swaps and Touches of records that were not there
	Conflicts uint64 // Creates, Swaps and Touches that found something else stored
	Corrupt   uint64 // records and lists that were none

	Listed  uint64 // records that AddUser listed
	Evicted uint64 // records that AddUser deleted because there were too many
	Refused uint64 // AddUsers and CheckUsers of what was revoked
	Revoked uint64 // records that RevokeUser found to delete

	Unavailable uint64 // calls that failed because Redis was away
	Unknown     uint64 // calls whose reply was lost for good
}

type counters struct {
	reads, created, swapped, touched, deleted, notFound, conflicts, corrupt atomic.Uint64
	listed, evicted, refused, revoked                                       atomic.Uint64
	unavailable, unknown                                                    atomic.Uint64
}

// Stats returns the counts. It costs a few atomic reads.
func (r *Redis) Stats() Stats {
	n := &r.n
	return Stats{
		Reads: n.reads.Load(), Created: n.created.Load(), Swapped: n.swapped.Load(), Touched: n.touched.Load(),
		Deleted: n.deleted.Load(), NotFound: n.notFound.Load(), Conflicts: n.conflicts.Load(), Corrupt: n.corrupt.Load(),
		Listed: n.listed.Load(), Evicted: n.evicted.Load(), Refused: n.refused.Load(), Revoked: n.revoked.Load(),
		Unavailable: n.unavailable.Load(), Unknown: n.unknown.Load(),
	}
}

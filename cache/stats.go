package cache

import "sync/atomic"

// Stats are counts since the cache was made. One call may count in several.
type Stats struct {
	Hits         uint64 // calls answered with a fresh value from Redis
	StaleHits    uint64 // calls answered at once with a value past its TTL, within StaleFor
	NotFoundHits uint64 // calls answered with a remembered ErrNotFound; also in Hits or StaleHits
	Misses       uint64 // calls that found nothing usable in Redis
	Shared       uint64 // misses answered by a load that another call had started, here or in another process

	Loads        uint64 // loader calls, background ones included
	LoadErrors   uint64 // of these, failed with something else than ErrNotFound, panics included
	Refreshes    uint64 // loads in the background, of values about to expire or stale
	StaleOnError uint64 // calls answered with an old value because the load failed

	Stored   uint64 // values that loads stored
	Refused  uint64 // values not stored because of a Delete, Set, Expire or Hold during the load
	Dropped  uint64 // values that Redis would not store or could not be sent
	Corrupt  uint64 // values in Redis that were no entry or could not be decoded; they are replaced
	Bypassed uint64 // calls that did not ask Redis: a Delete of the key is still to be done

	Unavailable uint64 // Redis commands that failed because Redis was away
	Pending     uint64 // Deletes that are still to be done, now; see Delete for what happens beyond 10,000
}

// counters are Stats being counted.
type counters struct {
	hits, staleHits, notFoundHits, misses, shared atomic.Uint64
	loads, loadErrors, refreshes, staleOnError    atomic.Uint64
	stored, refused, dropped, corrupt, bypassed   atomic.Uint64
	unavailable                                   atomic.Uint64
}

// Stats returns the counts. It costs a few atomic reads.
func (c *Redis) Stats() Stats {
	n := &c.n
	return Stats{
		Hits: n.hits.Load(), StaleHits: n.staleHits.Load(), NotFoundHits: n.notFoundHits.Load(),
		Misses: n.misses.Load(), Shared: n.shared.Load(),
		Loads: n.loads.Load(), LoadErrors: n.loadErrors.Load(), Refreshes: n.refreshes.Load(),
		StaleOnError: n.staleOnError.Load(),
		Stored:       n.stored.Load(), Refused: n.refused.Load(), Dropped: n.dropped.Load(),
		Corrupt: n.corrupt.Load(), Bypassed: n.bypassed.Load(),
		Unavailable: n.unavailable.Load(), Pending: uint64(c.owed.count()),
	}
}

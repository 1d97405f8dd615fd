package counter

import "sync/atomic"

// Stats are counts since the counter was made.
type Stats struct {
	Added    uint64 // Adds and AddOnces that counted
	Repeated uint64 // AddOnces of what had been counted before
	Read     uint64 // totals read, those of GetMany each
	Taken    uint64 // Takes that found something
	Reset    uint64 // counters that were to be reset, there or not

	Unavailable uint64 // calls that failed because Redis was away
	Unknown     uint64 // calls whose reply was lost for good
}

type counters struct{ added, repeated, read, taken, reset atomic.Uint64 }

// Stats returns the counts. It costs a few atomic reads.
func (r *Redis) Stats() Stats {
	return Stats{
		Added: r.n.added.Load(), Repeated: r.n.repeated.Load(), Read: r.n.read.Load(), Taken: r.n.taken.Load(), Reset: r.n.reset.Load(),
		Unavailable: r.unavailable.Load(), Unknown: r.unknown.Load(),
	}
}

// BufferedStats are counts since a [Buffered] was made. Stats of the counter below has what
// that does.
type BufferedStats struct {
	Added  uint64 // Adds that were gathered
	Direct uint64 // Adds that were not, because there were MaxKeys
	Held   uint64 // keys held now: those not written yet, and those written a moment ago

	Written uint64 // counters written: all that was gathered for one key at one flush
	Retried uint64 // of these, attempts that failed and were, or will be, made again

	Unknown    uint64 // given up because it is not known whether they were written
	UnknownSum uint64 // what was gathered in them, without its sign
	Refused    uint64 // given up because they cannot be: something else is under the key
	RefusedSum uint64 // what was gathered in them, without its sign
}

type bufferedCounters struct {
	direct, written, retried, unknown, unknownSum, refused, refusedSum atomic.Uint64
}

// Stats returns the counts. It costs a few dozen locks.
func (b *Buffered) Stats() BufferedStats {
	n := &b.n
	st := BufferedStats{
		Direct: n.direct.Load(), Held: uint64(b.held.Load()), Written: n.written.Load(), Retried: n.retried.Load(),
		Unknown: n.unknown.Load(), UnknownSum: n.unknownSum.Load(), Refused: n.refused.Load(), RefusedSum: n.refusedSum.Load(),
	}
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		st.Added += s.added
		s.mu.Unlock()
	}
	return st
}

// SeriesStats are counts since a [Series] was made.
type SeriesStats struct {
	Added  uint64 // Adds that counted
	Ranged uint64 // Ranges

	Unavailable uint64 // calls that failed because Redis was away
	Unknown     uint64 // Adds whose reply was lost for good
}

// Stats returns the counts. It costs a few atomic reads.
func (s *Series) Stats() SeriesStats {
	return SeriesStats{Added: s.n.added.Load(), Ranged: s.n.ranged.Load(), Unavailable: s.unavailable.Load(), Unknown: s.unknown.Load()}
}

// UniqueStats are counts since a [Unique] was made.
type UniqueStats struct {
	Added     uint64 // members that were noted, new or not
	Counted   uint64 // Counts
	Condensed uint64 // sets that this process has made a HyperLogLog of

	Unavailable uint64 // calls that failed because Redis was away
}

// Stats returns the counts. It costs a few atomic reads.
func (u *Unique) Stats() UniqueStats {
	return UniqueStats{Added: u.n.added.Load(), Counted: u.n.counted.Load(), Condensed: u.n.condensed.Load(), Unavailable: u.unavailable.Load()}
}

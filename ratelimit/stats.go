package ratelimit

import "sync/atomic"

// Stats are counts since the limiter was made. Every decision counts in Allowed or in
// Denied, and one call of Wait makes several.
type Stats struct {
	Allowed    uint64 // decisions that allowed
	Denied     uint64 // decisions that denied
	Degraded   uint64 // of both, those that OnUnavailable made
	Remembered uint64 // of Denied, those answered from the DenialCache
	Prefetched uint64 // of Allowed, those for which a token was there
	Combined   uint64 // of both, those that shared a round trip with others

	Unavailable uint64 // decisions that Redis could not make, and operations that it could not do
	Unknown     uint64 // of these, those that it may have made or done
}

type counters struct {
	allowed, denied, degraded, remembered, ahead, combined, unavailable, unknown atomic.Uint64
}

// decided counts a decision.
func (n *counters) decided(r Result) Result {
	if r.Allowed {
		n.allowed.Add(1)
	} else {
		n.denied.Add(1)
	}
	if r.Degraded {
		n.degraded.Add(1)
	}
	return r
}

// Stats returns the counts. It costs a few atomic reads.
func (r *Redis) Stats() Stats {
	return Stats{
		Allowed: r.n.allowed.Load(), Denied: r.n.denied.Load(), Degraded: r.n.degraded.Load(),
		Remembered: r.n.remembered.Load(), Prefetched: r.n.ahead.Load(), Combined: r.n.combined.Load(),
		Unavailable: r.n.unavailable.Load(), Unknown: r.n.unknown.Load(),
	}
}

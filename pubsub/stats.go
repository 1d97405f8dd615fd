package pubsub

import "sync/atomic"

// Stats are counts since the bus was made.
type Stats struct {
	Published   uint64 // events that were published
	Unavailable uint64 // events that were not, because Redis was away or refused them
	Unknown     uint64 // events that may have been

	Subscriptions int64  // there are now
	Received      uint64 // events that arrived from the server, each counted once however many subscriptions it had
	Delivered     uint64 // events handed to handlers
	Failed        uint64 // calls of handlers that returned an error or panicked
	Gaps          uint64 // gaps announced to subscriptions
	Missed        uint64 // events in them, as far as that was known
	Slow          uint64 // of Missed, those that found a buffer full

	Reconnects uint64 // connections to receive on that were lost
	Malformed  uint64 // messages and entries that were no events
}

type counters struct {
	published, unavailable, unknown                  atomic.Uint64
	subscriptions                                    atomic.Int64
	received, delivered, failed, gaps, missing, slow atomic.Uint64
	reconnects, malformed                            atomic.Uint64
}

// missed counts a gap of one subscription.
func (n *counters) missed(g Gap) {
	n.gaps.Add(1)
	if g.Missed > 0 {
		n.missing.Add(uint64(g.Missed))
		if g.Reason == SlowConsumer {
			n.slow.Add(uint64(g.Missed))
		}
	}
}

// Stats returns the counts. It costs a few atomic reads.
func (b *base) Stats() Stats {
	n := &b.n
	return Stats{
		Published: n.published.Load(), Unavailable: n.unavailable.Load(), Unknown: n.unknown.Load(),
		Subscriptions: n.subscriptions.Load(), Received: n.received.Load(), Delivered: n.delivered.Load(),
		Failed: n.failed.Load(), Gaps: n.gaps.Load(), Missed: n.missing.Load(), Slow: n.slow.Load(),
		Reconnects: n.reconnects.Load(), Malformed: n.malformed.Load(),
	}
}

package pubsub

import "sync/atomic"

// SSEStats are counts since the SSE was made.
type SSEStats struct {
	Clients int64 // there are now
	Topics  int64 // that they have, which is how many subscriptions the bus has for them

	Connected uint64 // clients that were let in
	Resumed   uint64 // of them, those that came with a position
	Refused   uint64 // requests that ErrorHandler has answered
	Stalled   uint64 // clients that were cut off because they did not accept what was sent

	Events   uint64 // events sent, one for every client
	Gaps     uint64 // gaps sent
	Replayed uint64 // times that a client had to read from the history
}

type sseCounters struct {
	clients, topics                      atomic.Int64
	connected, resumed, refused, stalled atomic.Uint64
	events, gaps, replayed               atomic.Uint64
}

// Stats returns the counts. It costs a few atomic reads.
func (s *SSE) Stats() SSEStats {
	n := &s.n
	return SSEStats{
		Clients: n.clients.Load(), Topics: n.topics.Load(),
		Connected: n.connected.Load(), Resumed: n.resumed.Load(), Refused: n.refused.Load(), Stalled: n.stalled.Load(),
		Events: n.events.Load(), Gaps: n.gaps.Load(), Replayed: n.replayed.Load(),
	}
}

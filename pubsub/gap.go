package pubsub

import "fmt"

// A Gap says that events were not delivered. It is announced where they would have been.
type Gap struct {
	// Topic is the topic. For a subscription to a pattern it is the pattern, if it is not
	// known of which topics the events were.
	Topic string

	Reason GapReason

	// Missed is how many events were not delivered, or -1 if that cannot be known. Then
	// it may be none.
	Missed int64
}

// A GapReason is why events were not delivered.
type GapReason uint8

const (
	// Reconnect: they were published while the connection to Redis was down, or were on
	// it when it broke.
	Reconnect GapReason = iota + 1

	// SlowConsumer: the handler did not keep up, and the buffer was full.
	SlowConsumer

	// Sequence: they were never published, because Publish failed; or were lost between
	// the nodes of a cluster; or what arrived was not an event.
	Sequence

	// Trimmed: they are no longer in the history.
	Trimmed

	// Reset: Redis has lost the topic's numbers, or has gone back to earlier ones. It was
	// restarted, flushed or failed over. What was published just before may be lost.
	Reset
)

// String returns the reason's name.
func (r GapReason) String() string {
	switch r {
	case Reconnect:
		return "Reconnect"
	case SlowConsumer:
		return "SlowConsumer"
	case Sequence:
		return "Sequence"
	case Trimmed:
		return "Trimmed"
	case Reset:
		return "Reset"
	}
	return fmt.Sprintf("GapReason(%d)", uint8(r))
}

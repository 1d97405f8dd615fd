package pubsub

import "errors"

var (
	// ErrClosed is returned by Publish and Subscribe after Close of the bus, and is the
	// Err of a subscription that the Close of its bus has ended. A retry does not help.
	ErrClosed = errors.New("pubsub: closed")

	// ErrSlowConsumer is the Err of a subscription with [Disconnect] whose handler did not
	// keep up. Subscribing again helps, from the position of the last event where the
	// topic is replayable.
	ErrSlowConsumer = errors.New("pubsub: slow consumer")

	// ErrPosition is returned by Subscribe when After is not a position, whatever its
	// topic. A retry does not help. A position that is too old, or of a topic that was
	// lost, is no error but a [Gap].
	ErrPosition = errors.New("pubsub: not a position")

	// ErrUnavailable is returned by Publish and Subscribe when Redis could not be reached
	// or did not answer in time. The event was not published and will not be. A retry may
	// succeed.
	ErrUnavailable = errors.New("pubsub: redis unavailable")

	// ErrUnknownOutcome is returned by Publish when the reply was lost and stayed so: the
	// event was published once or not at all. Publishing it again could do it twice, with
	// one ID if the event has one.
	ErrUnknownOutcome = errors.New("pubsub: unknown outcome")

	// ErrTooManyClients is what an [SSE]'s ErrorHandler is told when MaxClients are
	// connected. A retry may succeed.
	ErrTooManyClients = errors.New("pubsub: too many clients")
)

package pubsub

import (
	"context"
	"time"
)

// An Event is something that happened. All fields but Data are optional, and those of the
// second group are set on delivery, whatever the publisher puts there.
//
// Subscribers in one process share Data: it must not be modified.
type Event struct {
	ID          string    // names the event; zero: Publish makes one up, of 26 characters
	Type        string    // what happened, such as "order.placed"
	Key         string    // what it happened to, such as an order's number
	ContentType string    // of Data, such as "application/json"
	TraceParent string    // of the W3C; zero: what Options.TraceParent finds
	Time        time.Time // when it happened, to the microsecond; zero: when Publish is called
	Data        []byte

	Topic     string
	Publisher string // the bus that published it, which has another name in every process
	Seq       uint64 // its number in the topic, counted from 1: each is one more, or there is a Gap
	Position  string // see SubscribeOptions.After; empty where the topic is not replayable
}

// A Handler is called with one event after the other; a subscription has one call under way
// at a time. ctx ends with the subscription and has the values of the context given to
// Subscribe.
//
// On a [Bus] an error goes to Options.OnError, and the next event follows. On a queue it
// means that the event is to be tried again.
type Handler func(ctx context.Context, e Event) error

// A Publisher publishes events.
type Publisher interface {
	// Publish returns nil when the server has the event. Events that are published one
	// after the other to a topic are delivered in that order.
	Publish(ctx context.Context, topic string, e Event) error
}

// A Bus delivers each event to every subscription of its topic.
type Bus interface {
	Publisher

	// Subscribe returns when the server has confirmed: every event published from then on
	// reaches h, or a Gap is announced. The subscription ends when ctx does, or with its
	// Close or that of the bus. Nil options are the defaults.
	Subscribe(ctx context.Context, topic string, h Handler, opts *SubscribeOptions) (Subscription, error)
}

// A Subscription is under way until it is closed or fails.
type Subscription interface {
	// Done is closed when the subscription has ended and the handler has returned.
	Done() <-chan struct{}

	// Err is why it has ended: nil after Close and until Done is closed; the error of
	// Subscribe's context; ErrSlowConsumer; ErrClosed.
	Err() error

	// Position is where a new subscription goes on after this one, see
	// SubscribeOptions.After: at first where this one began, then that of the latest
	// event for which the handler has returned. It is empty where the topic is not
	// replayable.
	Position() string

	// Close takes no more events, and returns when the handler has had those that had
	// arrived. If ctx ends first, the others are dropped and its error is returned: the
	// handler's context ends too, and Done is closed as soon as the handler returns.
	// Called by the handler itself, with its context, Close does not wait.
	Close(ctx context.Context) error
}

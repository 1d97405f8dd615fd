package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// Options are the settings of a bus. In every field zero is the default.
type Options struct {
	// Prefix begins every Redis key and channel of the bus. Buses with one prefix share
	// their topics, also if their clients select different databases of one server, which
	// channels know nothing of. It is not empty and has no spaces or braces. Zero:
	// "pubsub". Change it to keep applications on one server apart.
	Prefix string

	// Timeout bounds how long one call waits for Redis. Zero: 1 second. Negative:
	// unbounded. Change it to how long a publisher may be held up.
	Timeout time.Duration

	// HistoryLen is how many events of each topic are kept, so that subscriptions can be
	// replayed and holes are filled. Zero: none, unless HistoryFor is set; then 10,000.
	// Negative: as many as HistoryFor keeps. All processes with one Prefix use the same.
	HistoryLen int

	// HistoryFor is how long they are kept. Zero: none, unless HistoryLen is set; then 24
	// hours. Negative: until HistoryLen newer ones are there, with no expiry.
	HistoryFor time.Duration

	// Unsharded is for clusters: use ordinary Pub/Sub, which hands every event to every
	// node, in place of sharded Pub/Sub, which keeps it on one. Zero: sharded. Change it to
	// have one connection rather than up to 16, where few events are published, or where
	// sharded Pub/Sub is forbidden. All processes with one Prefix use the same.
	Unsharded bool

	// TraceParent finds the trace of a publisher, such as "00-4bf9…-00f0…-01", for events
	// that have none. Zero: such events have none.
	TraceParent func(ctx context.Context) string

	// OnError is told what nobody else is: an error or a panic of a handler, what arrived
	// and was no event, and that Redis is away, once in an outage. It must not block, and may be
	// called by several goroutines at once. Zero: a handler's panic ends the program, as
	// anywhere, and the rest is ignored.
	OnError func(error)
}

const (
	defaultPrefix     = "pubsub"
	defaultTimeout    = time.Second
	defaultHistoryLen = 10_000
	defaultHistoryFor = 24 * time.Hour
	never             = 100 * 365 * 24 * time.Hour
)

// settings are options with the defaults filled in.
type settings struct {
	Options
	keys rkey.Space

	replayable bool // HistoryLen and HistoryFor are what to keep; zero: no limit
}

func newSettings(opts *Options) (*settings, error) {
	var s settings
	if opts != nil {
		s.Options = *opts
	}
	if s.Prefix == "" {
		s.Prefix = defaultPrefix
	}
	var err error
	if s.keys, err = rkey.New(s.Prefix); err != nil {
		return nil, fmt.Errorf("pubsub: Options.Prefix %w", err)
	}
	switch {
	case s.Timeout == 0:
		s.Timeout = defaultTimeout
	case s.Timeout < 0:
		s.Timeout = never
	}
	if s.HistoryFor > 0 && s.HistoryFor < time.Millisecond {
		return nil, errors.New("pubsub: Options.HistoryFor is less than a millisecond")
	}
	s.replayable = s.HistoryLen > 0 || s.HistoryFor > 0
	switch {
	case !s.replayable && (s.HistoryLen < 0 || s.HistoryFor < 0):
		return nil, errors.New("pubsub: Options.HistoryLen and HistoryFor: one of them must bound the history")
	case !s.replayable:
	case s.HistoryLen == 0:
		s.HistoryLen = defaultHistoryLen
	case s.HistoryFor == 0:
		s.HistoryFor = defaultHistoryFor
	}
	s.HistoryLen, s.HistoryFor = max(s.HistoryLen, 0), max(s.HistoryFor, 0)
	return &s, nil
}

// SubscribeOptions are the settings of a subscription. In every field zero is the default.
type SubscribeOptions struct {
	// Pattern says that the topic is a pattern, as of Redis: * is any characters, ? one,
	// [a-c] one of these, [^a-c] one other, and \ takes away the meaning of the next. Zero:
	// it is a topic. The events of a pattern are live, also where topics are replayable.
	Pattern bool

	// After begins after the event that had this Position, with what is in the history.
	// What is no longer there is announced as a Gap. Zero: begin with the next event that
	// is published. After, Since and Last need a history, and only one of them may be set.
	After string

	// Since begins with the events published at this time or later, by the server's clock.
	Since time.Time

	// Last begins with that many of the latest events, or with as many as there are.
	Last int

	// Buffer is how many events wait for the handler at most. Zero: 1,024. Change it to
	// the longest burst that a handler may lag behind.
	Buffer int

	// Overflow is what happens when the buffer is full. Zero: DropOldest.
	Overflow Overflow

	// OnGap is told of events that are not delivered. It is called in order with the
	// handler and not at the same time. Zero: gaps are only counted in Stats.
	OnGap func(ctx context.Context, g Gap)
}

// Overflow is what happens when a subscription's buffer is full. Where a topic is
// replayable, DropOldest and DropNewest drop nothing: the subscription reads what it has no
// room for from the history later.
type Overflow uint8

const (
	// DropOldest makes room by dropping the event that has waited longest.
	DropOldest Overflow = iota
	// DropNewest drops the event that has just arrived.
	DropNewest
	// Disconnect ends the subscription with ErrSlowConsumer, and drops what has waited.
	Disconnect
)

const defaultBuffer = 1024

// subscribeSettings validates the options of a subscription.
func subscribeSettings(topic string, h Handler, opts *SubscribeOptions, replayable bool) (SubscribeOptions, error) {
	var o SubscribeOptions
	if opts != nil {
		o = *opts
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	starts := 0
	for _, set := range []bool{o.After != "", !o.Since.IsZero(), o.Last != 0} {
		if set {
			starts++
		}
	}
	switch {
	case topic == "":
		return o, errEmptyTopic
	case h == nil:
		return o, errors.New("pubsub: the handler is nil")
	case o.Buffer < 0:
		return o, errors.New("pubsub: SubscribeOptions.Buffer is negative")
	case o.Last < 0:
		return o, errors.New("pubsub: SubscribeOptions.Last is negative")
	case o.Overflow > Disconnect:
		return o, errors.New("pubsub: SubscribeOptions.Overflow is none of the three")
	case starts > 1:
		return o, errors.New("pubsub: SubscribeOptions.After, Since and Last: only one may be set")
	case starts > 0 && o.Pattern:
		return o, errors.New("pubsub: SubscribeOptions.Pattern is set, and patterns have no history to begin in")
	case starts > 0 && !replayable:
		return o, errors.New("pubsub: SubscribeOptions.After, Since and Last need Options.HistoryLen or HistoryFor")
	}
	return o, nil
}

var errEmptyTopic = errors.New("pubsub: the topic is empty")

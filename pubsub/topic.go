package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
)

// A Topic gives a topic's events a Go type:
//
//	var orders = pubsub.Topic[Order]{Name: "orders"}
//
// It works with a Bus and with a queue, and may be copied.
type Topic[T any] struct {
	// Name is the topic that Publish publishes to. Handler has no use for it.
	Name string

	// Type is the Type of the events.
	Type string

	// Key finds the Key of an event. Nil: it has none.
	Key func(T) string

	// Marshal and Unmarshal turn values into Data and back. Nil: both are encoding/json's,
	// and events have the ContentType application/json.
	Marshal   func(any) ([]byte, error)
	Unmarshal func([]byte, any) error
}

// A Message is an event and the value in its Data.
type Message[T any] struct {
	Event
	Value T
}

// Publish publishes v.
//
// Errors: those of Marshal, wrapped; those of p.
func (t Topic[T]) Publish(ctx context.Context, p Publisher, v T) error {
	e := Event{Type: t.Type}
	marshal := t.Marshal
	if marshal == nil {
		marshal, e.ContentType = json.Marshal, "application/json"
	}
	if t.Key != nil {
		e.Key = t.Key(v)
	}
	var err error
	if e.Data, err = marshal(v); err != nil {
		return fmt.Errorf("pubsub: marshal an event: %w", err)
	}
	return p.Publish(ctx, t.Name, e)
}

// Handler returns a handler that calls h with the value of each event. An event whose Data
// Unmarshal refuses is not for h: the handler returns the error, wrapped.
func (t Topic[T]) Handler(h func(context.Context, Message[T]) error) Handler {
	unmarshal := t.Unmarshal
	if unmarshal == nil {
		unmarshal = json.Unmarshal
	}
	return func(ctx context.Context, e Event) error {
		m := Message[T]{Event: e}
		if err := unmarshal(e.Data, &m.Value); err != nil {
			return fmt.Errorf("pubsub: unmarshal an event: %w", err)
		}
		return h(ctx, m)
	}
}

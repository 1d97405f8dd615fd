package pubsubtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/freshet-go/freshet/pubsub"
)

var liveCases = []testCase{
	{name: "Deliver", rule: "What was published after Subscribe returned is delivered, once and in order.", run: func(s *suite) {
		topic := newTopic()
		sub, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		want := numbers(0, 300)
		s.publish(s.Bus, topic, want...)
		r.has(want...)
		s.closes(sub)
		r.has(want...)
		for i, e := range r.events {
			if e.Seq != uint64(i+1) {
				s.stop("event %d of a new topic has Seq %d", i, e.Seq)
			}
		}
	}},
	{name: "Fields", rule: "An event arrives as it was published, with the fields of delivery set.", run: func(s *suite) {
		topic := newTopic() + " ü:{x}\x00%"
		_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		sent := pubsub.Event{
			ID: "id-1", Type: "order.placed", Key: "42", ContentType: "text/plain",
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Time:        time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.FixedZone("", 3600)),
			Data:        []byte("a\x00\xff\r\nb"),
			Topic:       "x", Publisher: "x", Seq: 9, Position: "x",
		}
		s.wants("Publish", s.Publish(s.Context(), topic, sent), nil)
		s.wants("Publish of an empty event", s.Publish(s.Context(), topic, pubsub.Event{}), nil)
		r.called(2)
		r.until("two events", func() bool { return len(r.events) == 2 })
		got, empty := r.events[0], r.events[1]
		if !got.Time.Equal(sent.Time) || got.Topic != topic || got.Publisher == "x" || got.Publisher == "" || got.Seq != 1 {
			s.broken("got %+v", got)
		}
		if (got.Position != "") != s.features.Replay || got.Position == "x" {
			s.broken("Position = %q", got.Position)
		}
		got.Time, got.Topic, got.Publisher, got.Seq, got.Position = sent.Time, "x", "x", 9, "x"
		if fmt.Sprint(got) != fmt.Sprint(sent) {
			s.broken("got %+v, want %+v", got, sent)
		}
		if empty.ID == "" || time.Since(empty.Time).Abs() > time.Minute || len(empty.Data) != 0 || empty.Type+empty.Key+empty.ContentType+empty.TraceParent != "" {
			s.broken("of an empty event came %+v", empty)
		}
	}},
	{name: "Fanout", rule: "Every subscription of a topic has every event, and those of other topics have none.", run: func(s *suite) {
		topic, other := newTopic(), newTopic()
		var all []*received
		for range 10 {
			_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
			all = append(all, r)
		}
		_, stranger := s.subscribe(s.Bus, other, pubsub.SubscribeOptions{})
		want := numbers(0, 20)
		s.publish(s.Bus, topic, want...)
		for _, r := range all {
			r.has(want...)
		}
		s.publish(s.Bus, other, "x")
		stranger.has("x")
	}},
	{name: "Shared", shared: true, rule: "An event published on one bus is delivered on the other.", run: func(s *suite) {
		topic := newTopic()
		other := s.newBus(s.T)
		_, r := s.subscribe(other, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "a")
		s.publish(other, topic, "b")
		r.has("a", "b")
		if r.events[0].Publisher == r.events[1].Publisher {
			s.broken("both buses have the name %q", r.events[0].Publisher)
		}
	}},
	{name: "Publishers", rule: "With many publishers at once each event is delivered once, each publisher's in its order.", run: func(s *suite) {
		topic := newTopic()
		_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 10_000})
		const publishers, each = 16, 50
		var wg sync.WaitGroup
		for i := range publishers {
			wg.Go(func() {
				for n := range each {
					if err := s.Publish(s.Context(), topic, pubsub.Event{Key: fmt.Sprint(i), Data: []byte(fmt.Sprint(n))}); err != nil {
						s.broken("Publish = %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		r.until("all events", func() bool { return len(r.texts) >= publishers*each })
		next := map[string]int{}
		for i, e := range r.events {
			if string(e.Data) != fmt.Sprint(next[e.Key]) || e.Seq != uint64(i+1) {
				s.stop("event %d is number %d, %s of publisher %s, want %d", i, e.Seq, e.Data, e.Key, next[e.Key])
			}
			next[e.Key]++
		}
	}},
	{name: "Late", rule: "A subscription has nothing that was published before it.", run: func(s *suite) {
		topic := newTopic()
		s.publish(s.Bus, topic, "before")
		_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "after")
		r.has("after")
		_, second := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "later")
		second.has("later")
		r.has("after", "later")
	}},
	{name: "CloseDrains", rule: "Close returns when the handler has had what had arrived, and nothing comes after it.", run: func(s *suite) {
		topic := newTopic()
		sub, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{})
		_, witness := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		want := numbers(0, 10)
		s.publish(s.Bus, topic, want...)
		witness.has(want...) // so have all arrived
		r.called(1)
		short, cancel := context.WithTimeout(s.Context(), 30*time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- sub.Close(short) }()
		r.release()
		s.wants("Close", <-closed, nil)
		s.ended(sub, nil)
		r.has(want...)
		s.publish(s.Bus, topic, "more")
		witness.has(append(slices.Clone(want), "more")...)
		r.has(want...)
		s.closes(sub)
	}},
	{name: "CloseBounded", rule: "When Close's context ends, the rest is dropped, and the handler's context ends.", run: func(s *suite) {
		topic := newTopic()
		entered, left := make(chan struct{}), make(chan error, 1)
		sub, err := s.Subscribe(s.Context(), topic, func(ctx context.Context, _ pubsub.Event) error {
			close(entered) // a second call panics
			<-ctx.Done()
			left <- ctx.Err()
			return nil
		}, nil)
		if err != nil {
			s.stop("Subscribe = %v", err)
		}
		s.publish(s.Bus, topic, "1", "2", "3")
		<-entered
		gone, cancel := context.WithCancel(s.Context())
		cancel()
		s.wants("Close with a context that has ended", sub.Close(gone), context.Canceled)
		s.wants("the error of the handler's context", <-left, context.Canceled)
		s.ended(sub, nil)
	}},
	{name: "Cancel", rule: "The subscription ends when Subscribe's context does, and the handler's context has its values.", run: func(s *suite) {
		type key struct{}
		topic := newTopic()
		ctx, cancel := context.WithCancel(context.WithValue(s.Context(), key{}, "value"))
		defer cancel()
		values := make(chan any, 1)
		sub, err := s.Subscribe(ctx, topic, func(ctx context.Context, _ pubsub.Event) error {
			values <- ctx.Value(key{})
			return nil
		}, nil)
		if err != nil {
			s.stop("Subscribe = %v", err)
		}
		s.publish(s.Bus, topic, "x")
		if v := <-values; v != "value" {
			s.broken("the handler's context has the value %v", v)
		}
		s.wants("Err of one under way", sub.Err(), nil)
		cancel()
		s.ended(sub, context.Canceled)
		_, err = s.Subscribe(ctx, topic, func(context.Context, pubsub.Event) error { return nil }, nil)
		s.wants("Subscribe with a context that has ended", err, context.Canceled)
		s.wants("Publish with a context that has ended", s.Publish(ctx, topic, pubsub.Event{}), context.Canceled)
	}},
	{name: "CloseInHandler", rule: "A handler may close its own subscription: it has no more calls.", run: func(s *suite) {
		topic := newTopic()
		var sub pubsub.Subscription
		ready := make(chan struct{})
		calls := 0
		sub, err := s.Subscribe(s.Context(), topic, func(ctx context.Context, _ pubsub.Event) error {
			<-ready
			calls++
			return sub.Close(ctx)
		}, nil)
		if err != nil {
			s.stop("Subscribe = %v", err)
		}
		close(ready)
		s.publish(s.Bus, topic, "x")
		s.ended(sub, nil)
		s.publish(s.Bus, topic, "y")
		if calls != 1 {
			s.broken("%d calls, want 1", calls)
		}
	}},
	{name: "HandlerError", rule: "An event whose handler fails is not delivered again, and the next one follows.", run: func(s *suite) {
		topic := newTopic()
		got := make(chan string, 10)
		_, err := s.Subscribe(s.Context(), topic, func(_ context.Context, e pubsub.Event) error {
			got <- string(e.Data)
			return context.DeadlineExceeded
		}, nil)
		if err != nil {
			s.stop("Subscribe = %v", err)
		}
		s.publish(s.Bus, topic, "1", "2")
		if a, b := <-got, <-got; a != "1" || b != "2" {
			s.broken("got %s, %s", a, b)
		}
	}},
	{name: "Disconnect", rule: "With Disconnect a handler that does not keep up loses its subscription and is told how much.", run: func(s *suite) {
		topic := newTopic()
		sub, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 3, Overflow: pubsub.Disconnect})
		s.publish(s.Bus, topic, "1")
		r.called(1)
		s.publish(s.Bus, topic, "2", "3", "4", "5")
		_, witness := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "6")
		witness.has("6")
		r.release()
		s.ended(sub, pubsub.ErrSlowConsumer)
		r.has("1", "gap:SlowConsumer:4")
	}},
	{name: "Stalled", rule: "A handler that stands still costs the others nothing.", run: func(s *suite) {
		topic := newTopic()
		_, stalled := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 1})
		_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 1000})
		want := numbers(0, 500)
		s.publish(s.Bus, topic, want...)
		r.has(want...)
		stalled.release()
		if s.features.Replay {
			stalled.has(want...)
			return
		}
		stalled.until("everything", func() bool { return int64(len(stalled.events))+stalled.missed >= 500 })
		if n := int64(len(stalled.events)) + stalled.missed; n != 500 {
			s.broken("%d were received or announced, want 500", n)
		}
	}},
	{name: "Topic", rule: "A Topic carries values.", run: func(s *suite) {
		type order struct{ Number int }
		orders := pubsub.Topic[order]{Name: newTopic(), Type: "placed", Key: func(o order) string { return fmt.Sprint(o.Number) }}
		got := make(chan pubsub.Message[order], 1)
		_, err := s.Subscribe(s.Context(), orders.Name, orders.Handler(func(_ context.Context, m pubsub.Message[order]) error {
			got <- m
			return nil
		}), nil)
		if err != nil {
			s.stop("Subscribe = %v", err)
		}
		s.publish(s.Bus, orders.Name, "not JSON")
		s.wants("Publish of a Topic", orders.Publish(s.Context(), s.Bus, order{42}), nil)
		m := <-got
		if m.Value.Number != 42 || m.Type != "placed" || m.Key != "42" || m.ContentType != "application/json" || string(m.Data) != `{"Number":42}` {
			s.broken("got %+v", m)
		}
	}},
	{name: "Refuse", rule: "What makes no sense is refused.", run: func(s *suite) {
		handler := func(context.Context, pubsub.Event) error { return nil }
		refuses := func(what, topic string, h pubsub.Handler, opts pubsub.SubscribeOptions) {
			s.Helper()
			if sub, err := s.Subscribe(s.Context(), topic, h, &opts); err == nil {
				s.broken("Subscribe %s = nil error", what)
				s.closes(sub)
			}
		}
		refuses("to no topic", "", handler, pubsub.SubscribeOptions{})
		refuses("without a handler", "x", nil, pubsub.SubscribeOptions{})
		refuses("with a negative Buffer", "x", handler, pubsub.SubscribeOptions{Buffer: -1})
		refuses("with a negative Last", "x", handler, pubsub.SubscribeOptions{Last: -1})
		refuses("with two beginnings", "x", handler, pubsub.SubscribeOptions{Last: 1, Since: time.Now()})
		refuses("to a pattern with a beginning", "x*", handler, pubsub.SubscribeOptions{Pattern: true, Last: 1})
		refuses("with no such Overflow", "x", handler, pubsub.SubscribeOptions{Overflow: 9})
		if s.Publish(s.Context(), "", pubsub.Event{}) == nil {
			s.broken("Publish to no topic = nil error")
		}
		if s.Publish(s.Context(), "x", pubsub.Event{Data: make([]byte, pubsub.MaxEvent+1)}) == nil {
			s.broken("Publish of too large an event = nil error")
		}
	}},
}

var noReplayCases = []testCase{
	{name: "DropOldest", rule: "DropOldest drops those that waited longest, and says how many in their place.", run: func(s *suite) {
		topic := newTopic()
		_, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 3})
		s.publish(s.Bus, topic, "1")
		r.called(1)
		s.publish(s.Bus, topic, numbers(2, 9)...)
		_, witness := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "11")
		witness.has("11")
		r.release()
		r.has("1", "gap:SlowConsumer:7", "9", "10", "11")
	}},
	{name: "DropNewest", rule: "DropNewest drops those that arrive, and says how many in their place.", run: func(s *suite) {
		topic := newTopic()
		_, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 3, Overflow: pubsub.DropNewest})
		s.publish(s.Bus, topic, "1")
		r.called(1)
		s.publish(s.Bus, topic, numbers(2, 9)...)
		_, witness := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, "11")
		witness.has("11")
		r.release()
		r.has("1", "2", "3", "4", "gap:SlowConsumer:7")
		s.publish(s.Bus, topic, "12")
		r.has("1", "2", "3", "4", "gap:SlowConsumer:7", "12")
	}},
	{name: "NoHistory", rule: "Where nothing is kept there is nothing to begin with.", run: func(s *suite) {
		handler := func(context.Context, pubsub.Event) error { return nil }
		sub, r := s.subscribe(s.Bus, newTopic(), pubsub.SubscribeOptions{})
		_ = r
		if p := sub.Position(); p != "" {
			s.broken("Position = %q", p)
		}
		for _, o := range []pubsub.SubscribeOptions{{Last: 1}, {Since: time.Now()}, {After: "x.1."}} {
			if _, err := s.Subscribe(s.Context(), newTopic(), handler, &o); err == nil {
				s.broken("Subscribe with %+v = nil error", o)
			}
		}
	}},
}

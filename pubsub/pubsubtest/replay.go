package pubsubtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/freshet-go/freshet/pubsub"
)

var replayCases = []testCase{
	{name: "After", rule: "A subscription after a position has every later event once, whether it was published before or since.", run: func(s *suite) {
		topic := newTopic()
		first, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(s.Bus, topic, numbers(0, 20)...)
		r.has(numbers(0, 20)...)
		s.closes(first)
		for i, e := range r.events {
			_, again := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: e.Position})
			again.has(numbers(i+1, 19-i)...)
		}
		_, last := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: first.Position()})
		s.publish(s.Bus, topic, numbers(20, 20)...)
		last.has(numbers(20, 20)...)
	}},
	{name: "Resume", shared: true, rule: "A position of one bus is good on every other.", run: func(s *suite) {
		topic := newTopic()
		other := s.newBus(s.T)
		sub, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		s.publish(other, topic, numbers(0, 10)...)
		r.has(numbers(0, 10)...)
		s.closes(sub)
		s.publish(s.Bus, topic, numbers(10, 10)...)
		_, r = s.subscribe(other, topic, pubsub.SubscribeOptions{After: sub.Position()})
		s.publish(other, topic, numbers(20, 10)...)
		r.has(numbers(10, 20)...)
	}},
	{name: "Position", rule: "Position is where the subscription began until it has had an event.", run: func(s *suite) {
		topic := newTopic()
		sub, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		fresh := sub.Position()
		if fresh == "" {
			s.broken("Position of a new topic is empty")
		}
		s.publish(s.Bus, topic, "1", "2")
		r.has("1", "2")
		s.closes(sub)
		if p := sub.Position(); p != r.events[1].Position {
			s.broken("Position = %q, want that of the last event, %q", p, r.events[1].Position)
		}
		_, again := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: fresh})
		again.has("1", "2")
		late, _ := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		if p := late.Position(); p != r.events[1].Position {
			s.broken("Position of one that begins now = %q, want %q", p, r.events[1].Position)
		}
	}},
	{name: "PositionFirst", rule: "Position is where the subscription began until the handler has returned for the first time.", run: func(s *suite) {
		for range 20 {
			topic := newTopic()
			var publishing sync.WaitGroup
			publishing.Go(func() {
				for _, text := range numbers(0, 20) {
					if err := s.Publish(s.Context(), topic, pubsub.Event{Data: []byte(text)}); err != nil {
						s.broken("Publish = %v", err)
					}
				}
			})
			sub, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{})
			start := sub.Position()
			publishing.Wait()
			s.publish(s.Bus, topic, "last")
			r.called(1)
			if p := sub.Position(); p != start {
				s.broken("Position = %q while the handler is called, and %q before", p, start)
			}
			r.release()
			_, again := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: start})
			isLast := func(r *received) func() bool {
				return func() bool { return len(r.texts) > 0 && r.texts[len(r.texts)-1] == "last" }
			}
			r.until("the last event", isLast(r))
			again.until("the last event", isLast(again))
			if got, want := fmt.Sprint(again.texts), fmt.Sprint(r.texts); got != want {
				s.broken("after Position %s, and the subscription had %s", got, want)
			}
		}
	}},
	{name: "Last", rule: "Last begins with that many events, or as many as there are.", run: func(s *suite) {
		topic := newTopic()
		_, none := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Last: 5})
		s.publish(s.Bus, topic, numbers(0, 10)...)
		none.has(numbers(0, 10)...)
		for n, want := range map[int][]string{1: numbers(9, 1), 4: numbers(6, 4), 10: numbers(0, 10), 100: numbers(0, 10)} {
			_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Last: n})
			r.has(want...)
		}
	}},
	{name: "Since", rule: "Since begins with what was published then or later.", run: func(s *suite) {
		topic := newTopic()
		begun := time.Now().Add(-time.Hour)
		s.publish(s.Bus, topic, numbers(0, 5)...)
		_, all := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Since: begun})
		all.has(numbers(0, 5)...)
		_, none := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{Since: time.Now().Add(time.Hour)})
		s.publish(s.Bus, topic, "x")
		none.has("x")
		all.has(append(numbers(0, 5), "x")...)
	}},
	{name: "Slow", rule: "A handler that does not keep up has every event all the same.", run: func(s *suite) {
		topic := newTopic()
		for _, policy := range []pubsub.Overflow{pubsub.DropOldest, pubsub.DropNewest} {
			_, r := s.subscribeHeld(s.Bus, topic, pubsub.SubscribeOptions{Buffer: 2, Overflow: policy})
			want := numbers(0, 90)
			s.publish(s.Bus, topic, want...)
			r.release()
			r.has(want...)
			s.publish(s.Bus, topic, "more")
			r.has(append(slices.Clone(want), "more")...)
		}
	}},
	{name: "Storm", rule: "Subscriptions that begin while events are published have each event once and in order.", run: func(s *suite) {
		topic := newTopic()
		first, all := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{})
		start := first.Position()
		const publishers, each = 4, 24 // what must be kept
		var wg sync.WaitGroup
		for i := range publishers {
			wg.Go(func() {
				for n := range each {
					if err := s.Publish(s.Context(), topic, pubsub.Event{Data: []byte(fmt.Sprint(i, n))}); err != nil {
						s.broken("Publish = %v", err)
					}
				}
			})
		}
		var rs []*received
		for range 8 {
			_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: start, Buffer: 4})
			rs = append(rs, r)
		}
		wg.Wait()
		all.until("all events", func() bool { return len(all.texts) >= publishers*each })
		for _, r := range rs {
			r.has(all.texts...)
		}
	}},
	{name: "BadPosition", rule: "What is no position is refused with ErrPosition, and one that is lost is a Reset.", run: func(s *suite) {
		topic := newTopic()
		s.publish(s.Bus, topic, "1")
		handler := func(context.Context, pubsub.Event) error { return nil }
		for _, p := range []string{"x", "a.b.c", "a.-1.", "..", "a.1.2", "a.1.2-3-4", "a.1.x-1", "a.99999999999999999999.", "a\n.1."} {
			_, err := s.Subscribe(s.Context(), topic, handler, &pubsub.SubscribeOptions{After: p})
			s.wants(fmt.Sprintf("Subscribe after %q", p), err, pubsub.ErrPosition)
		}
		_, r := s.subscribe(s.Bus, topic, pubsub.SubscribeOptions{After: "another.7.1-1"})
		r.has("gap:Reset:-1", "1")
		s.publish(s.Bus, topic, "2")
		r.has("gap:Reset:-1", "1", "2")
	}},
}

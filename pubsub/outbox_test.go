package pubsub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestWithdrawn leaves while an event waits for its turn: it is not published, and announced.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			proxy := s.Proxy(t)
			publisher := newBus(t, proxy.Client(t), o)
			led := &ledger{last: map[string]int{}}
			subscribes(t, newBus(t, s.Client(t), o), "topic", led.handle, &SubscribeOptions{OnGap: led.gap})
			publishes(t, publisher, "topic", 1) // with all connections made
			proxy.Blackhole(true)
			first := make(chan error, 1)
			go func() { first <- publisher.Publish(t.Context(), "topic", Event{}) }()
			out := publisher.outboxes[0]
			redistest.Eventually(t, "a batch is under way", func() bool {
				out.mu.Lock()
				defer out.mu.Unlock()
				return out.sending && len(out.queue) == 0
			})
			ctx, cancel := context.WithCancel(t.Context())
			second := make(chan error, 1)
			go func() { second <- publisher.Publish(ctx, "topic", Event{}) }()
			redistest.Eventually(t, "an event waits", func() bool {
				out.mu.Lock()
				defer out.mu.Unlock()
				return len(out.queue) == 1
			})
			cancel()
			if err := <-second; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("Publish = %v, want the context's error alone", err)
			}
			proxy.Blackhole(false)
			if err := <-first; err != nil {
				t.Errorf("Publish = %v", err)
			}
			publishes(t, publisher, "topic", 1)
			redistest.Eventually(t, "the account is right", func() bool {
				led.mu.Lock()
				defer led.mu.Unlock()
				return led.received == 3 && led.missed == 1
			})
			want := fmt.Sprint([]Gap{{"topic", Sequence, 1}})
			if fmt.Sprint(led.gaps) != want {
				t.Errorf("%s", led.summary())
			}
			if o.HistoryLen == 0 {
				return
			}
			later := &ledger{last: map[string]int{}}
			subscribes(t, publisher, "topic", later.handle, &SubscribeOptions{Last: 3, OnGap: later.gap})
			redistest.Eventually(t, "the history is read", func() bool {
				later.mu.Lock()
				defer later.mu.Unlock()
				return later.received == 3
			})
			if fmt.Sprint(later.gaps) != want {
				t.Errorf("from the history: %s", later.summary())
			}
		})
	})
}

// TestUnknownAccounts has a batch whose outcome is not known say that others have failed: the
// next one must say it only if that was not done.
func TestUnknownAccounts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			source := numberSource + publishSource
			if o.HistoryLen > 0 {
				source = numberSource + appendSource
			}
			proxy := s.Proxy(t)
			hasty := o
			hasty.Timeout = 300 * time.Millisecond
			publisher := newBus(t, proxy.Client(t), hasty)
			led := &ledger{last: map[string]int{}}
			subscribes(t, newBus(t, s.Client(t), o), "topic", led.handle, &SubscribeOptions{OnGap: led.gap})
			until := func(what string, publish func() bool) {
				t.Helper()
				redistest.Eventually(t, what, publish)
			}
			attempted := 0
			publish := func() error {
				attempted++
				return publisher.Publish(t.Context(), "topic", Event{Data: fmt.Append(nil, "p ", attempted)})
			}
			until("Publish succeeds", func() bool { return publish() == nil })
			out := publisher.outboxes[0]
			out.mu.Lock()
			out.outgoing("topic").failed += 2
			out.mu.Unlock()
			attempted += 2
			proxy.DropRepliesTo(redistest.Script(source), 1<<20)
			until("an outcome is unknown", func() bool { return errors.Is(publish(), ErrUnknownOutcome) })
			proxy.DropRepliesTo(nil, 0)
			until("Publish succeeds again", func() bool { return publish() == nil })
			redistest.Eventually(t, "all is accounted for", func() bool {
				led.mu.Lock()
				defer led.mu.Unlock()
				return led.received+led.missed >= int64(attempted)
			})
			if led.received+led.missed != int64(attempted) || led.missed < 2 || led.unknown {
				t.Errorf("attempted %d, %s", attempted, led.summary())
			}
		})
	})
}

// TestManyUnknown has the outcome of one batch after the other be unknown. As long as the bus
// remembers them all, what the next success says is exact; then the topic begins anew.
func TestManyUnknown(t *testing.T) {
	t.Parallel()
	for _, batches := range []int{maxUnknown - 1, maxUnknown + 2} {
		both(t, func(t *testing.T, o Options) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				source := numberSource + publishSource
				if o.HistoryLen > 0 {
					source = numberSource + appendSource
				}
				proxy := s.Proxy(t)
				hasty := o
				hasty.Timeout = 12 * time.Millisecond
				bus := newBus(t, proxy.Client(t), hasty)
				l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, []*Redis{bus}, SubscribeOptions{})
				for l.unknowns < int64(batches) {
					proxy.DropRepliesTo(redistest.Script(source), 1<<20)
					l.publish(0)
					proxy.DropRepliesTo(nil, 0)
					redistest.Eventually(t, "the server answers", func() bool {
						return bus.Publish(t.Context(), "another", Event{}) == nil
					})
				}
				l.settle(batches > maxUnknown)
				if led := l.ledgers[0]; led.has(Reset) != (batches > maxUnknown) {
					t.Errorf("after %d batches of unknown outcome: %s", batches, led.summary())
				}
			})
		})
	}
}

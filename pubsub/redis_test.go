package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// discards is a handler that does nothing.
func discards(context.Context, Event) error { return nil }

// subscribes subscribes, and fails the test if that fails.
func subscribes(t testing.TB, b Bus, topic string, h Handler, o *SubscribeOptions) Subscription {
	t.Helper()
	sub, err := b.Subscribe(t.Context(), topic, h, o)
	if err != nil {
		t.Fatalf("Subscribe = %v", err)
	}
	return sub
}

func publishes(t testing.TB, b Bus, topic string, n int) {
	t.Helper()
	for i := range n {
		if err := b.Publish(t.Context(), topic, Event{Data: fmt.Append(nil, i)}); err != nil {
			t.Fatalf("Publish = %v", err)
		}
	}
}

// connections counts those that receive.
func connections(t *testing.T, s *redistest.Server) int {
	t.Helper()
	return strings.Count(s.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string), "id=")
}

// A thousand subscriptions, to a hundred topics and a pattern, are one connection. One whose
// handler stands still costs the others nothing, and none costs a goroutine that waits.
func TestManySubscriptions(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		bus := newBus(t, s.Client(t), Options{})
		var had atomic.Int64
		counts := func(context.Context, Event) error { had.Add(1); return nil }
		release := make(chan struct{})
		var subs []Subscription
		redistest.Together(8, func(int) {
			for i := range 125 {
				sub, err := bus.Subscribe(t.Context(), fmt.Sprint("topic ", i%100), counts, nil)
				if err != nil {
					t.Errorf("Subscribe = %v", err)
				}
				_ = sub
			}
		})
		subs = append(subs, subscribes(t, bus, "topic *", counts, &SubscribeOptions{Pattern: true}))
		subs = append(subs, subscribes(t, bus, "topic 0", func(context.Context, Event) error { <-release; return nil }, &SubscribeOptions{Buffer: 1}))
		defer close(release)
		if n := connections(t, s); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		for i := range 100 {
			publishes(t, bus, fmt.Sprint("topic ", i), 2)
		}
		redistest.Eventually(t, "all have had their events", func() bool { return had.Load() == 2*(1000+100) })
		if n := bus.Stats().Subscriptions; n != int64(1000+len(subs)) {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// The connection goes when the last subscription does, and comes again with the next.
func TestConnectionGoes(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		bus := newBus(t, s.Client(t), Options{})
		for range 3 {
			one := subscribes(t, bus, "topic", discards, nil)
			two := subscribes(t, bus, "top*", discards, &SubscribeOptions{Pattern: true})
			if n := connections(t, s); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			for _, sub := range []Subscription{one, two} {
				if err := sub.Close(t.Context()); err != nil {
					t.Errorf("Close = %v", err)
				}
			}
			redistest.Eventually(t, "there is no connection", func() bool { return connections(t, s) == 0 })
			redistest.Eventually(t, "there is no goroutine", func() bool { return bus.running.Running() == 0 })
		}
	})
}

// Subscriptions that come and go all the time, while others stay, on few topics.
func TestSubscribeRace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		proxy := s.Proxy(t)
		o := Options{Prefix: redistest.Prefix(t)}
		bus, publisher := newBus(t, proxy.Client(t), o), newBus(t, s.Client(t), o)
		rounds := 20
		if redistest.IsLong() {
			rounds = 300
		}
		redistest.Together(4, func(i int) {
			for n := range rounds {
				topic := fmt.Sprint(n % 2)
				got := make(chan string, 100)
				var sub Subscription
				redistest.Eventually(t, "Subscribe succeeds", func() (ok bool) {
					var err error
					sub, err = bus.Subscribe(t.Context(), topic, func(_ context.Context, e Event) error {
						select {
						case got <- e.Key:
						default:
						}
						return nil
					}, &SubscribeOptions{Pattern: i == 3, OnGap: func(context.Context, Gap) {
						select {
						case got <- "gap":
						default:
						}
					}})
					if err != nil && !errors.Is(err, ErrUnavailable) { // the cuts open the breaker
						t.Errorf("Subscribe = %v", err)
					}
					return err == nil
				})
				if (n+i)%4 == 0 { // which finds the others anywhere
					proxy.Cut()
				}
				key := fmt.Sprint(i, n)
				if err := publisher.Publish(t.Context(), topic, Event{Key: key}); err != nil {
					t.Errorf("Publish = %v", err)
					return
				}
				// The event, or the gap in its place, and what others have published.
				timeout := time.After(time.Minute)
				for have := ""; have != key && have != "gap"; {
					select {
					case have = <-got:
					case <-timeout:
						t.Errorf("neither event %s nor a gap", key)
						return
					}
				}
				if n%2 == 0 {
					if err := sub.Close(t.Context()); err != nil {
						t.Errorf("Close = %v", err)
					}
				} else {
					sub.(*subscription).stop(context.Canceled)
				}
			}
		})
	})
}

// A pattern is told that something may be missing when its connection was lost.
func TestPatternReconnect(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		proxy := s.Proxy(t)
		o := Options{Prefix: redistest.Prefix(t)}
		subscriber, publisher := newBus(t, proxy.Client(t), o), newBus(t, s.Client(t), o)
		led := &ledger{last: map[string]int{}}
		subscribes(t, subscriber, "topic*", led.handle, &SubscribeOptions{Pattern: true, OnGap: led.gap})
		l := &load{t: t, topic: "topic 1", buses: []*Redis{publisher}, ledgers: []*ledger{led}, next: []int{0}, quit: make(chan struct{})}
		for range 3 {
			for range 5 {
				l.publish(0)
			}
			proxy.Cut()
			l.start(time.Millisecond)
			l.receives(1)
			l.end()
			l.stop, l.quit = sync.Once{}, make(chan struct{})
		}
		l.settle(true)
		if !led.has(Reconnect) || len(led.wrong) > 0 {
			t.Errorf("%s, %v", led.summary(), led.wrong)
		}
	})
}

// Redis away: Subscribe and Publish say so in time, and go on when it is back.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		proxy := s.Proxy(t)
		var told atomic.Int64
		bus := newBus(t, proxy.Client(t), Options{Prefix: redistest.Prefix(t), Timeout: 200 * time.Millisecond, OnError: func(error) { told.Add(1) }})
		proxy.Refuse(true)
		begun := time.Now()
		if _, err := bus.Subscribe(t.Context(), "topic", discards, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Subscribe = %v, want ErrUnavailable", err)
		}
		if err := bus.Publish(t.Context(), "topic", Event{}); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Publish = %v, want ErrUnavailable", err)
		}
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("they took %v", d)
		}
		if n := told.Load(); n > 2 {
			t.Errorf("OnError was called %d times in an outage", n)
		}
		proxy.Refuse(false)
		redistest.Eventually(t, "Subscribe succeeds", func() bool {
			sub, err := bus.Subscribe(t.Context(), "topic", discards, nil)
			return err == nil && sub.Close(t.Context()) == nil
		})
		redistest.Eventually(t, "Publish succeeds", func() bool { return bus.Publish(t.Context(), "topic", Event{}) == nil })
	})
}

// A user who may not is told so at once.
func TestForbidden(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		as := func(name string, rules ...any) *Redis {
			s.Do(t, append([]any{"ACL", "SETUSER", name, "on", ">secret"}, rules...)...)
			return newBus(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = name, "secret" }), Options{Prefix: name})
		}
		refused := func(call string, err error) {
			t.Helper()
			if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s = %v, want the server's error", call, err)
			}
		}
		for _, bus := range []*Redis{as("no-channels", "~*", "resetchannels", "+@all"), as("no-keys", "resetkeys", "&*", "+@all")} {
			_, err := bus.Subscribe(t.Context(), "topic", discards, nil)
			refused("Subscribe", err)
			refused("Publish", bus.Publish(t.Context(), "topic", Event{}))
		}
		// Who may do what the documentation says can do everything.
		bus := as("least", "resetkeys", "~least:*", "resetchannels", "&least:*", "-@all", "+subscribe", "+psubscribe", "+unsubscribe", "+punsubscribe",
			"+publish", "+evalsha", "+eval", "+hmget", "+hset", "+hlen", "+hgetall", "+hdel", "+pexpire", "+time", "+ping", "+info", "+hello", "+client")
		l := newLoad(t, "topic", []*Redis{bus}, []*Redis{bus}, SubscribeOptions{})
		l.publish(0)
		l.settle(false)
		// Without INFO how much was missed is not known.
		proxy := s.Proxy(t)
		s.Do(t, "ACL", "SETUSER", "least", "-info")
		subscriber := newBus(t, proxy.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "least", "secret" }), Options{Prefix: "least"})
		l = newLoad(t, "topic", []*Redis{subscriber}, []*Redis{bus}, SubscribeOptions{})
		proxy.Refuse(true)
		l.publish(0)
		proxy.Refuse(false)
		l.settle(true)
		if !l.ledgers[0].unknown {
			t.Errorf("%s", l.ledgers[0].summary())
		}
	})
}

// What others put on the channels and into the keys is no event, and stops nothing.
func TestForeign(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			var told atomic.Int64
			o.OnError = func(error) { told.Add(1) }
			bus := newBus(t, s.Client(t), o)
			l := newLoad(t, "topic", []*Redis{bus}, []*Redis{bus}, SubscribeOptions{})
			l.publish(0)
			rdb := s.Client(t)
			say := func(channel, text string) {
				var err error
				if bus.sharded {
					err = rdb.SPublish(t.Context(), channel, text).Err()
				} else {
					err = rdb.Publish(t.Context(), channel, text).Err()
				}
				if err != nil {
					t.Errorf("PUBLISH = %v", err)
				}
			}
			say(bus.channel("topic"), "hello")
			say(bus.channel("topic"), "1 e 0 - 1 1 p:1 -\nhello")
			say(bus.markChannel(bus.partition("topic")), "1 2 3")
			say(bus.markChannel(bus.partition("topic")), "")
			if o.HistoryLen > 0 {
				if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: bus.historyKey("topic"), Values: []any{"a", "b", "c", "d"}}).Err(); err != nil {
					t.Error(err)
				}
			}
			for range 10 {
				l.publish(0)
			}
			l.settle(false)
			redistest.Eventually(t, "OnError was told", func() bool { return told.Load() >= 2 && bus.Stats().Malformed >= 2 })
			if o.HistoryLen == 0 {
				return
			}
			again := &ledger{last: map[string]int{}}
			subscribes(t, bus, "topic", again.handle, &SubscribeOptions{Last: 1000, OnGap: again.gap})
			l.ledgers = append(l.ledgers, again)
			l.settle(false)
			if err := rdb.Del(t.Context(), bus.topicKey("other")).Err(); err != nil {
				t.Error(err)
			}
			if err := rdb.Set(t.Context(), bus.topicKey("other"), "x", 0).Err(); err != nil {
				t.Error(err)
			}
			if err := bus.Publish(t.Context(), "other", Event{}); err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("Publish to what is no topic = %v", err)
			}
		})
	})
}

// Publishers that have gone are forgotten, and those that are there are not.
func TestPublishersForgotten(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			bus := newBus(t, s.Client(t), o)
			publishes(t, bus, "topic", 1)
			rdb, key := s.Client(t), bus.topicKey("topic")
			fields := []any{}
			for i := range 100 {
				when := time.Now()
				if i%2 == 0 {
					when = when.Add(-2 * time.Hour)
				}
				fields = append(fields, fmt.Sprint("pOTHER", i), fmt.Sprint("1 ", when.UnixMilli()))
			}
			if err := rdb.HSet(t.Context(), key, fields...).Err(); err != nil {
				t.Fatal(err)
			}
			publishes(t, bus, "topic", 70)
			if n := rdb.HLen(t.Context(), key).Val(); n != 4+1+50 {
				t.Errorf("%d fields, want 55", n)
			}
			if ttl := rdb.PTTL(t.Context(), key).Val(); ttl < time.Minute {
				t.Errorf("the topic's TTL is %v", ttl)
			}
			if o.HistoryLen > 0 {
				if ttl := rdb.PTTL(t.Context(), bus.historyKey("topic")).Val(); ttl < time.Hour || ttl > defaultHistoryFor {
					t.Errorf("the history's TTL is %v", ttl)
				}
			}
		})
	})
}

// Close drains, bounded by its context, and what comes after it is refused.
func TestClose(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		bus := newBus(t, s.Client(t), Options{Prefix: redistest.Prefix(t)})
		var had atomic.Int64
		release := make(chan struct{})
		slow := subscribes(t, bus, "topic", func(context.Context, Event) error { <-release; had.Add(1); return nil }, nil)
		quick := subscribes(t, bus, "topic", discards, nil)
		publishes(t, bus, "topic", 10)
		redistest.Eventually(t, "all has arrived", func() bool { return bus.Stats().Received == 10 && bus.Stats().Delivered >= 11 })
		done := make(chan error, 1)
		go func() { done <- bus.Close(t.Context()) }()
		<-quick.Done()
		if err := quick.Err(); err != ErrClosed {
			t.Errorf("Err = %v, want ErrClosed", err)
		}
		if err := bus.Publish(t.Context(), "topic", Event{}); err != ErrClosed {
			t.Errorf("Publish = %v, want ErrClosed", err)
		}
		if _, err := bus.Subscribe(t.Context(), "topic", discards, nil); err != ErrClosed {
			t.Errorf("Subscribe = %v, want ErrClosed", err)
		}
		close(release)
		if err := <-done; err != nil || had.Load() != 10 {
			t.Errorf("Close = %v after %d events, want 10", err, had.Load())
		}
		<-slow.Done()
		if err := bus.Close(t.Context()); err != nil {
			t.Errorf("Close again = %v", err)
		}

		bus = newBus(t, s.Client(t), Options{Prefix: redistest.Prefix(t)})
		entered := make(chan struct{})
		stuck := subscribes(t, bus, "topic", func(ctx context.Context, _ Event) error {
			close(entered)
			<-ctx.Done()
			return nil
		}, nil)
		publishes(t, bus, "topic", 2)
		<-entered
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := bus.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v, want its context's error", err)
		}
		<-stuck.Done()
	})
}

// A panic is OnError's, and the next event follows. So is one that ends the goroutine.
func TestHandlerPanics(t *testing.T) {
	t.Parallel()
	told := make(chan error, 10)
	m, err := NewMemory(&Options{OnError: func(err error) { told <- err }})
	if err != nil {
		t.Fatal(err)
	}
	had := make(chan string, 10)
	sub := subscribes(t, m, "topic", func(_ context.Context, e Event) error {
		had <- string(e.Data)
		switch string(e.Data) {
		case "0":
			panic("boo")
		case "1":
			return errors.New("no")
		}
		return nil
	}, nil)
	publishes(t, m, "topic", 3)
	for i := range 3 {
		if got := <-had; got != fmt.Sprint(i) {
			t.Errorf("event %s, want %d", got, i)
		}
	}
	if err := <-told; !strings.Contains(err.Error(), "boo") || !strings.Contains(err.Error(), "redis_test.go") {
		t.Errorf("OnError was told %v", err)
	}
	if err := <-told; err.Error() != "no" {
		t.Errorf("OnError was told %v", err)
	}
	if err := sub.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := m.Stats().Failed; n != 2 {
		t.Errorf("Failed = %d, want 2", n)
	}
}

// A publisher's trace goes with the event.
func TestTraceParent(t *testing.T) {
	t.Parallel()
	type key struct{}
	m, err := NewMemory(&Options{TraceParent: func(ctx context.Context) string { s, _ := ctx.Value(key{}).(string); return s }})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 2)
	subscribes(t, m, "topic", func(_ context.Context, e Event) error { got <- e.TraceParent; return nil }, nil)
	ctx := context.WithValue(t.Context(), key{}, "from the context")
	for _, own := range []string{"", "own"} {
		if err := m.Publish(ctx, "topic", Event{TraceParent: own}); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := <-got, <-got; a != "from the context" || b != "own" {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]Options{
		"Prefix":     {Prefix: "a b"},
		"HistoryLen": {HistoryLen: -1},
		"HistoryFor": {HistoryFor: -1},
	} {
		if _, err := NewMemory(&o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("NewMemory(%+v) = %v, want an error that names %s", o, err, field)
		}
	}
	if _, err := NewMemory(&Options{HistoryFor: time.Microsecond}); err == nil {
		t.Error("a HistoryFor of a microsecond was taken")
	}
	for _, c := range []struct {
		o      Options
		length int
		keep   time.Duration
	}{
		{Options{}, 0, 0},
		{Options{HistoryLen: 5}, 5, defaultHistoryFor},
		{Options{HistoryFor: time.Hour}, defaultHistoryLen, time.Hour},
		{Options{HistoryFor: time.Hour, HistoryLen: -1}, 0, time.Hour},
		{Options{HistoryFor: -1, HistoryLen: 5}, 5, 0},
	} {
		s, err := newSettings(&c.o)
		if err != nil || s.HistoryLen != c.length || s.HistoryFor != c.keep || s.replayable != (c.length+int(c.keep) > 0) {
			t.Errorf("newSettings(%+v) = %+v, %v", c.o, s, err)
		}
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("New(nil) = nil error")
	}
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	if _, err := New(ring, nil); err == nil {
		t.Error("New of a ring = nil error")
	}
}

// TestCosts counts the round trips of what the Cost: lines describe.
func TestCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			rdb := s.Client(t)
			counter := redistest.Count(t, rdb)
			bus := newBus(t, rdb, o)
			publish := func() []int {
				counter.Reset()
				publishes(t, bus, "topic", 1)
				return []int{counter.RoundTrips()}
			}
			publish() // the server gets the script
			redistest.CheckCosts(t, []string{"Redis"}, map[string]func() []int{"Redis.Publish": publish}, func() {})
		})
	})
}

package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// roles are processes that are killed. Each is told the URL of a server, a prefix and the
// HistoryLen, and the one that subscribes a position.
var (
	publisherRole  = redistest.Role{Env: "FRESHET_PUBSUB_PUBLISHER", Run: publishUntilKilled}
	subscriberRole = redistest.Role{Env: "FRESHET_PUBSUB_SUBSCRIBER", Run: subscribeUntilKilled}
)

// rolesBus is the bus of a process, and what else it is told.
func rolesBus(arg string) (bus *Redis, rest string) {
	var url string
	var o Options
	_, err := fmt.Sscan(arg, &url, &o.Prefix, &o.HistoryLen)
	if err == nil {
		rest = strings.Join(strings.Fields(arg)[3:], " ")
		o.Timeout = 20 * time.Second
		rdb, clientErr := redistest.ClientFromURL(url)
		if err = clientErr; err == nil {
			bus, err = New(rdb, &o)
		}
	}
	dies(err)
	return bus, rest
}

// dies ends a process that cannot go on.
func dies(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// publishUntilKilled publishes numbered events, four at a time, and says each whose Publish
// has succeeded.
func publishUntilKilled(arg string) {
	bus, _ := rolesBus(arg)
	redistest.Ready()
	redistest.Together(4, func(i int) {
		for n := 1; ; n++ {
			text := fmt.Sprintf("%d/%d %d", os.Getpid(), i, n)
			dies(bus.Publish(context.Background(), "topic", Event{Data: []byte(text)}))
			fmt.Println(text)
		}
	})
}

// subscribeUntilKilled says what it receives, each event with its position.
func subscribeUntilKilled(arg string) {
	bus, after := rolesBus(arg)
	redistest.Ready()
	_, err := bus.Subscribe(context.Background(), "topic", func(_ context.Context, e Event) error {
		fmt.Println(string(e.Data), e.Position) // at once or not at all
		return nil
	}, &SubscribeOptions{After: after, Buffer: 16, OnGap: func(_ context.Context, g Gap) { fmt.Println("error", g) }})
	dies(err)
	select {}
}

// TestPublisherKilled kills processes that publish: what Publish has succeeded for was
// received, nothing is doubled, and that they are gone is no gap.
func TestPublisherKilled(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			led := &ledger{last: map[string]int{}}
			subscribes(t, newBus(t, s.Client(t), o), "topic", led.handle, &SubscribeOptions{Buffer: 1 << 20, OnGap: led.gap})
			for range runs(4) {
				p := publisherRole.Start(t, fmt.Sprintln(s.URL(), o.Prefix, o.HistoryLen))
				p.Begin()
				acked := map[string]int{}
				left := 1 + rand.IntN(500)
				for line := range p.Lines {
					publisher, number, _ := strings.Cut(line, " ")
					n, err := strconv.Atoi(number)
					if err != nil {
						t.Fatalf("a process said %q", line)
					}
					acked[publisher] = n
					if left--; left == 0 {
						if err := p.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				redistest.Eventually(t, "what was published has arrived", func() bool {
					led.mu.Lock()
					defer led.mu.Unlock()
					for publisher, n := range acked {
						if led.last[publisher] < n {
							return false
						}
					}
					return true
				})
			}
			led.mu.Lock()
			defer led.mu.Unlock()
			numbered := int64(0)
			for _, n := range led.last {
				numbered += int64(n)
			}
			if led.received != numbered || len(led.wrong)+len(led.gaps) > 0 {
				t.Errorf("received %d of %d, doubled or out of order: %v, gaps: %v", led.received, numbered, led.wrong, led.gaps)
			}
		})
	})
}

// TestSubscriberKilled kills a process that subscribes again and again, each time at some
// event: the next one goes on there, and every event was received once and in order.
func TestSubscriberKilled(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		o := Options{Prefix: redistest.Prefix(t), HistoryLen: 100_000}
		bus := newBus(t, s.Client(t), o)
		first := subscribes(t, bus, "topic", discards, nil)
		var published, stop atomic.Int64
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for n := int64(1); stop.Load() == 0; n++ {
				if err := bus.Publish(t.Context(), "topic", Event{Data: strconv.AppendInt(nil, n, 10)}); err != nil {
					t.Errorf("Publish = %v", err)
					return
				}
				published.Store(n)
				time.Sleep(time.Millisecond) // or the history is full before a slow process is there
			}
		})
		t.Cleanup(func() {
			stop.Store(1)
			publishing.Wait()
		})
		position, had := first.Position(), int64(0)
		kills := runs(2)
		for run := range kills + 1 { // the last one reads on to the end
			p := subscriberRole.Start(t, fmt.Sprintln(s.URL(), o.Prefix, o.HistoryLen, position))
			p.Begin()
			until := had + 1 + rand.Int64N(200)
			if run == kills {
				stop.Store(1)
				publishing.Wait()
				until = published.Load()
			}
			for line := range p.Lines {
				number, at, _ := strings.Cut(line, " ")
				if number != strconv.FormatInt(had+1, 10) {
					t.Fatalf("after %d a process said %q", had, line)
				}
				had, position = had+1, at
				if had == until {
					if err := p.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if n := published.Load(); had != n {
			t.Errorf("received %d of %d", had, n)
		}
	})
}

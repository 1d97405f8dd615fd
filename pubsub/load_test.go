package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// newBus returns a bus that the test closes.
func newBus(t testing.TB, rdb redis.UniversalClient, opts Options) *Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 20 * time.Second
	}
	r, err := New(rdb, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return r
}

// asPromised has a bus be as impatient as outside of tests.
func asPromised(r *Redis) *Redis {
	r.answer = promised
	return r
}

// ledger is the account of one subscription: every event of the load is numbered by its
// publisher, and is either received or announced.
type ledger struct {
	mu       sync.Mutex
	last     map[string]int // of each publisher
	received int64
	missed   int64
	gaps     []Gap
	unknown  bool // a gap was of unknown size
	wrong    []string
	latest   time.Time // when an event came
}

func (l *ledger) handle(_ context.Context, e Event) error {
	publisher, number, _ := strings.Cut(string(e.Data), " ")
	n, _ := strconv.Atoi(number)
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.last[publisher]; n <= last {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %d after %d", publisher, n, last))
	}
	l.last[publisher] = n
	l.received++
	l.latest = time.Now()
	return nil
}

func (l *ledger) gap(_ context.Context, g Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps = append(l.gaps, g)
	if g.Missed < 0 {
		l.unknown = true
		return
	}
	l.missed += g.Missed
}

// summary says what happened.
func (l *ledger) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("received %d, announced %d, in %d gaps: %v", l.received, l.missed, len(l.gaps), l.gaps[:min(len(l.gaps), 20)])
}

// has reports whether a gap of one of these reasons was announced.
func (l *ledger) has(reasons ...GapReason) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.gaps, func(g Gap) bool { return slices.Contains(reasons, g.Reason) })
}

// load is publishers at work, and subscriptions that keep account.
type load struct {
	t       *testing.T
	topic   string
	buses   []*Redis
	ledgers []*ledger
	subs    []Subscription

	stop sync.Once
	quit chan struct{}
	done sync.WaitGroup

	mu        sync.Mutex
	next      []int // number of each bus
	attempted int64
	failures  int64
	unknowns  int64
}

// newLoad makes subscriptions on one bus each; their accounts begin before anything is
// published.
func newLoad(t *testing.T, topic string, subscribers, publishers []*Redis, o SubscribeOptions) *load {
	t.Helper()
	l := &load{t: t, topic: topic, buses: publishers, next: make([]int, len(publishers)), quit: make(chan struct{})}
	for _, bus := range subscribers {
		led := &ledger{last: map[string]int{}}
		o.OnGap = led.gap
		sub, err := bus.Subscribe(t.Context(), topic, led.handle, &o)
		if err != nil {
			t.Fatalf("Subscribe = %v", err)
		}
		l.ledgers, l.subs = append(l.ledgers, led), append(l.subs, sub)
	}
	return l
}

// start has every publisher publish, with a pause after each event, until end.
func (l *load) start(pause time.Duration) {
	for i := range l.buses {
		l.done.Go(func() {
			for {
				select {
				case <-l.quit:
					return
				case <-time.After(pause):
					l.publish(i)
				}
			}
		})
	}
	l.t.Cleanup(l.end)
}

func (l *load) end() {
	l.stop.Do(func() { close(l.quit) })
	l.done.Wait()
}

// publish publishes the next event of a publisher, and reports whether that went well.
func (l *load) publish(i int) bool {
	l.mu.Lock()
	l.next[i]++
	n := l.next[i]
	l.attempted++
	l.mu.Unlock()
	err := l.buses[i].Publish(context.Background(), l.topic, Event{Data: []byte(fmt.Sprintf("p%d %d", i, n))})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrUnknownOutcome):
		l.unknowns++
	case errors.Is(err, ErrUnavailable):
		l.failures++
	default:
		l.t.Errorf("Publish = %v, want ErrUnavailable or ErrUnknownOutcome", err)
	}
	return false
}

// settle ends the load, publishes what shows the last gaps, and compares: what was received
// and what was announced are together what was attempted. If a gap may be of unknown size,
// and one is, no more than that was received.
func (l *load) settle(mayBeUnknown bool) {
	l.t.Helper()
	l.end()
	deadline := time.Now().Add(time.Minute)
	for {
		all := true
		for i := range l.buses {
			all = l.publish(i) && all
		}
		if all && l.balances(mayBeUnknown) {
			break
		}
		if time.Now().After(deadline) {
			for _, led := range l.ledgers {
				l.t.Errorf("attempted %d (%d failed, %d unknown), %s", l.attempted, l.failures, l.unknowns, led.summary())
			}
			break
		}
	}
	for _, led := range l.ledgers {
		led.mu.Lock()
		if len(led.wrong) > 0 {
			l.t.Errorf("doubled or out of order: %v", led.wrong[:min(len(led.wrong), 10)])
		}
		if led.unknown && !mayBeUnknown {
			l.t.Errorf("a gap of unknown size: %v", led.gaps)
		}
		led.mu.Unlock()
	}
}

// balances waits a moment for the accounts to be right.
func (l *load) balances(mayBeUnknown bool) bool {
	for range 100 {
		right := true
		for _, led := range l.ledgers {
			led.mu.Lock()
			if led.unknown && mayBeUnknown {
				for i, n := range l.next {
					right = right && led.last["p"+strconv.Itoa(i)] == n
				}
				right = right && led.received+led.missed <= l.attempted
			} else {
				right = right && led.received+led.missed == l.attempted
			}
			led.mu.Unlock()
		}
		if right {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// runs is how often a fault is tried in one of several settings, such as topologies: so
// often that there are five runs in all of them together, or a hundred.
func runs(settings int) int {
	all := 5
	if redistest.IsLong() {
		all = 100
	}
	return (all + settings - 1) / settings
}

// receives waits until every ledger has had some more events.
func (l *load) receives(n int64) {
	l.t.Helper()
	for i, led := range l.ledgers {
		led.mu.Lock()
		have := led.received
		led.mu.Unlock()
		redistest.Eventually(l.t, fmt.Sprintf("subscription %d has had %d more events", i, n), func() bool {
			led.mu.Lock()
			defer led.mu.Unlock()
			return led.received >= have+n
		})
	}
}

// fails waits until Publish has failed some more times.
func (l *load) fails(n int64) {
	l.t.Helper()
	failed := func() int64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.failures + l.unknowns
	}
	before := failed()
	redistest.Eventually(l.t, "Publish has failed", func() bool { return failed() >= before+n })
}

func contains(s, part string) bool { return strings.Contains(s, part) }

package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/drain"
)

// base is what every bus is made of.
type base struct {
	o       *settings
	name    string // Event.Publisher
	n       counters
	running *drain.Group // publishes, subscriptions and connections

	mu   sync.Mutex
	subs map[*subscription]struct{}

	away  atomic.Bool   // OnError knows that Redis is away
	turns chan struct{} // to read from the history: not a thousand at once
}

// nameLength makes publishers' names and epochs of 65 random bits.
const nameLength = 13

func newBase(o *settings) *base {
	return &base{
		o: o, name: rand.Text()[:nameLength], running: drain.New(),
		subs:  make(map[*subscription]struct{}),
		turns: make(chan struct{}, 16),
	}
}

// enter takes on a subscription that has a feed, after running.Enter; left takes it off,
// before running.Done.
func (b *base) enter(s *subscription) {
	b.mu.Lock()
	b.subs[s] = struct{}{}
	b.mu.Unlock()
	b.n.subscriptions.Add(1)
	if b.running.IsClosed() { // close may have missed it
		s.end(ErrClosed)
	}
}

func (b *base) left(s *subscription) {
	b.mu.Lock()
	delete(b.subs, s)
	b.mu.Unlock()
	b.n.subscriptions.Add(-1)
}

// each calls f for every subscription.
func (b *base) each(f func(*subscription)) {
	b.mu.Lock()
	all := make([]*subscription, 0, len(b.subs))
	for s := range b.subs {
		all = append(all, s)
	}
	b.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}

// close lets nobody enter, and drains the subscriptions.
func (b *base) close(ctx context.Context) error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.running.Close(over) // only closes the door
	b.each(func(s *subscription) { s.end(ErrClosed) })
	err := b.running.Close(ctx)
	if err != nil {
		b.each(func(s *subscription) { s.stop(ErrClosed) })
	}
	return err
}

// report tells OnError.
func (b *base) report(err error) {
	if b.o.OnError != nil {
		b.o.OnError(err)
	}
}

// unreachable tells OnError that Redis is away, once until reached.
func (b *base) unreachable(err error) {
	if !errors.Is(err, context.Canceled) && !b.away.Swap(true) {
		b.report(fmt.Errorf("pubsub: subscriptions: %w", err))
	}
}

func (b *base) reached() {
	if b.away.Load() {
		b.away.Store(false)
	}
}

// takeTurn waits for a turn to read from the history, or for ctx, and reports which.
func (b *base) takeTurn(ctx context.Context) bool {
	select {
	case b.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *base) endTurn() { <-b.turns }

// complete fills in what a publisher may leave out.
func (b *base) complete(ctx context.Context, topic string, e *Event) error {
	if topic == "" {
		return errEmptyTopic
	}
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.TraceParent == "" && b.o.TraceParent != nil {
		e.TraceParent = b.o.TraceParent(ctx)
	}
	if size := e.size(); size > MaxEvent {
		return fmt.Errorf("pubsub: an event of %d bytes is larger than MaxEvent", size)
	}
	return nil
}

// MaxEvent is how large an event may be, all fields taken together: a server closes the
// connections of subscribers that are too many bytes behind.
const MaxEvent = 4 << 20

func (e *Event) size() int {
	return len(e.ID) + len(e.Type) + len(e.Key) + len(e.ContentType) + len(e.TraceParent) + len(e.Data)
}

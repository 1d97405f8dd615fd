package pubsub

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
)

// sseTopic is a topic that clients have: a subscription of the bus, and the latest messages.
// Clients read them from there, each at its own speed, so that none of them costs memory or
// has to be waited for.
type sseTopic struct {
	s      *SSE
	name   string
	mark   string
	cancel context.CancelFunc // ends the subscription, also one that is being made
	refs   int                // guarded by SSE.mu

	opened chan struct{} // closed when the following are known
	sub    Subscription
	err    error
	live   bool // not replayable

	mu       sync.Mutex
	start    string // where a client is who has yet to have all messages; empty: nowhere
	base     tally  // of what came before them
	messages []*message
	first    uint64            // the number of messages[0], counted from 0
	size     int               // of the messages
	index    map[string]uint64 // by position, the number of the message after it
	waiting  []*place          // those who have had all
	woken    []*place          // is used again
}

// maxTopicSize is how many bytes of messages are kept, or one message.
const maxTopicSize = 8 << 20

// enter returns the topic, and begins to subscribe to it if nobody has.
func (s *SSE) enter(name string) *sseTopic {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		ctx, cancel := context.WithCancel(context.Background())
		t = &sseTopic{
			s: s, name: name, mark: topicMark(name), cancel: cancel,
			opened: make(chan struct{}), index: make(map[string]uint64),
		}
		s.topics[name] = t
		s.n.topics.Add(1)
		s.running.Add()
		go t.open(ctx)
	}
	t.refs++
	return t
}

// leave undoes enter. When it returns to the last, the subscription is over.
func (s *SSE) leave(t *sseTopic) {
	s.mu.Lock()
	t.refs--
	last := t.refs == 0
	s.mu.Unlock()
	if !last {
		return
	}
	s.forget(t)
	t.cancel()
	<-t.opened
	if t.sub != nil {
		<-t.sub.Done()
	}
}

// forget has the next client begin anew.
func (s *SSE) forget(t *sseTopic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[t.name] == t {
		delete(s.topics, t.name)
		s.n.topics.Add(-1)
	}
}

// open subscribes, whatever becomes of the client that was the first to want it.
func (t *sseTopic) open(ctx context.Context) {
	defer t.s.running.Done()
	defer close(t.opened)
	if t.s.running.IsClosed() { // Close may have missed the topic
		t.cancel()
	}
	sub, err := t.s.bus.Subscribe(ctx, t.name, t.event, &SubscribeOptions{Buffer: t.s.o.Buffer, OnGap: t.gap})
	if err != nil {
		if ctx.Err() != nil && t.s.running.IsClosed() {
			err = ErrClosed
		}
		t.err = err
		t.s.forget(t)
		return
	}
	t.sub = sub
	// The handler has not returned yet, so this is before its first event.
	if t.start = sub.Position(); t.start == "" {
		t.live = true
		t.start = "~" + strconv.FormatUint(rand.Uint64(), 36)
	}
	t.index[t.start] = 0
}

// isOpen waits until the subscription is there.
func (t *sseTopic) isOpen(ctx context.Context) bool {
	select {
	case <-t.opened:
		return true
	case <-ctx.Done():
		return false
	}
}

// event takes an event from the bus.
func (t *sseTopic) event(ctx context.Context, e Event) error {
	if !t.isOpen(ctx) {
		return nil
	}
	encoded := false
	defer func() {
		if !encoded { // by a panic
			t.gap(ctx, Gap{t.name, Sequence, 1})
		}
	}()
	m := t.encode(&e)
	encoded = true
	var seen tally
	if m.text != nil {
		seen.events = 1
	}
	t.add(m, seen)
	return nil
}

// encode makes the message of an event.
func (t *sseTopic) encode(e *Event) *message {
	pos := e.Position
	if t.live {
		pos = livePosition(e)
	}
	name, data, ok := t.s.o.Encode(*e)
	if !ok {
		return &message{pos: pos}
	}
	return encodeMessage(t.mark, pos, name, data)
}

// gap takes a gap from the bus.
func (t *sseTopic) gap(ctx context.Context, g Gap) {
	if t.isOpen(ctx) {
		t.add(encodeGap(g, ""), tally{}.with(g))
	}
}

// add adds a message, and wakes those who wait for one.
func (t *sseTopic) add(m *message, more tally) {
	t.mu.Lock()
	at, sum := t.head()
	if m.gap {
		m.pos = at
	} else {
		t.index[m.pos] = t.end() + 1
	}
	m.sum = tally{sum.events + more.events, sum.missed + more.missed, sum.unknown + more.unknown}
	t.messages = append(t.messages, m)
	t.size += len(m.text)
	for len(t.messages) > t.s.o.Buffer || t.size > maxTopicSize && len(t.messages) > 1 {
		t.drop()
	}
	woken := t.waiting
	t.waiting = t.woken[:0]
	for _, p := range woken {
		p.waits = -1
	}
	t.mu.Unlock()
	for i, p := range woken {
		p.c.rouse()
		woken[i] = nil
	}
	t.woken = woken // messages come one after the other
}

// drop forgets the oldest message; t.mu is held.
func (t *sseTopic) drop() {
	m := t.messages[0]
	t.messages[0] = nil
	t.messages = t.messages[1:]
	t.size -= len(m.text)
	if next, ok := t.index[t.start]; ok && next == t.first {
		delete(t.index, t.start)
	}
	t.first++
	t.base = m.sum
	t.start = m.pos
	if m.gap {
		t.start = "" // who is there has yet to be told of the gap
	}
}

// end is the number of the message that is yet to come; t.mu is held.
func (t *sseTopic) end() uint64 { return t.first + uint64(len(t.messages)) }

// head is where a client is who has had all messages; t.mu is held.
func (t *sseTopic) head() (pos string, sum tally) {
	if n := len(t.messages); n > 0 {
		return t.messages[n-1].pos, t.messages[n-1].sum
	}
	return t.start, t.base
}

// join has a place go on with the next message that is added.
func (t *sseTopic) join(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.next = t.end()
	p.pos, p.sum = t.head()
}

// find has a place go on after a position, if the message after it is known.
func (t *sseTopic) find(p *place, pos string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, ok := t.index[pos]
	if !ok {
		return false
	}
	p.next, p.pos, p.sum = next, pos, t.base
	if next > t.first {
		p.sum = t.messages[next-t.first-1].sum
	}
	return true
}

// errLagged: the messages that a place is to read next are gone.
var errLagged = errors.New("pubsub: a client lags behind")

// read returns what a place is to read next, or has it woken when there is something.
func (t *sseTopic) read(p *place, into []*message) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.next < t.first {
		return 0, errLagged
	}
	n := copy(into, t.messages[p.next-t.first:])
	if n == 0 && p.waits < 0 {
		p.waits = len(t.waiting)
		t.waiting = append(t.waiting, p)
	}
	return n, nil
}

// skip has a place go on with the oldest message, and returns the gap.
func (t *sseTopic) skip(p *place) Gap {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := Gap{t.name, SlowConsumer, t.base.since(p.sum)}
	p.next, p.sum = t.first, t.base
	return g
}

// unwait has a place not be woken.
func (t *sseTopic) unwait(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.waits < 0 {
		return
	}
	last := len(t.waiting) - 1
	t.waiting[p.waits] = t.waiting[last]
	t.waiting[p.waits].waits = p.waits
	t.waiting[last] = nil
	t.waiting = t.waiting[:last]
	p.waits = -1
}

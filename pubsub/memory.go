package pubsub

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"
)

var _ Bus = (*Memory)(nil)

// Memory is a bus within this process that does what [*Redis] does, its history included:
// for tests, and for programs that are one process. It is safe for concurrent use.
//
// It remembers the number of every topic that was published to, and its history.
type Memory struct {
	*base
	epoch string

	topicsMu sync.RWMutex // after the feed's of a topic, before that of a pattern
	topics   map[string]*memoryTopic
	patterns map[string]*feed
}

type memoryTopic struct {
	feed *feed
	log  []entry // guarded by feed.mu
}

// NewMemory returns a bus without Redis.
func NewMemory(opts *Options) (*Memory, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	return &Memory{
		base: newBase(o), epoch: rand.Text()[:nameLength],
		topics: make(map[string]*memoryTopic), patterns: make(map[string]*feed),
	}, nil
}

// Publish puts the event into the buffers of its subscriptions.
//
// Errors: ErrClosed; the context's.
func (m *Memory) Publish(ctx context.Context, topic string, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.complete(ctx, topic, &e); err != nil {
		return err
	}
	if !m.running.Enter() {
		return ErrClosed
	}
	defer m.running.Done()
	e.Data = bytes.Clone(e.Data)
	e.Time = time.UnixMicro(e.Time.UnixMicro()).UTC()
	e.Topic, e.Publisher, e.Position = topic, m.name, ""
	t := m.topic(topic)
	f := t.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.at
	f.at.n++
	f.at.tag = strconv.FormatUint(f.at.n, 10)
	e.Seq = f.at.n
	if m.o.replayable {
		f.at.id = t.nextID(time.Now())
		e.Position = f.at.String()
		t.log = append(t.log, entry{at: f.at, prev: before.n, prevTag: before.tag, event: &e})
		t.trim(m.o)
	}
	events := []*Event{&e}
	f.offer(events, f.at)
	m.n.published.Add(1)
	m.n.received.Add(1)
	m.topicsMu.RLock()
	defer m.topicsMu.RUnlock()
	for pattern, p := range m.patterns {
		if match(pattern, topic) {
			p.mu.Lock()
			p.offer(events, position{})
			p.mu.Unlock()
		}
	}
	return nil
}

// Subscribe subscribes to a topic or a pattern.
//
// Errors: ErrPosition; ErrClosed; the context's.
func (m *Memory) Subscribe(ctx context.Context, topic string, h Handler, opts *SubscribeOptions) (Subscription, error) {
	o, err := subscribeSettings(topic, h, opts, m.o.replayable)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !m.running.Enter() {
		return nil, ErrClosed
	}
	s := newSubscription(ctx, m.base, topic, h, o)
	if o.Pattern {
		s.feed = m.pattern(topic)
	} else {
		s.feed = m.topic(topic).feed
	}
	m.enter(s)
	s.feed.mu.Lock()
	s.attach(s.feed)
	s.feed.mu.Unlock()
	if err := s.begin(ctx); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// Close ends the bus: Publish and Subscribe return ErrClosed, subscriptions end with it
// when their handlers have had what has arrived. It returns when all have, or with the
// context's error when ctx ends first; what is left is then dropped. Closing again waits
// again.
func (m *Memory) Close(ctx context.Context) error { return m.close(ctx) }

func (m *Memory) topic(name string) *memoryTopic {
	m.topicsMu.RLock()
	t := m.topics[name]
	m.topicsMu.RUnlock()
	if t != nil {
		return t
	}
	m.topicsMu.Lock()
	defer m.topicsMu.Unlock()
	if t = m.topics[name]; t == nil {
		t = &memoryTopic{feed: &feed{name: name, at: position{epoch: m.epoch}}}
		if m.o.replayable {
			t.feed.history = m
		}
		m.topics[name] = t
	}
	return t
}

func (m *Memory) pattern(name string) *feed {
	m.topicsMu.Lock()
	defer m.topicsMu.Unlock()
	f := m.patterns[name]
	if f == nil {
		f = &feed{name: name, pattern: true}
		m.patterns[name] = f
	}
	return f
}

// nextID makes ids as a stream does: the time, and a number within the millisecond.
func (t *memoryTopic) nextID(now time.Time) string {
	ms, seq := now.UnixMilli(), int64(0)
	if lastMs, lastSeq := splitID(t.feed.at.id); ms <= lastMs {
		ms, seq = lastMs, lastSeq+1
	}
	return strconv.FormatInt(ms, 10) + "-" + strconv.FormatInt(seq, 10)
}

// trim forgets what is too much or too old, but not the latest event.
func (t *memoryTopic) trim(o *settings) {
	drop := 0
	if o.HistoryLen > 0 {
		drop = max(0, len(t.log)-o.HistoryLen)
	}
	if o.HistoryFor > 0 {
		oldest := time.Now().Add(-o.HistoryFor).UnixMilli()
		for drop < len(t.log)-1 && msOf(t.log[drop].at.id) < oldest {
			drop++
		}
	}
	if drop > 0 {
		t.log = slices.Delete(t.log, 0, drop)
	}
}

func (m *Memory) page(_ context.Context, topic, from string, most int) (page, error) {
	t := m.topic(topic)
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	i, _ := slices.BinarySearchFunc(t.log, from, func(e entry, id string) int { return compareIDs(e.at.id, id) })
	end := min(len(t.log), i+most)
	return page{high: t.feed.at, entries: slices.Clone(t.log[i:end]), more: end < len(t.log)}, nil
}

func (m *Memory) oldest(_ context.Context, topic string) (e entry, ok bool, err error) {
	t := m.topic(topic)
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	if len(t.log) == 0 {
		return e, false, nil
	}
	return t.log[0], true, nil
}

func (m *Memory) back(_ context.Context, topic string, when time.Time, n int) (e entry, found int, err error) {
	t := m.topic(topic)
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	end := len(t.log)
	for !when.IsZero() && end > 0 && msOf(t.log[end-1].at.id) >= when.UnixMilli() {
		end--
	}
	if found = min(n, end); found > 0 {
		e = t.log[end-found]
	}
	return e, found, nil
}

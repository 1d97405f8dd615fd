package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// listener receives what the topics of one partition, or of all, are told. It has a
// connection as long as somebody subscribes, and after any trouble with it the next one: see
// session.
type listener struct {
	r    *Redis
	part int

	mu       sync.Mutex // before a feed's
	channels map[channelName]*channel
	fresh    []*channel    // not subscribed to yet
	dropped  []channelName // to be unsubscribed from
	due      []*channel    // whose place is to be found out
	running  bool
	cause    error         // why there is no connection
	wake     chan struct{} // something has changed
}

// channelName tells channels from patterns.
type channelName struct {
	pattern bool
	name    string
}

// channel is something to subscribe to: that of a topic, a pattern, or where all topics of
// a partition are.
type channel struct {
	channelName
	topic string // of which it is the channel; empty: of many
	feed  *feed  // of the topic or the pattern; nil: of all

	// Guarded by listener.mu.
	refs      int
	sent      bool // by this session
	confirmed bool
	lived     bool // confirmed by an earlier one
	isDue     bool
	waiting   []*ticket
	heard     time.Time // of the topic
}

// ticket is a subscription that waits for the server to confirm.
type ticket struct {
	sub  *subscription
	left int // confirmations, with several listeners; guarded by Redis.patternsMu
	done chan error
}

func newListener(r *Redis, part int) *listener {
	return &listener{r: r, part: part, channels: make(map[channelName]*channel), wake: make(chan struct{}, 1)}
}

// enlist gives a new subscription its feed, and a ticket.
func (r *Redis) enlist(s *subscription) *ticket {
	t := &ticket{sub: s, left: 1, done: make(chan error, 1)}
	if s.opts.Pattern {
		r.enlistPattern(s, t)
		return t
	}
	l := r.listeners[0]
	if r.sharded {
		l = r.listeners[r.partition(s.topic)]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := channelName{name: r.channel(s.topic)}
	c := l.channels[name]
	if c == nil {
		f := &feed{name: s.topic, batches: make(batches)}
		if r.o.replayable {
			f.history = r
		}
		c = &channel{channelName: name, topic: s.topic, feed: f}
		f.release = func() { l.release(c) }
	}
	s.feed = c.feed
	l.add(c, t)
	return t
}

// enlistPattern has every listener subscribe to a pattern, or to all topics.
func (r *Redis) enlistPattern(s *subscription, t *ticket) {
	r.patternsMu.Lock()
	f := r.patterns[s.topic]
	if f == nil {
		f = &feed{name: s.topic, pattern: true, topics: make(map[string]position)}
		f.release = func() { r.releasePattern(f) }
		r.patterns[s.topic] = f
	}
	f.refs++
	t.left = len(r.listeners)
	r.patternsMu.Unlock()
	s.feed = f
	for _, l := range r.listeners {
		l.mu.Lock()
		name := l.patternChannel(f)
		c := l.channels[name]
		if c == nil {
			c = &channel{channelName: name, feed: f}
			if r.sharded {
				c.feed = nil
			}
		}
		l.add(c, t)
		l.mu.Unlock()
	}
}

func (r *Redis) releasePattern(f *feed) {
	r.patternsMu.Lock()
	if f.refs--; f.refs == 0 {
		delete(r.patterns, f.name)
	}
	r.patternsMu.Unlock()
	for _, l := range r.listeners {
		l.mu.Lock()
		c := l.channels[l.patternChannel(f)]
		l.mu.Unlock()
		l.release(c)
	}
}

// patternChannel is what a pattern's events are to be had from.
func (l *listener) patternChannel(f *feed) channelName {
	if l.r.sharded {
		return channelName{name: l.r.allChannel(l.part)}
	}
	part := "0"
	if l.r.cluster != nil {
		part = "*"
	}
	var b strings.Builder
	for _, c := range []byte(l.r.o.Prefix) {
		if strings.IndexByte(`*?[]\^-`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return channelName{pattern: true, name: b.String() + ":event:{" + part + "}:" + f.name}
}

// topicOf is the topic of a channel, if it is one's.
func (r *Redis) topicOf(channel string) (topic string, ok bool) {
	rest, ok := strings.CutPrefix(channel, r.o.Prefix+":event:{")
	if !ok {
		return "", false
	}
	part, topic, ok := strings.Cut(rest, "}:")
	return topic, ok && topic != "" && part == strconv.Itoa(r.partition(topic))
}

// add counts a subscription to a channel, and starts what there is to start; l.mu is held.
func (l *listener) add(c *channel, t *ticket) {
	if c.refs == 0 {
		l.channels[c.channelName] = c
		l.fresh = append(l.fresh, c)
	}
	c.refs++
	c.waiting = append(c.waiting, t)
	if c.confirmed {
		l.serve(c)
	}
	if !l.running {
		l.running = true
		l.r.running.Add()
		go l.run()
	}
	l.rouse()
}

// release counts one off.
func (l *listener) release(c *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.refs--; c.refs > 0 {
		return
	}
	delete(l.channels, c.channelName)
	if c.sent {
		l.dropped = append(l.dropped, c.channelName)
	}
	l.rouse()
}

func (l *listener) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// serve sees to it that those who wait for a confirmed channel get what they wait for: for
// a topic its place, else that is all; l.mu is held.
func (l *listener) serve(c *channel) {
	if c.topic != "" {
		l.setDue(c)
		return
	}
	for _, t := range c.waiting {
		l.r.patternConfirmed(t)
	}
	c.waiting = nil
}

func (l *listener) setDue(c *channel) {
	if !c.isDue {
		c.isDue = true
		l.due = append(l.due, c)
	}
}

// patternConfirmed takes the confirmation of one listener.
func (r *Redis) patternConfirmed(t *ticket) {
	r.patternsMu.Lock()
	t.left--
	last := t.left == 0
	r.patternsMu.Unlock()
	if !last {
		return
	}
	f := t.sub.feed
	f.mu.Lock()
	t.sub.attach(f)
	f.mu.Unlock()
	t.done <- nil
}

const (
	// reconnectPause lies between attempts to connect, doubling from the first to the
	// second, and as much again at random.
	minReconnectPause, maxReconnectPause = 10 * time.Millisecond, 500 * time.Millisecond
)

// run has one session after the other while there is something to subscribe to.
func (l *listener) run() {
	defer l.r.running.Done()
	pause := minReconnectPause
	for {
		l.mu.Lock()
		if len(l.channels) == 0 {
			l.running = false
			l.dropped = nil
			l.mu.Unlock()
			return
		}
		s := newSession(l)
		l.mu.Unlock()
		err := s.serve()
		l.abandon(s, err)
		if err == nil {
			continue
		}
		if s.worked {
			pause = minReconnectPause
			l.r.n.reconnects.Add(1)
		}
		l.r.unreachable(err)
		l.r.relocate()
		l.rest(pause + rand.N(pause))
		pause = min(2*pause, maxReconnectPause)
	}
}

// abandon forgets what a session has achieved.
func (l *listener) abandon(s *session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh, l.due, l.dropped, l.cause = nil, nil, nil, err
	for _, m := range s.marks {
		if m.channel != nil {
			m.channel.waiting = append(m.channel.waiting, m.tickets...)
		}
	}
	clear(s.marks)
	for _, c := range l.channels {
		c.lived = c.lived || c.confirmed
		c.sent, c.confirmed, c.isDue = false, false, false
		l.fresh = append(l.fresh, c)
		if c.topic != "" {
			c.feed.down()
		}
		if err != nil && isForbidden(err) {
			for _, t := range c.waiting {
				t.fail(fmt.Errorf("pubsub: %w", err))
			}
			c.waiting = nil
		}
	}
}

func (t *ticket) fail(err error) {
	select {
	case t.done <- err:
	default: // another listener has
	}
}

// isForbidden reports whether connecting again will not help.
func isForbidden(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS")
}

// relocateSpacing lies between the reloads of a cluster's slots.
const relocateSpacing = 300 * time.Millisecond

// relocate has a cluster client find out where the slots are: by itself it does so once a
// minute. It does not wait, since the client may ask a node that hangs.
func (r *Redis) relocate() {
	now, last := time.Now().UnixNano(), r.relocated.Load()
	if r.cluster == nil || now-last < int64(relocateSpacing) || !r.relocated.CompareAndSwap(last, now) {
		return
	}
	go func() { // ends with the client's own timeouts
		_ = r.cluster.ForEachMaster(context.Background(), func(context.Context, *redis.Client) error { return nil })
	}()
}

// rest waits, but no longer than there is something to subscribe to.
func (l *listener) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-l.wake:
			l.mu.Lock()
			idle := len(l.channels) == 0
			l.mu.Unlock()
			if idle {
				return
			}
		}
	}
}

package pubsub

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// This is the receiving end of a session.

// read receives until the connection is closed or fails.
func (s *session) read() {
	for {
		// No timeout: one in the middle of a message would tear it apart.
		m, err := s.ps.ReceiveTimeout(gone, 0)
		if err != nil {
			s.fail(err)
			return
		}
		s.heard.Store(int64(time.Since(s.begun)))
		switch m := m.(type) {
		case *redis.Message:
			s.message(m)
		case *redis.Subscription:
			s.confirm(m)
		}
	}
}

// confirm takes the confirmation of a subscription or of its end.
func (s *session) confirm(m *redis.Subscription) {
	kind := strings.TrimPrefix(m.Kind, "s")
	if m.Kind == "subscribe" {
		kind = m.Kind
	}
	name := channelName{pattern: kind[0] == 'p', name: m.Channel}
	subscribed := strings.HasSuffix(kind, "subscribe") && !strings.HasSuffix(kind, "unsubscribe")
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	s.since = time.Now()
	waiting := s.expected[name]
	if len(waiting) == 0 || waiting[0].subscribe != subscribed {
		s.fail(fmt.Errorf("%w: %s", errUnsubscribed, m.Kind))
		return
	}
	if len(waiting) == 1 {
		delete(s.expected, name)
	} else {
		s.expected[name] = waiting[1:]
	}
	c := waiting[0].channel
	if c == nil || c.refs == 0 {
		return
	}
	c.confirmed = true
	if c.topic == "" && c.lived {
		l.r.patternsInterrupted(c.feed)
	}
	l.serve(c)
	l.rouse()
}

// message takes a message.
func (s *session) message(m *redis.Message) {
	l, r := s.l, s.l.r
	if m.Pattern != "" {
		topic, ok := r.topicOf(m.Channel)
		l.mu.Lock()
		c := l.channels[channelName{true, m.Pattern}]
		if ok {
			s.parts[r.partition(topic)] = time.Now()
		}
		l.mu.Unlock()
		if ok && c != nil && match(c.feed.name, topic) {
			r.arrived(c.feed, topic, m.Payload)
		}
		return
	}
	l.mu.Lock()
	c := l.channels[channelName{name: m.Channel}]
	if c == nil {
		l.mu.Unlock()
		if m.Channel == r.markChannel(l.part) {
			s.marked(m.Payload)
		}
		return
	}
	now := time.Now()
	topic, payload, ok := c.topic, m.Payload, true
	if topic == "" {
		topic, payload, ok = cutTopic(m.Payload)
	} else {
		c.heard = now
	}
	if ok {
		s.parts[r.partition(topic)] = now
	}
	l.mu.Unlock()
	switch {
	case !ok:
		r.malformed()
	case c.feed != nil:
		r.arrived(c.feed, topic, payload)
	default:
		r.patternsMu.Lock()
		var feeds []*feed
		for _, f := range r.patterns {
			if match(f.name, topic) {
				feeds = append(feeds, f)
			}
		}
		r.patternsMu.Unlock()
		for _, f := range feeds {
			r.arrived(f, topic, payload)
		}
	}
}

// cutTopic takes apart what arrives on the channel of all topics.
func cutTopic(s string) (topic, frame string, ok bool) {
	length, rest, ok := strings.Cut(s, " ")
	n, err := strconv.ParseUint(length, 10, 31)
	if !ok || err != nil || n == 0 || n > uint64(len(rest)) {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

package pubsub

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// session is one connection to receive on. One goroutine reads and never waits for anybody;
// another sends, watches the time, and ends the session at the first sign of trouble:
//
//   - an error, or that the server unsubscribes of its own accord, as when a slot moves;
//   - silence: no answer to a PING (a connection that is half open), or no mark (one to a
//     node that is not the master any more);
//   - no confirmation.
type session struct {
	l      *listener
	ps     *redis.PubSub
	worked bool // it was connected

	begun  time.Time
	heard  atomic.Int64 // when anything was, since begun
	pinged time.Time    // zero: answered
	failed chan error

	// Guarded by l.mu.
	expected map[channelName][]expectation
	since    time.Time // nothing expected has come
	marks    map[string]*mark
	marking  bool
	parts    map[int]time.Time // when something was heard of a partition
}

// expectation is a confirmation that is to come.
type expectation struct {
	subscribe bool
	channel   *channel // nil: nobody's
}

const (
	// tick is how often the time is looked at.
	tick = 250 * time.Millisecond
	// silence is when a connection is asked whether it is still there, and pathSilence
	// when a partition is; Redis.answer is what the answer may take. Together with a tick
	// they are less than five seconds.
	silence, pathSilence = time.Second, 2 * time.Second
	// remark is when the place of a quiet topic is found out again, so that Redis does
	// not forget a topic that somebody subscribes to.
	remark = topicTTL / 6
	// markBatch is how many marks are sent in one round trip, and probes how many topics
	// of a partition are asked for when it is silent.
	markBatch, probes = 64, 16
)

// answerTime is the Redis.answer of a new bus. Tests that are about something else change it:
// where a machine stands still for so long, events are announced and not delivered.
var answerTime = 2 * time.Second

var (
	errSilent       = errors.New("pubsub: the connection is half open")
	errNoMarks      = errors.New("pubsub: what is published does not arrive")
	errUnconfirmed  = errors.New("pubsub: the server did not confirm a subscription")
	errUnsubscribed = errors.New("pubsub: the server has ended a subscription")
)

// gone is a context that has ended. A redis.PubSub connects again whenever it likes, but not
// with this one; to read and write it has no use for a context without a deadline.
var gone = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func newSession(l *listener) *session {
	return &session{
		l: l, failed: make(chan error, 1), begun: time.Now(), since: time.Now(),
		expected: make(map[channelName][]expectation), marks: make(map[string]*mark), parts: make(map[int]time.Time),
	}
}

// serve receives until something goes wrong, or there is nothing more to receive.
func (s *session) serve() error {
	s.ps = s.l.r.rdb.Subscribe(context.Background())
	defer s.ps.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.l.r.answer)
	defer cancel()
	control := channelName{name: s.l.r.markChannel(s.l.part)}
	s.expect(control, nil, true)
	if err := s.subscribe(ctx, control.name); err != nil {
		return err
	}
	s.worked = true
	s.heard.Store(int64(time.Since(s.begun)))
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read()
	}()
	defer func() { // the reader ends when the connection is closed
		s.ps.Close()
		<-read
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		idle, err := s.advance()
		if idle || err != nil {
			return err
		}
		select {
		case err := <-s.failed:
			return err
		case <-s.l.wake:
		case <-ticker.C:
			if err := s.check(time.Now()); err != nil {
				return err
			}
		}
	}
}

func (s *session) subscribe(ctx context.Context, names ...string) error {
	if s.l.r.sharded {
		return s.ps.SSubscribe(ctx, names...)
	}
	return s.ps.Subscribe(ctx, names...)
}

func (s *session) unsubscribe(name channelName) error {
	switch {
	case name.pattern:
		return s.ps.PUnsubscribe(gone, name.name)
	case s.l.r.sharded:
		return s.ps.SUnsubscribe(gone, name.name)
	}
	return s.ps.Unsubscribe(gone, name.name)
}

// expect notes a confirmation that is to come.
func (s *session) expect(name channelName, c *channel, subscribe bool) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.expectLocked(name, c, subscribe)
}

func (s *session) expectLocked(name channelName, c *channel, subscribe bool) {
	if len(s.expected) == 0 {
		s.since = time.Now()
	}
	s.expected[name] = append(s.expected[name], expectation{subscribe, c})
}

// advance sends what there is to send. It reports whether nobody subscribes any more.
func (s *session) advance() (idle bool, err error) {
	l := s.l
	l.mu.Lock()
	if len(l.channels) == 0 {
		l.mu.Unlock()
		return true, nil
	}
	dropped := l.dropped
	for _, name := range dropped {
		s.expectLocked(name, nil, false)
	}
	var names, patterns []string
	for _, c := range l.fresh {
		if c.refs == 0 {
			continue
		}
		c.sent = true
		s.expectLocked(c.channelName, c, true)
		if c.pattern {
			patterns = append(patterns, c.name)
		} else {
			names = append(names, c.name)
		}
	}
	l.dropped, l.fresh = nil, nil
	marks := s.takeMarks()
	l.mu.Unlock()
	for _, name := range dropped {
		if err := s.unsubscribe(name); err != nil {
			return false, err
		}
	}
	for len(names) > 0 {
		n := min(len(names), 256)
		if err := s.subscribe(gone, names[:n]...); err != nil {
			return false, err
		}
		names = names[n:]
	}
	if len(patterns) > 0 {
		if err := s.ps.PSubscribe(gone, patterns...); err != nil {
			return false, err
		}
	}
	if len(marks) > 0 {
		l.r.running.Add()
		go s.sendMarks(marks)
	}
	return false, nil
}

// check looks at the time.
func (s *session) check(now time.Time) error {
	l := s.l
	heard := s.begun.Add(time.Duration(s.heard.Load()))
	switch {
	case !s.pinged.IsZero() && heard.After(s.pinged):
		s.pinged = time.Time{}
	case !s.pinged.IsZero() && now.Sub(s.pinged) > s.l.r.answer:
		return errSilent
	case s.pinged.IsZero() && now.Sub(heard) > silence:
		s.pinged = now
		if err := s.ps.Ping(gone); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(s.expected) > 0 && now.Sub(s.since) > l.r.answer {
		return errUnconfirmed
	}
	asked := make(map[int]bool)
	for _, m := range s.marks {
		if !m.sent.IsZero() && now.Sub(m.sent) > l.r.answer {
			return errNoMarks
		}
		asked[m.part] = true
	}
	if !s.marking {
		s.probe(now, asked)
	}
	return nil
}

// fail ends the session.
func (s *session) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

package pubsub

import "time"

// This is how a subscription that is behind reads on from the history.

const (
	// catchUpPause is how long a subscription waits that is behind and finds nothing new,
	// or no server: from the first to the second, doubling.
	minCatchUpPause, maxCatchUpPause = 5 * time.Millisecond, 500 * time.Millisecond
)

// catchUp delivers a page of the history, and rejoins the feed if that was the last. It
// returns how long to wait if the next call achieves nothing.
func (s *subscription) catchUp(pause time.Duration) time.Duration {
	marks := s.feed.marksSeen()
	s.mu.Lock()
	at := s.at
	s.mu.Unlock()
	items, end, err := s.readOn(at)
	if err != nil {
		s.bus.unreachable(err)
		return s.rest(pause)
	}
	for _, it := range items {
		if !s.wants() {
			return 0
		}
		if it.event == nil {
			s.bus.n.missed(it.gap)
		}
		s.deliver(it)
	}
	s.mu.Lock()
	s.at = end
	s.mu.Unlock()
	if s.feed.rejoin(s, marks) || end != at {
		return 0
	}
	return s.rest(pause) // the feed knows of something that the history does not, or the reverse
}

// readOn reads the next page.
func (s *subscription) readOn(at position) ([]item, position, error) {
	if !s.bus.takeTurn(s.ctx) {
		return nil, at, s.ctx.Err()
	}
	defer s.bus.endTurn()
	h := s.feed.history
	p, err := h.page(s.ctx, s.topic, at.id, s.most)
	if err != nil {
		return nil, at, err
	}
	s.most = nextPage(s.most, p)
	return follow(s.topic, at, p, s.read, func(e entry) (bool, error) {
		first, ok, err := h.oldest(s.ctx, s.topic) // which may have been trimmed too by now
		return !ok || compareIDs(first.at.id, e.at.id) >= 0, err
	})
}

// wants reports whether the handler is to be called with what is read from the history.
func (s *subscription) wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ending
}

// rest waits, unless the subscription is ended meanwhile. It returns the next pause.
func (s *subscription) rest(pause time.Duration) time.Duration {
	pause = min(max(2*pause, minCatchUpPause), maxCatchUpPause)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for s.wants() {
		select {
		case <-timer.C:
			return pause
		case <-s.nudge:
		}
	}
	return pause
}

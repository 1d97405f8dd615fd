package pubsub

import (
	"slices"
	"sync"
)

// feed hands the events of one topic, or of one pattern, to this process's subscriptions.
type feed struct {
	name    string // the topic or pattern
	pattern bool
	history history // nil: none

	release func() // called once for every subscription that has ended; or nil

	mu   sync.Mutex // before that of a subscription
	subs []*subscription
	at   position // of the latest event

	// What the rest is about is in arrive.go; Memory has no use for it.
	up      bool                // it has what arrives
	course  string              // of the latest mark
	marks   uint64              // so many there were
	batches batches             // that have arrived
	topics  map[string]position // of a pattern
	refs    int                 // of a pattern; guarded by Redis.patternsMu
}

// remove takes a subscription away that has ended.
func (f *feed) remove(s *subscription) {
	f.mu.Lock()
	if i := slices.Index(f.subs, s); i >= 0 {
		f.subs = slices.Delete(f.subs, i, i+1)
	}
	f.mu.Unlock()
	if f.release != nil {
		f.release()
	}
}

// rejoin lets a subscription that is behind have the events that arrive from now on, if it
// has had all that have arrived so far, and has read that after the latest of so many marks.
// It may be ahead: then what it has had is yet to arrive.
func (f *feed) rejoin(s *subscription, marks uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.epoch != f.at.epoch || s.at.n < f.at.n || marks != f.marks {
		return false
	}
	s.behind = false
	return true
}

// marksSeen is how many marks there were.
func (f *feed) marksSeen() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks
}

// offer hands events to all; f.mu is held.
func (f *feed) offer(events []*Event, at position) {
	for _, s := range f.subs {
		s.mu.Lock()
		s.offer(events, at)
		s.mu.Unlock()
	}
}

// missed announces a gap to all; f.mu is held.
func (f *feed) missed(g Gap) {
	for _, s := range f.subs {
		s.mu.Lock()
		if !s.ending {
			s.missed(g)
		}
		s.mu.Unlock()
	}
}

// missedAfter announces a gap after an event to those that have had it as it arrived; f.mu is
// held. The others find the gap in the history.
func (f *feed) missedAfter(at position, g Gap) {
	for _, s := range f.subs {
		s.mu.Lock()
		had := f.history == nil || !s.behind && s.at.epoch == at.epoch && s.at.n <= at.n
		if had && !s.ending {
			s.missed(g)
		}
		s.mu.Unlock()
	}
}

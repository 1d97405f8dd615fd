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

	mu   sync.Mutex // before that of a subscription
	subs []*subscription
	at   position // of the latest event
}

// remove takes a subscription away that has ended.
func (f *feed) remove(s *subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.subs, s); i >= 0 {
		f.subs = slices.Delete(f.subs, i, i+1)
	}
}

// rejoin lets a subscription that is behind have the events that arrive from now on, if
// it has had all that have arrived so far.
func (f *feed) rejoin(s *subscription) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.epoch != f.at.epoch || s.at.n < f.at.n {
		return false
	}
	s.behind = false
	return true
}

// offer hands events to all; f.mu is held.
func (f *feed) offer(events []Event, at position) {
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

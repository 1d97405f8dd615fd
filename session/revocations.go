package session

import (
	"sync"
	"time"
)

// revocations are the latest that this process has made itself. What is read after
// RevokeUser has returned is surely younger, which no clock could tell so soon after.
type revocations struct {
	mu sync.Mutex
	of map[string]revocation // by user
}

type revocation struct {
	at    string // server time, µs, as it stands in the list
	known time.Time
}

const (
	keptRevocations = 1000        // at most
	revocationAge   = time.Minute // after which it can be told by the clocks
)

func (r *revocations) add(user, at string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.of == nil {
		r.of = make(map[string]revocation)
	}
	if len(r.of) >= keptRevocations {
		for u, old := range r.of {
			if now.Sub(old.known) > revocationAge {
				delete(r.of, u)
			}
		}
	}
	for u := range r.of {
		if len(r.of) < keptRevocations {
			break
		}
		delete(r.of, u)
	}
	r.of[user] = revocation{at, now}
}

// before returns the latest revocation of a user if it is surely from before a moment,
// else "".
func (r *revocations) before(user string, moment time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.of[user]; ok && moment.After(last.known) {
		return last.at
	}
	return ""
}

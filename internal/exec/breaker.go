package exec

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// breakerTrips is how many connection failures in a row open a breaker.
	breakerTrips = 3
	// probeSpacing lies between probes that fail at once (a refused port).
	probeSpacing = 25 * time.Millisecond
	// probeHangs is when a probe that does not come back is followed by
	// another. A hanging probe occupies a connection until the client's read
	// timeout, so there are few of them.
	probeHangs = 750 * time.Millisecond
)

// epoch is some moment, from which the monotonic clock is counted.
var epoch = time.Now()

// breaker is the memory of a node's health. It is open from the third
// connection failure in a row until a command or a probe is answered in time.
// It has no goroutine: a call that finds it open fails, and starts a probe if
// one is due.
type breaker struct {
	failures atomic.Int32
	answered atomic.Int64 // when a command was last, in nanoseconds since epoch; zero: none yet

	mu    sync.Mutex
	cause error     // of the latest failure
	next  time.Time // when the next probe is due
}

func (b *breaker) isOpen() bool { return b.failures.Load() >= breakerTrips }

// succeeded takes that a command or a probe was answered in time.
func (b *breaker) succeeded() {
	b.answered.Store(int64(time.Since(epoch)))
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

// abandoned takes that a caller left after the given wait without an answer. If
// others had one in the meantime it was the connection, or what was asked for.
func (b *breaker) abandoned(waited time.Duration) (blamed bool) {
	if last := time.Duration(b.answered.Load()); last != 0 && time.Since(epoch)-last < waited/2 {
		return false
	}
	b.failed(errNoAnswer)
	return true
}

func (b *breaker) failed(cause error) {
	b.mu.Lock()
	b.cause = cause
	b.mu.Unlock()
	b.failures.Add(1)
}

// why returns the cause of the latest failure.
func (b *breaker) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}

// probeNow makes a probe due: something was heard of the node.
func (b *breaker) probeNow() {
	b.mu.Lock()
	b.next = time.Time{}
	b.mu.Unlock()
}

// claimProbe reports whether a probe is due, which the caller must then start.
func (b *breaker) claimProbe() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Before(b.next) {
		return false
	}
	b.next = now.Add(probeHangs)
	return true
}

// probed takes the outcome of a probe that took d and may take limit.
func (b *breaker) probed(err error, d, limit time.Duration) {
	if err == nil && d <= limit {
		b.succeeded()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.cause = err
	}
	// A late answer means that the node is back, perhaps: ask again soon.
	if next := time.Now().Add(probeSpacing); next.Before(b.next) {
		b.next = next
	}
}

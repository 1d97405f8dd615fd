package exec

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock estimates a node's time from replies that carried it. The server read
// its clock between the sending and the receiving of the command, so every
// reply bounds the difference to the local monotonic clock from both sides.
type clock struct {
	mu     sync.Mutex // of those who change it
	sample atomic.Pointer[sample]
}

// sample is what one reply said.
type sample struct {
	server         time.Time
	sent, received time.Time // around it
}

const (
	// sampleAge is how long a tight sample is kept though newer, looser ones
	// arrive. It bounds the drift between the two clocks.
	sampleAge = 10 * time.Second
	// sampleDue is when a sample should be replaced, since the server's clock may
	// have been set or another server may have taken its place.
	sampleDue = 30 * time.Second
)

func (c *clock) observe(server, sent, received time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sample.Load(); s != nil {
		tighter := received.Sub(sent) <= s.received.Sub(s.sent)
		old := received.Sub(s.received) > sampleAge
		// A clock that was set, or another server behind the same name.
		moved := server.Before(s.server.Add(sent.Sub(s.received))) || server.After(s.server.Add(received.Sub(s.sent)))
		if moved && received.Before(s.received) {
			return // from before the clock was set, observed late
		}
		if !tighter && !old && !moved {
			return
		}
	}
	c.sample.Store(&sample{server, sent, received})
}

// at bounds the server's time at a moment.
func (c *clock) at(t time.Time) (earliest, latest time.Time, ok bool) {
	s := c.sample.Load()
	if s == nil {
		return earliest, latest, false
	}
	return s.server.Add(t.Sub(s.received)), s.server.Add(t.Sub(s.sent)), true
}

// due reports whether the clock should be observed again.
func (c *clock) due() bool {
	s := c.sample.Load()
	return s == nil || time.Since(s.received) > sampleDue
}

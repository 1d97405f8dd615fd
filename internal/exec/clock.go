package exec

import (
	"sync"
	"time"
)

// clock estimates a node's time from replies that carried it. The server read
// its clock between the sending and the receiving of the command, so every
// reply bounds the difference to the local monotonic clock from both sides.
type clock struct {
	mu             sync.Mutex
	server         time.Time // what a reply said; zero: nothing known
	sent, received time.Time // around that reply
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
	if !c.server.IsZero() {
		tighter := received.Sub(sent) <= c.received.Sub(c.sent)
		old := received.Sub(c.received) > sampleAge
		// A clock that was set, or another server behind the same name.
		moved := server.Before(c.server.Add(sent.Sub(c.received))) || server.After(c.server.Add(received.Sub(c.sent)))
		if moved && received.Before(c.received) {
			return // from before the clock was set, observed late
		}
		if !tighter && !old && !moved {
			return
		}
	}
	c.server, c.sent, c.received = server, sent, received
}

// now bounds the server's time at this moment.
func (c *clock) now() (earliest, latest time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server.IsZero() {
		return earliest, latest, false
	}
	t := time.Now()
	return c.server.Add(t.Sub(c.received)), c.server.Add(t.Sub(c.sent)), true
}

// due reports whether the clock should be observed again.
func (c *clock) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server.IsZero() || time.Since(c.received) > sampleDue
}

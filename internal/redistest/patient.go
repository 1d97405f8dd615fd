package redistest

import (
	"net"
	"sync"
)

// patientConn is a pipe that takes all that is written at once, as a socket does
// with its buffers. On a bare pipe a client that writes a pipeline and a server
// that answers its first command would wait for each other.
type patientConn struct {
	net.Conn

	mu     sync.Mutex
	queue  []byte
	closed bool
	filled chan struct{} // has a token when queue or closed has changed
}

func newPatientConn(pipe net.Conn) *patientConn {
	c := &patientConn{Conn: pipe, filled: make(chan struct{}, 1)}
	go c.carry()
	return c
}

func (c *patientConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.queue = append(c.queue, p...)
	c.wake()
	return len(p), nil
}

func (c *patientConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.wake()
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *patientConn) wake() {
	select {
	case c.filled <- struct{}{}:
	default:
	}
}

// carry writes what was taken until the connection is closed or broken.
func (c *patientConn) carry() {
	for range c.filled {
		c.mu.Lock()
		p, closed := c.queue, c.closed
		c.queue = nil
		c.mu.Unlock()
		if closed {
			return
		}
		if _, err := c.Conn.Write(p); err != nil {
			_ = c.Close() // a reader learns of it
			return
		}
	}
}

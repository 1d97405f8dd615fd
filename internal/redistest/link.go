package redistest

import (
	"net"
	"sync"
	"time"
)

// link carries the bytes of one direction of a connection, as late as the
// proxy's faults say. It takes everything at once and keeps it.
type link struct {
	p    *Proxy
	done <-chan struct{} // closed when the connection is

	mu     sync.Mutex
	queue  []chunk
	ended  bool          // no more chunks will come
	filled chan struct{} // has a token when queue or ended has changed
}

type chunk struct {
	bytes []byte
	due   time.Time
}

func newLink(p *Proxy, done <-chan struct{}) *link {
	return &link{p: p, done: done, filled: make(chan struct{}, 1)}
}

// send takes bytes, which the link then owns.
func (l *link) send(bytes []byte) {
	now, _ := l.p.current()
	l.mu.Lock()
	l.queue = append(l.queue, chunk{bytes, time.Now().Add(now.delay)})
	l.mu.Unlock()
	l.wake()
}

// end says that no more bytes will come.
func (l *link) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wake()
}

func (l *link) wake() {
	select {
	case l.filled <- struct{}{}:
	default:
	}
}

// deliver writes what was sent to dst until the link ends, with true, or the
// connection is closed or broken.
func (l *link) deliver(dst net.Conn) bool {
	for {
		fault, changed := l.p.current()
		bytes, wait, ended := l.next(fault)
		switch {
		case len(bytes) > 0:
			if _, err := dst.Write(bytes); err != nil {
				return false
			}
			if fault.rate > 0 && !l.pace(len(bytes), fault.rate) {
				return false
			}
		case ended:
			return true
		default:
			if !l.sleep(wait, changed) {
				return false
			}
		}
	}
}

// next takes what may be written now. If that is nothing, it returns how long
// to wait for the next chunk, or -1 for as long as it takes; ended is true if
// there is none to come.
func (l *link) next(f fault) (bytes []byte, wait time.Duration, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.blackhole {
		return nil, -1, false
	}
	if len(l.queue) == 0 {
		return nil, -1, l.ended
	}
	now := time.Now()
	if wait := l.queue[0].due.Sub(now); wait > 0 {
		return nil, wait, false
	}
	if f.rate > 0 {
		// A fiftieth of a second's worth at a time makes an even flow.
		first := &l.queue[0]
		n := min(len(first.bytes), max(1, f.rate/50))
		bytes, first.bytes = first.bytes[:n], first.bytes[n:]
		if len(first.bytes) == 0 {
			l.queue = l.queue[1:]
		}
		return bytes, 0, false
	}
	// All that is due in one write, so that a pipeline stays one.
	for len(l.queue) > 0 && l.queue[0].due.Compare(now) <= 0 {
		bytes = append(bytes, l.queue[0].bytes...)
		l.queue = l.queue[1:]
	}
	return bytes, 0, false
}

// sleep waits until there may be something to do; false if the connection is
// closed. A negative wait has no end.
func (l *link) sleep(wait time.Duration, changed <-chan struct{}) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-l.filled:
	case <-changed:
	case <-timeout:
	case <-l.done:
		return false
	}
	return true
}

// pace waits for the time that n bytes take at a rate.
func (l *link) pace(n, rate int) bool {
	timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(rate))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

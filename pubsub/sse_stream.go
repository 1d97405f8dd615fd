package pubsub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// sseStream is a response. One goroutine writes to it, and another may cut it off.
type sseStream struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration // of a write; not positive: none

	pending  int // bytes since the latest flush
	deadline time.Time
	begun    bool // the header is sent
	broken   bool // a write has failed
	stalled  bool // because the deadline was over

	mu   sync.Mutex
	done bool // nothing may be sent any more
}

// writeSize is how much is sent under one deadline.
const writeSize = 64 << 10

var errCut = errors.New("pubsub: the client is cut off")

// start sends the header. The error says that nothing was sent.
func (o *sseStream) start(retry time.Duration) error {
	h := o.w.Header()
	before := h.Clone()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	err := o.arm()
	if err == nil {
		err = o.rc.Flush()
	}
	if err != nil {
		clear(h)
		for name, values := range before {
			h[name] = values
		}
		return fmt.Errorf("pubsub: the ResponseWriter cannot stream: %w", err)
	}
	o.begun = true
	if retry <= 0 {
		return nil
	}
	_ = o.write(fmt.Appendf(nil, "retry: %d\n", (retry/2 + rand.N(retry)).Milliseconds())) // the next one fails too
	return nil
}

// write sends p, with the next flush at the latest.
func (o *sseStream) write(p []byte) error {
	for len(p) > 0 {
		if o.pending == 0 {
			if err := o.arm(); err != nil {
				return err
			}
		}
		n := min(len(p), writeSize-o.pending)
		if _, err := o.w.Write(p[:n]); err != nil {
			return o.failed(err)
		}
		p = p[n:]
		if o.pending += n; o.pending == writeSize {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush sends what was written.
func (o *sseStream) flush() error {
	if o.pending == 0 {
		return nil
	}
	o.pending = 0
	if err := o.rc.Flush(); err != nil {
		return o.failed(err)
	}
	if o.timeout <= 0 {
		return nil
	}
	return o.set(time.Time{}) // HTTP/2 would end the stream, also if nothing is being written
}

// arm sets the deadline.
func (o *sseStream) arm() error {
	if o.timeout <= 0 {
		_ = o.set(time.Time{}) // that of the server
		return nil
	}
	o.deadline = time.Now().Add(o.timeout)
	return o.set(o.deadline)
}

func (o *sseStream) set(deadline time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return errCut
	}
	return o.rc.SetWriteDeadline(deadline)
}

// failed notes why a write has failed.
func (o *sseStream) failed(err error) error {
	o.broken = true
	o.stalled = o.timeout > 0 && !time.Now().Before(o.deadline)
	return err
}

// cut ends a write that is under way.
func (o *sseStream) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.done = true
		_ = o.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// finish is for the end of the handler, after which the response belongs to the server. What
// the server has yet to send of it has a deadline too.
func (o *sseStream) finish() {
	if o.begun && !o.broken {
		_ = o.arm()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
}

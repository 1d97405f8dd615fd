package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
)

// running counts the calls and goroutines of a limiter, so that Close can wait for
// them.
type running struct {
	n       atomic.Int64
	ended   atomic.Bool   // Close was called
	end     chan struct{} // closed then
	idle    chan struct{} // closed when nothing runs any more after that
	endOnce sync.Once
	idled   sync.Once
}

// enter counts a call from outside.
func (r *running) enter() error {
	r.n.Add(1)
	if r.ended.Load() {
		r.done()
		return ErrClosed
	}
	return nil
}

// add counts what a running call starts.
func (r *running) add() { r.n.Add(1) }

func (r *running) done() {
	if r.n.Add(-1) == 0 && r.ended.Load() {
		r.idled.Do(func() { close(r.idle) })
	}
}

// Close ends the limiter. It waits until the calls that are under way have ended,
// for which they need no more than Timeout, and returns the context's error when ctx
// ends first. A Wait ends with ErrClosed. The Redis client stays open. Closing again
// waits again.
func (r *Redis) Close(ctx context.Context) error {
	r.running.add()
	r.running.endOnce.Do(func() {
		r.running.ended.Store(true)
		close(r.running.end)
	})
	r.running.done()
	select {
	case <-r.running.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

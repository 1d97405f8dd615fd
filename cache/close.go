package cache

import (
	"context"
	"sync"
	"sync/atomic"
)

// running counts the calls and goroutines of a cache, so that Close can wait for
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

// add counts what a running call or goroutine starts.
func (r *running) add() { r.n.Add(1) }

func (r *running) done() {
	if r.n.Add(-1) == 0 && r.ended.Load() {
		r.idled.Do(func() { close(r.idle) })
	}
}

func (r *running) close() {
	r.add()
	r.endOnce.Do(func() {
		r.ended.Store(true)
		close(r.end)
	})
	r.done()
}

// untilClosed is a context with the values of another that ends when Close has no
// more patience.
func (c *Redis) untilClosed(values context.Context) context.Context {
	return closingContext{c.closing, values}
}

type closingContext struct {
	context.Context
	values context.Context
}

func (c closingContext) Value(key any) any { return c.values.Value(key) }

// Close ends the cache. It waits until the calls and loads that are under way have
// ended; when ctx ends first it cancels the loads, answers their callers with
// ErrClosed and returns the context's error. Deletes that are still to be done
// are given up. The Redis client stays open. Closing again waits again.
func (c *Redis) Close(ctx context.Context) error {
	c.running.close()
	select {
	case <-c.running.idle:
		c.cut()
		return nil
	case <-ctx.Done():
		c.cut()
		return ctx.Err()
	}
}

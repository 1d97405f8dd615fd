// Package drain counts what is under way, so that a Close can wait for it.
package drain

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Group is the calls and goroutines of something that will be closed. Make one
// with [New].
type Group struct {
	n      atomic.Int64
	closed atomic.Bool
	ending chan struct{} // closed by the first Close
	idle   chan struct{} // closed when nothing is under way any more after that
	close  sync.Once
	idled  sync.Once
}

// New returns a Group with nothing under way.
func New() *Group {
	return &Group{ending: make(chan struct{}), idle: make(chan struct{})}
}

// Enter counts a call from outside, which ends with Done. It reports false, and
// counts nothing, after Close.
func (g *Group) Enter() bool {
	g.n.Add(1)
	if g.closed.Load() {
		g.Done()
		return false
	}
	return true
}

// IsClosed reports whether Close was called, for what ends at once.
func (g *Group) IsClosed() bool { return g.closed.Load() }

// Add counts what something that is counted starts, also after Close.
func (g *Group) Add() { g.n.Add(1) }

// Done takes one off.
func (g *Group) Done() {
	if g.n.Add(-1) == 0 && g.closed.Load() {
		g.idled.Do(func() { close(g.idle) })
	}
}

// Running is how many are under way.
func (g *Group) Running() int { return int(g.n.Load()) }

// Ending is closed when Close is called.
func (g *Group) Ending() <-chan struct{} { return g.ending }

// Close lets nobody enter any more, and waits until nothing is under way or ctx
// ends, whose error it returns. It may be called again.
func (g *Group) Close(ctx context.Context) error {
	g.Add() // so that it is a Done that finds nothing under way
	g.close.Do(func() {
		g.closed.Store(true)
		close(g.ending)
	})
	g.Done()
	select {
	case <-g.idle:
		return nil
	default:
	}
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package exec

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// call is what one caller waits for: commands for one node on their way through
// a worker, or through a lane that they share with others.
type call struct {
	client   *Client
	node     *node
	values   context.Context // the caller's
	begun    time.Time
	deadline time.Time
	alone    bool // counts in its lane as going by itself

	items    []item                // the worker's until done, then the caller's
	todo     []*item               // what is to be sent
	attempts int                   // made so far
	wait     time.Duration         // before the next
	failed   atomic.Pointer[error] // how the latest failed, if there is to be another
	done     chan struct{}         // the worker sends once

	mu   sync.Mutex
	ctx  *sharedContext // of the attempt under way; nil: not sent yet
	left bool           // the caller has
}

// item is a command and its reply, which is the command's once the call is done.
type item struct {
	cmd *Cmd
	reply
	source bool // the node lacks the script: send its source
	merges bool // it is a GET, and may become part of an MGET
	merged bool // it was part of one
}

// sharedContext is what the client sees of the contexts of those who wait for an
// attempt: a cancellation when all have left for whatever reason, but no deadline.
// So who leaves takes the command out of the pool's queue, and does not cost a
// connection that is in use. The values are those of the caller, if there is one.
type sharedContext struct {
	values  context.Context
	waiting atomic.Int32
	gone    chan struct{}
}

func newContext(values context.Context) *sharedContext {
	return &sharedContext{values: values, gone: make(chan struct{})}
}

func (c *sharedContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *sharedContext) Done() <-chan struct{}       { return c.gone }
func (c *sharedContext) Value(key any) any           { return c.values.Value(key) }

func (c *sharedContext) Err() error {
	if c.isGone() {
		return context.Canceled
	}
	return nil
}

func (c *sharedContext) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

func (c *sharedContext) enter() { c.waiting.Add(1) }

func (c *sharedContext) leave() {
	if c.waiting.Add(-1) == 0 {
		close(c.gone)
	}
}

// enter binds the call to the context of an attempt. It reports false if nobody
// waits for the call any more.
func (c *call) enter(ctx *sharedContext) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return false
	}
	c.ctx = ctx
	ctx.enter()
	return true
}

// leave tells whoever carries the call that nobody waits for it any more. It
// reports whether any of its commands may have been sent.
func (c *call) leave() (sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	if c.ctx == nil {
		return false
	}
	c.ctx.leave()
	return true
}

// run sends the commands until each has its last word or the time is up.
func (c *call) run() {
	ctx := newContext(c.values)
	if !c.enter(ctx) {
		return
	}
	for c.sleep(ctx) {
		var h health
		c.client.send(ctx, c.todo)
		c.settle(&h)
		h.tell(c.client, c.node, !ctx.isGone())
		if len(c.todo) == 0 {
			return
		}
	}
	c.giveUp(ctx)
}

func (c *call) finish() {
	if c.alone {
		c.node.lane.alone.Add(-1)
	}
	c.done <- struct{}{}
}

// settle looks at the replies of an attempt: it keeps in todo what is to be sent
// again.
func (c *call) settle(h *health) {
	again := c.todo[:0]
	c.wait = 0
	for _, it := range c.todo {
		v := h.see(it.err)
		switch {
		case v == noScript && it.cmd.script != nil && !it.source:
			it.source = true
			again = append(again, it)
		case v == refused && it.merged: // perhaps on account of another one's key
			it.merges, it.merged = false, false
			again = append(again, it)
		case v == notExecuted && !(it.cmd.splits && IsTryAgain(it.err)),
			v == lost && it.cmd.idempotent:
			if c.wait == 0 {
				c.wait = backoff(c.attempts)
			}
			err := it.err // the next attempt overwrites it
			c.failed.Store(&err)
			again = append(again, it)
		}
	}
	c.todo = again
	c.attempts++
}

// giveUp counts a server that is up but says that it cannot serve, such as one
// that loads its data for minutes, like one that does not answer.
func (c *call) giveUp(ctx *sharedContext) {
	for _, it := range c.todo {
		if !ctx.isGone() && notServing(it.err) {
			c.node.breaker.failed(it.err)
			return
		}
	}
}

// sleep waits for the time of the next attempt. It reports false if the deadline
// would pass or the caller leaves.
func (c *call) sleep(ctx *sharedContext) bool {
	if c.wait == 0 {
		return !ctx.isGone()
	}
	if time.Until(c.deadline) <= c.wait {
		return false
	}
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.gone:
		return false
	}
}

// backoff is the pause after so many attempts and one: 2 ms doubling to 32 ms, and up
// to as much again at random.
func backoff(attempts int) time.Duration {
	d := 2 * time.Millisecond << min(attempts, 4)
	return d + rand.N(d)
}

// health is what the replies of one connection say about the node.
type health struct {
	failure error
	healthy bool
}

// see takes the error of one command.
func (h *health) see(err error) verdict {
	v := classify(err)
	if err == nil {
		h.healthy = true
	} else if connectionFailed(v, err) {
		h.failure = err
	} else if !notServing(err) { // that is for giveUp to judge
		h.healthy = true
	}
	return v
}

// tell tells the node's breaker; awaited says whether somebody still waits.
func (h *health) tell(c *Client, n *node, awaited bool) {
	switch {
	case !awaited:
		if h.healthy {
			n.breaker.probeNow()
		}
	case h.failure != nil:
		n.breaker.failed(h.failure)
		c.nodes.suspect(c)
	case h.healthy:
		n.breaker.succeeded()
	}
}

package exec

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// call is a batch of commands for one node on its way through a worker.
type call struct {
	client   *Client
	node     *node
	cmds     []*Cmd
	deadline time.Time
	ctx      *callContext

	replies []reply       // the worker's until done, then the caller's
	todo    []int         // indices of cmds to send
	sources []bool        // cmds whose script the node lacks
	done    chan struct{} // the worker sends once
}

// callContext is what the client sees of the caller's context: the values, and a
// cancellation when the caller leaves for whatever reason, but no deadline. So
// who leaves takes the command out of the pool's queue, and does not cost a
// connection that is in use.
type callContext struct {
	values context.Context
	gone   chan struct{}
	left   atomic.Bool
	failed atomic.Pointer[error] // the latest attempt, if it is made again
}

func (c *callContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *callContext) Done() <-chan struct{}       { return c.gone }
func (c *callContext) Value(key any) any           { return c.values.Value(key) }
func (c *callContext) Err() error {
	if c.left.Load() {
		return context.Canceled
	}
	return nil
}

// leave tells the worker that nobody waits any more.
func (c *callContext) leave() {
	c.left.Store(true)
	close(c.gone)
}

func (c *call) finish() { c.done <- struct{}{} }

// run sends the commands until each has its last word or the time is up.
func (c *call) run() {
	c.todo = c.todo[:0]
	for i := range c.cmds {
		c.todo = append(c.todo, i)
	}
	for attempt := 0; !c.ctx.left.Load(); attempt++ {
		c.send()
		wait := c.settle(attempt)
		if len(c.todo) == 0 {
			return
		}
		if !c.sleep(wait) {
			c.giveUp()
			return
		}
	}
}

// send makes one attempt at what is to do.
func (c *call) send() {
	if len(c.todo) == 1 {
		i := c.todo[0]
		r, cmd := &c.replies[i], c.cmds[i].attempt(c.ctx, c.sources[i])
		if c.cmds[i].script != nil {
			r.sent = time.Now()
		}
		err := c.client.rdb.Process(c.ctx, cmd)
		if c.cmds[i].script != nil {
			r.received = time.Now()
		}
		cmd.into(r)
		if r.err == nil {
			r.err = err // a hook's
		}
		return
	}
	pipe := c.client.rdb.Pipeline()
	attempts := make([]once, len(c.todo))
	for j, i := range c.todo {
		attempts[j] = c.cmds[i].attempt(c.ctx, c.sources[i])
		_ = pipe.Process(c.ctx, attempts[j]) // only queues
	}
	sent := time.Now()
	_, err := pipe.Exec(c.ctx)
	received := time.Now()
	for j, i := range c.todo {
		r := &c.replies[i]
		r.sent, r.received = sent, received
		attempts[j].into(r)
		if r.err != nil {
			err = nil
		}
	}
	if err != nil { // a hook's: no command has one
		for _, i := range c.todo {
			c.replies[i].err = err
		}
	}
}

// settle looks at the replies of an attempt: it keeps in todo what is to be sent
// again, and returns how long to wait before.
func (c *call) settle(attempt int) (wait time.Duration) {
	again := c.todo[:0]
	var healthy bool
	var failure, repeated error
	for _, i := range c.todo {
		cmd, err := c.cmds[i], c.replies[i].err
		v := classify(err)
		if connectionFailed(v, err) {
			failure = err
		} else if !notServing(err) { // that is for giveUp to judge
			healthy = true
		}
		switch v {
		case noScript:
			if cmd.script != nil && !c.sources[i] {
				c.sources[i] = true
				again = append(again, i)
			}
		case notExecuted:
			if !cmd.splits || !IsTryAgain(err) {
				wait, repeated = backoff(attempt), err
				again = append(again, i)
			}
		case lost:
			if cmd.idempotent {
				wait, repeated = backoff(attempt), err
				again = append(again, i)
			}
		}
	}
	c.todo = again
	if repeated != nil {
		c.ctx.failed.Store(&repeated)
	}
	if !c.ctx.left.Load() {
		switch {
		case failure != nil:
			c.node.breaker.failed(failure)
			c.client.nodes.suspect(c.client)
		case healthy:
			c.node.breaker.succeeded()
		}
	} else if healthy {
		c.node.breaker.probeNow()
	}
	return wait
}

// giveUp counts a server that is up but says that it cannot serve, such as one
// that loads its data for minutes, like one that does not answer.
func (c *call) giveUp() {
	for _, i := range c.todo {
		if err := c.replies[i].err; !c.ctx.left.Load() && notServing(err) {
			c.node.breaker.failed(err)
			return
		}
	}
}

// sleep waits, unless the deadline would pass or the caller leaves.
func (c *call) sleep(d time.Duration) bool {
	if d == 0 {
		return true
	}
	if time.Until(c.deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.gone:
		return false
	}
}

// backoff is the pause before attempt+1: 2 ms doubling to 32 ms, and up to as
// much again at random.
func backoff(attempt int) time.Duration {
	d := 2 * time.Millisecond << min(attempt, 4)
	return d + rand.N(d)
}

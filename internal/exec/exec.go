package exec

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Client runs commands on a user's Redis client. It is safe for concurrent use.
// It needs no closing: it owns no goroutine a second after its last call, apart
// from those that the user's client holds in a read or a dial.
type Client struct {
	rdb     redis.UniversalClient
	nodes   *topology
	merges  bool // several GETs into one MGET: all keys are on one server
	timeout time.Duration
	workers workers
	calls   sync.Pool // of *call whose callers did not leave
	timers  sync.Pool // of *time.Timer, stopped
}

// New returns a Client on rdb whose budgets are of the given timeout. The error
// says why rdb cannot be used. It does no I/O.
func New(rdb redis.UniversalClient, timeout time.Duration) (*Client, error) {
	nodes, err := newTopology(rdb)
	if err != nil {
		return nil, err
	}
	_, merges := rdb.(*redis.Client)
	return &Client{rdb: rdb, nodes: nodes, merges: merges, timeout: timeout}, nil
}

// Budget returns a full budget for one call of a package.
func (c *Client) Budget() *Budget { return NewBudget(c.timeout) }

// OneServer reports whether all keys are on one server, so that an [MGet] may
// have them all. A value of another type hides in it; who may read some of the keys
// only is refused.
func (c *Client) OneServer() bool { return c.merges }

// Do runs one command. It returns the command's error: nil, redis.Nil, or an
// [*Error]. It returns at the latest when ctx ends or b is used up.
func (c *Client) Do(ctx context.Context, b *Budget, cmd *Cmd) error {
	n, err := c.node(ctx, b, cmd.key)
	if err != nil {
		cmd.err = err
		return err
	}
	k := c.newCall(ctx, b, n)
	k.items = append(k.items, item{cmd: cmd})
	c.start(k)
	c.wait(ctx, b, k.begun, k)
	return cmd.err
}

// DoAll runs commands in one batch per node, side by side, in the order given
// within a node; each command has its own error. The batches are not
// transactions, and what is sent again comes after what was not. DoAll returns the
// first error in the order of cmds that is not redis.Nil.
func (c *Client) DoAll(ctx context.Context, b *Budget, cmds []*Cmd) error {
	var calls []*call
	for _, cmd := range cmds {
		n, err := c.node(ctx, b, cmd.key)
		if err != nil {
			cmd.err = err
			continue
		}
		var k *call
		for _, other := range calls {
			if other.node == n {
				k = other
			}
		}
		if k == nil {
			k = c.newCall(ctx, b, n)
			calls = append(calls, k)
		}
		k.items = append(k.items, item{cmd: cmd})
	}
	for _, k := range calls {
		c.start(k)
	}
	c.wait(ctx, b, time.Now(), calls...)
	for _, cmd := range cmds {
		if cmd.err != nil && cmd.err != redis.Nil {
			return cmd.err
		}
	}
	return nil
}

// ServerTime bounds the time now on the server that serves key. ok is false as
// long as no reply of that server has carried its time, see [Client.Observe].
func (c *Client) ServerTime(key string) (earliest, latest time.Time, ok bool) {
	n, _ := c.nodes.of(key)
	return n.clock.at(time.Now())
}

// ServerTimeAt is [Client.ServerTime] of the server that answered cmd, at the
// moment when the reply arrived.
func (c *Client) ServerTimeAt(cmd *Cmd) (earliest, latest time.Time, ok bool) {
	return cmd.node.clock.at(cmd.received)
}

// ClockDue reports whether the next command for key should be one whose reply
// carries the server's time: the first, and one every half minute.
func (c *Client) ClockDue(key string) bool {
	n, _ := c.nodes.of(key)
	return n.clock.due()
}

// ClocksDue returns the index of one key, the first, for every server for which
// [Client.ClockDue] holds; of all keys as long as their servers are not known.
func (c *Client) ClocksDue(keys []string) (due []int) {
	var seen []*node
	for i, key := range keys {
		n, known := c.nodes.of(key)
		if n.clock.due() && !(known && slices.Contains(seen, n)) {
			seen, due = append(seen, n), append(due, i)
		}
		if c.nodes.cluster == nil {
			break
		}
	}
	return due
}

// Observe tells the clock of the server that answered cmd, a script, which time
// the reply carried.
func (c *Client) Observe(cmd *Cmd, server time.Time) {
	cmd.node.clock.observe(server, cmd.sent, cmd.received)
}

// node returns the node of key if it may be used now.
func (c *Client) node(ctx context.Context, b *Budget, key string) (*node, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Canceled, err}
	}
	if b.Left() == 0 {
		return nil, &Error{Unavailable, errNoAnswer}
	}
	n, ok := c.nodes.of(key)
	if n.breaker.isOpen() {
		if ok { // another node may have its slots meanwhile
			c.nodes.suspect(c)
		}
		if n.breaker.claimProbe() {
			c.workers.do(newProbe(c, n))
		}
		if n.breaker.isOpen() {
			return nil, open(n.breaker.why())
		}
	}
	if ok {
		return n, nil
	}
	// The first calls on a cluster: its slots are not known yet.
	start := time.Now()
	timer := c.timer(b.Left())
	defer c.putTimer(timer)
	defer func() { b.left -= time.Since(start) }()
	for {
		p := c.nodes.learn(c)
		select {
		case <-p.done:
			if classify(p.err) == refused {
				return nil, &Error{Refused, p.err}
			}
			if p.err != nil {
				n.breaker.failed(p.err)
				return nil, &Error{Unavailable, p.err}
			}
			n, _ = c.nodes.of(key)
			return n, nil
		case <-time.After(learnHangs): // on one of the nodes: ask another
		case <-ctx.Done():
			return nil, &Error{Canceled, ctx.Err()}
		case <-timer.C:
			n.breaker.failed(errNoAnswer)
			return nil, &Error{Unavailable, errNoAnswer}
		}
	}
}

// start sends k on its way; its commands can no longer be changed.
func (c *Client) start(k *call) {
	reads := true
	for i := range k.items {
		k.todo = append(k.todo, &k.items[i])
		reads = reads && k.items[i].cmd.form == text
	}
	for i := range k.items {
		k.items[i].merges = reads // else it keeps its place among the others
	}
	if !k.node.lane.board(c, k) {
		c.workers.do(k)
	}
}

// wait waits for the calls, and leaves those that are not done when ctx ends or
// the budget is used up.
func (c *Client) wait(ctx context.Context, b *Budget, start time.Time, calls ...*call) {
	timer := c.timer(b.Left())
	var expired bool
	for _, k := range calls {
		if !expired {
			select {
			case <-k.done:
				c.deliver(k)
				continue
			case <-ctx.Done():
				expired = true
			case <-timer.C:
				expired = true
			}
		}
		select {
		case <-k.done:
			c.deliver(k)
		default:
			c.abandon(ctx, b, k, time.Since(start))
		}
	}
	c.putTimer(timer)
	b.left -= time.Since(start)
}

// keptBatch is how large a batch may be for its slices to be kept for others.
const keptBatch = 128

// deliver gives the commands their replies and takes the call back.
func (c *Client) deliver(k *call) {
	for i := range k.items {
		it := &k.items[i]
		it.cmd.reply, it.cmd.node = it.reply, k.node
		if it.err != nil {
			it.cmd.err = it.cmd.final(it.err)
		}
	}
	if cap(k.items) > keptBatch {
		return
	}
	clear(k.items)
	k.items, k.todo, k.values, k.ctx, k.attempts, k.wait = k.items[:0], k.todo[:0], nil, nil, 0, 0
	k.alone = false
	k.failed.Store(nil)
	c.calls.Put(k)
}

// abandon leaves the call to those who carry it and may still be reading it.
func (c *Client) abandon(ctx context.Context, b *Budget, k *call, waited time.Duration) {
	ctxErr := ctx.Err()
	sent := k.leave()
	var before error
	if err := k.failed.Load(); err != nil {
		before = *err
	}
	for i := range k.items {
		cmd := k.items[i].cmd
		cmd.err = cmd.abandoned(ctxErr, before, sent)
	}
	if ctxErr == nil && b.blames(waited) && k.node.breaker.abandoned(waited) {
		c.nodes.suspect(c)
	}
}

func (c *Client) newCall(ctx context.Context, b *Budget, n *node) *call {
	k, _ := c.calls.Get().(*call)
	if k == nil {
		k = &call{client: c, done: make(chan struct{}, 1)}
	}
	k.node, k.values, k.begun = n, ctx, time.Now()
	k.deadline = k.begun.Add(b.Left())
	if d, ok := ctx.Deadline(); ok && d.Before(k.deadline) {
		k.deadline = d
	}
	return k
}

func (c *Client) timer(d time.Duration) *time.Timer {
	if t, _ := c.timers.Get().(*time.Timer); t != nil {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (c *Client) putTimer(t *time.Timer) {
	t.Stop()
	c.timers.Put(t)
}

package exec

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// laneFrom is how many calls for a node go by themselves at a time. With fewer
	// callers than that, sharing costs more than it saves.
	laneFrom = 16
	// laneKeeps is how large the shared pipelines must be for calls to keep
	// sharing when there would be room to go alone.
	laneKeeps = 8
	// laneBatch is how many commands share a pipeline at most.
	laneBatch = 1024
	// laneLightCommands, or keys of an MGET, and laneLightBytes, of arguments, are what
	// a call may have to share: who asks for more would hold up the others.
	laneLightCommands, laneLightBytes = 16, 16 << 10
	// laneStalls is how long a pipeline may be under way before the next one goes
	// out on another connection. It doubles with every pipeline that is, or a
	// server that hangs would soon hold all connections.
	laneStalls = 5 * time.Millisecond
)

// lane is where the calls for one node share pipelines. While few are under way
// each goes by itself. From then on they queue, and a leader sends what has queued
// and waits for the replies, while the next pipeline gathers. When a third of the
// crowd has gathered a second leader sends it, so that the client and the server
// work at the same time.
type lane struct {
	alone  atomic.Int32 // calls that go by themselves
	shared atomic.Bool  // calls join the queue however few go alone

	mu       sync.Mutex
	queue    []*call // in the order of arrival
	leaders  int     // that will come back for the queue: none, one or two
	underWay int     // calls in their pipelines
	crowd    int     // calls under way and in the queue when a leader last looked
	stalling int     // leaders that the others do not wait for
}

// leader sends pipelines for a lane, on a worker.
type leader struct {
	client *Client
	lane   *lane
	node   *node
	stall  *time.Timer

	sending bool // guarded by lane.mu
	stalled bool // guarded by lane.mu

	calls  []*call // the members of the pipeline under way
	items  []*item // what it sends
	ctx    *sharedContext
	first  map[string]*item // of the GETs of a key
	copies []*item          // the other GETs, and
	of     []*item          // whose reply each of them shares
}

// board takes a call on, if it is to share a pipeline. Otherwise the call goes by
// itself, and its finish says when it is over.
func (l *lane) board(c *Client, k *call) bool {
	if !l.shared.Load() {
		if l.alone.Add(1) <= laneFrom {
			k.alone = true
			return false
		}
		l.alone.Add(-1)
	}
	if !k.light() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, k)
	if l.leaders == 0 || l.leaders == 1 && l.isFull() {
		l.lead(c, k.node)
	}
	return true
}

// isFull reports whether the queue is worth a pipeline beside the one under way.
func (l *lane) isFull() bool {
	return l.stalling == 0 && len(l.queue) > max(l.crowd/3, laneKeeps)
}

// lead appoints a leader; l.mu is held.
func (l *lane) lead(c *Client, n *node) {
	l.leaders++
	c.workers.do(&leader{client: c, lane: l, node: n, first: make(map[string]*item)})
}

// light reports whether the call is too small to hold up others.
func (c *call) light() bool {
	if len(c.items) > laneLightCommands {
		return false
	}
	size := 0
	for i := range c.items {
		if cmd := c.items[i].cmd; cmd.form == texts && len(cmd.args) > laneLightCommands {
			return false
		}
		for _, arg := range c.items[i].cmd.args {
			switch arg := arg.(type) {
			case string:
				size += len(arg)
			case []byte:
				size += len(arg)
			}
		}
	}
	return size <= laneLightBytes
}

func (l *leader) run() {
	for l.take() {
		l.client.send(l.ctx, l.items)
		l.deliver()
		runtime.Gosched() // those who have their replies may come with the next call
	}
	if l.stall != nil {
		l.stall.Stop()
	}
}

func (l *leader) finish() {}

// take closes the membership of the next pipeline. It reports false if the leader
// is not needed any more.
func (l *leader) take() bool {
	lane := l.lane
	lane.mu.Lock()
	defer lane.mu.Unlock()
	if l.stalled {
		lane.stalling--
		return false
	}
	if l.sending {
		l.sending = false
		lane.underWay -= len(l.calls)
	}
	l.clear()
	if lane.leaders == 2 && lane.underWay > 0 && !lane.isFull() {
		lane.leaders-- // the other will see to it
		return false
	}
	l.ctx = newContext(context.Background())
	l.ctx.enter() // until all are in
	defer l.ctx.leave()
	var taken int
	for taken < len(lane.queue) && len(l.items)+len(l.copies) < laneBatch {
		if k := lane.queue[taken]; k.enter(l.ctx) {
			l.add(k)
		}
		taken++
	}
	lane.queue = slices.Delete(lane.queue, 0, taken)
	lane.underWay += len(l.calls)
	lane.crowd = lane.underWay + len(lane.queue)
	lane.shared.Store(lane.crowd+int(lane.alone.Load()) >= laneKeeps)
	if len(l.calls) == 0 {
		lane.leaders--
		return false
	}
	l.sending = true
	patience := laneStalls << min(lane.stalling, 6)
	if l.stall == nil {
		l.stall = time.AfterFunc(patience, l.depose)
	} else {
		l.stall.Reset(patience)
	}
	return true
}

// depose lets another leader go on while the pipeline under way stalls.
func (l *leader) depose() {
	lane := l.lane
	lane.mu.Lock()
	defer lane.mu.Unlock()
	if !l.sending || l.stalled {
		return
	}
	l.stalled = true
	lane.stalling++
	lane.leaders--
	lane.underWay -= len(l.calls)
	if lane.leaders == 0 && len(lane.queue) > 0 {
		lane.lead(l.client, l.node)
	}
}

// add makes a call a member of the pipeline. Of the calls that GET one key one is
// sent: all had come before, so its reply is as good for each.
func (l *leader) add(k *call) {
	l.calls = append(l.calls, k)
	for _, it := range k.todo {
		if it.merges {
			if first, ok := l.first[it.cmd.key]; ok {
				l.copies, l.of = append(l.copies, it), append(l.of, first)
				continue
			}
			l.first[it.cmd.key] = it
		}
		l.items = append(l.items, it)
	}
}

// deliver gives the members their replies. Who has something to send again goes
// on by itself.
func (l *leader) deliver() {
	for i, it := range l.copies {
		it.reply, it.merged = l.of[i].reply, l.of[i].merged
		it.str = strings.Clone(it.str) // the caller may make bytes of it
	}
	var h health
	for _, k := range l.calls {
		k.settle(&h)
	}
	h.tell(l.client, l.node, !l.ctx.isGone())
	for _, k := range l.calls {
		if len(k.todo) > 0 {
			l.client.workers.do(k)
		} else {
			k.finish()
		}
	}
}

// clear forgets the members of a pipeline that is over.
func (l *leader) clear() {
	clear(l.first)
	clear(l.calls)
	clear(l.items)
	clear(l.copies)
	clear(l.of)
	l.calls, l.items, l.copies, l.of = l.calls[:0], l.items[:0], l.copies[:0], l.of[:0]
}

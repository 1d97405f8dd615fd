package exec

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// node is what exec remembers of one server. Commands do not go to it directly
// but through the user's client, which follows redirections.
type node struct {
	breaker breaker
	lane    lane
	clock   clock
	client  atomic.Pointer[redis.Client] // the latest one for it: a cluster client closes those of nodes that leave
	probe   func(context.Context) error
	ping    func(context.Context) error // the part of a probe that a kept connection does
}

// topology knows the nodes behind a client.
type topology struct {
	cluster *redis.ClusterClient // nil: one node
	single  *node                // in a cluster: stands for finding out its slots

	known      atomic.Bool // the cluster's slots have been loaded once
	mu         sync.Mutex
	learning   *probe       // under way to load them
	nodes      sync.Map     // address → *node
	lastReload atomic.Int64 // Unix nanoseconds
}

// newTopology refuses the clients that the library cannot be right on.
func newTopology(rdb redis.UniversalClient) (*topology, error) {
	if rdb == nil || reflect.ValueOf(rdb).Kind() == reflect.Pointer && reflect.ValueOf(rdb).IsNil() {
		return nil, errors.New("the redis client is nil")
	}
	switch rdb := rdb.(type) {
	case *redis.Ring:
		return nil, errors.New("a *redis.Ring moves keys when a shard is marked down, and deleted values return with it; use a cluster")
	case *redis.AutoPipeliner:
		return nil, errors.New("a *redis.AutoPipeliner ignores deadlines; pass the client that it was made of")
	case *redis.ClusterClient:
		if o := rdb.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return nil, errors.New("a cluster client with ReadOnly, RouteByLatency or RouteRandomly reads from replicas, which lag behind; use one without")
		}
		t := &topology{cluster: rdb}
		slots := func(ctx context.Context) error {
			_, err := rdb.MasterForKey(ctx, "")
			if err == nil {
				t.known.Store(true)
			}
			return err
		}
		t.single = &node{probe: slots, ping: slots}
		return t, nil
	case *redis.Client:
		return &topology{single: clientNode(rdb)}, nil
	}
	pings := func(ctx context.Context) error { return ping(ctx, rdb) }
	return &topology{single: &node{probe: pings, ping: pings}}, nil
}

func clientNode(rdb *redis.Client) *node {
	n := &node{}
	n.client.Store(rdb)
	n.ping = func(ctx context.Context) error { return ping(ctx, n.client.Load()) }
	n.probe = func(ctx context.Context) error {
		// A dial of our own finds a refused port out at once. The client would
		// try five times, log, and after a while not dial at all for seconds.
		o := n.client.Load().Options()
		conn, err := o.Dialer(ctx, o.Network, o.Addr)
		if err != nil {
			return err
		}
		_ = conn.Close()
		return n.ping(ctx)
	}
	return n
}

// ping waits for a reply, and a refusal is one: PING may be forbidden to the
// user, and is answered by MISCONF on a server that still serves reads.
func ping(ctx context.Context, rdb interface {
	Process(context.Context, redis.Cmder) error
}) error {
	err := rdb.Process(ctx, onceAny{redis.NewCmd(ctx, "ping")})
	if classify(err) == refused && !errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// of returns the node that serves key. ok is false while the slots of the
// cluster are unknown; then finding out may block, and the node stands for that.
func (t *topology) of(key string) (n *node, ok bool) {
	if t.cluster == nil {
		return t.single, true
	}
	if !t.known.Load() {
		return t.single, false
	}
	// Does not block: the client has slots, and reloads them in the background.
	client, err := t.cluster.MasterForKey(context.Background(), key)
	if err != nil {
		return t.single, true
	}
	addr := client.Options().Addr
	found, ok := t.nodes.Load(addr)
	if !ok {
		found, _ = t.nodes.LoadOrStore(addr, clientNode(client))
	}
	n = found.(*node)
	if n.client.Load() != client {
		n.client.Store(client)
	}
	return n, true
}

// learnHangs is when finding out the slots of a cluster is tried once more, on
// another node.
const learnHangs = 150 * time.Millisecond

// learn starts to find out the slots of the cluster, or joins in.
func (t *topology) learn(c *Client) *probe {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.learning == nil || time.Since(t.learning.start) >= learnHangs {
		t.learning = newProbe(c, t.single)
		c.workers.do(t.learning)
	}
	return t.learning
}

// reloadSpacing lies between the reloads of a cluster's slots.
const reloadSpacing = 500 * time.Millisecond

// suspect has the cluster client load its slots again, because a node cannot be
// reached: by itself it does so once a minute.
func (t *topology) suspect(c *Client) {
	if t.cluster == nil {
		return
	}
	now, last := time.Now().UnixNano(), t.lastReload.Load()
	if now-last >= int64(reloadSpacing) && t.lastReload.CompareAndSwap(last, now) {
		c.workers.do(reload{t.cluster})
	}
}

// reload loads the slots of a cluster again, from a node chosen at random.
type reload struct{ cluster *redis.ClusterClient }

func (r reload) run() {
	// ReloadState would wait for a reload that hangs on the node in question.
	_ = r.cluster.ForEachMaster(context.Background(), func(context.Context, *redis.Client) error { return nil })
}

func (reload) finish() {}

// probe asks whether a node is well.
type probe struct {
	client *Client
	node   *node
	start  time.Time
	err    error
	done   chan struct{} // closed at the end
}

func newProbe(c *Client, n *node) *probe {
	return &probe{client: c, node: n, start: time.Now(), done: make(chan struct{})}
}

func (p *probe) run() {
	p.err = p.node.probe(context.Background())
	took := time.Since(p.start)
	if p.err == nil && took > p.client.timeout {
		// Perhaps it was the dialing, for which commands on kept connections need
		// not wait.
		again := time.Now()
		p.err = p.node.ping(context.Background())
		took = time.Since(again)
	}
	p.node.breaker.probed(p.err, took, p.client.timeout)
}

func (p *probe) finish() {
	t := p.client.nodes
	t.mu.Lock()
	if t.learning == p {
		t.learning = nil
	}
	t.mu.Unlock()
	close(p.done)
}

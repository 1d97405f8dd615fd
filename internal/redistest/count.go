package redistest

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Counter counts what a client sends: see [Count].
type Counter struct {
	mu         sync.Mutex
	roundTrips int
	commands   []string
	nodes      map[*redis.Client]bool // cluster nodes that have the hook
}

// Count counts the commands and round trips of a client from now on. A round
// trip is one exchange with one node: a command, or a node's part of a
// pipeline or transaction, and again if a cluster redirects it. Repeats inside
// go-redis after a network error count once ([Proxy.Requests] sees them all),
// connection setup and the loading of a cluster's topology not at all, and
// neither does what a *redis.PubSub sends.
func Count(t testing.TB, rdb redis.UniversalClient) *Counter {
	t.Helper()
	c := &Counter{nodes: make(map[*redis.Client]bool)}
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		rdb.AddHook(hook{c})
		return c
	}
	// A hook on the ClusterClient would see a pipeline once, however many
	// nodes take part in it.
	cluster.OnNewNode(c.countNode)
	err := cluster.ForEachShard(t.Context(), func(_ context.Context, node *redis.Client) error {
		c.countNode(node)
		return nil
	})
	if err != nil {
		t.Fatalf("redistest: count: %v", err)
	}
	c.Reset()
	return c
}

func (c *Counter) countNode(node *redis.Client) {
	c.mu.Lock()
	known := c.nodes[node]
	c.nodes[node] = true
	c.mu.Unlock()
	if !known {
		node.AddHook(hook{c})
	}
}

// RoundTrips returns the number of exchanges since the last Reset.
func (c *Counter) RoundTrips() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roundTrips
}

// Commands returns the names of the commands since the last Reset, in lower
// case and in the order in which they were handed to connections.
func (c *Counter) Commands() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.commands)
}

// Reset starts counting from zero.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roundTrips, c.commands = 0, nil
}

func (c *Counter) add(cmds ...redis.Cmder) {
	var names []string
	for _, cmd := range cmds {
		args := cmd.Args()
		words := make([]string, 0, 2)
		for _, arg := range args[:min(2, len(args))] {
			word, _ := arg.(string)
			words = append(words, word)
		}
		if !isSetup(words...) {
			names = append(names, strings.ToLower(cmd.Name()))
		}
	}
	if len(names) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roundTrips++
	c.commands = append(c.commands, names...)
}

// isSetup reports whether a command, given by its first words, is one that
// go-redis sends of its own accord, to set up a connection or to learn the
// topology.
func isSetup(words ...string) bool {
	if len(words) == 0 {
		return false
	}
	var sub string
	if len(words) > 1 {
		sub = strings.ToLower(words[1])
	}
	switch strings.ToLower(words[0]) {
	case "hello", "auth", "select", "readonly", "command", "sentinel":
		return true
	case "client":
		return sub == "setinfo" || sub == "setname" || sub == "maint_notifications"
	case "cluster":
		return sub == "slots" || sub == "shards"
	}
	return false
}

// hook reports to a Counter.
type hook struct{ c *Counter }

func (h hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return next(ctx, network, addr)
	}
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.c.add(cmd)
		return next(ctx, cmd)
	}
}

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.c.add(cmds...)
		return next(ctx, cmds)
	}
}

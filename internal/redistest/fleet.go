package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// fleet is the set of servers that the tests of one binary share.
type fleet struct {
	ctx    context.Context // ends what is still starting when the tests are over
	cancel context.CancelFunc

	mu      sync.Mutex
	servers map[berth]*berthed
	reasons []string // why topologies were skipped
}

type berth struct {
	binary   binary
	topology Topology
}

// berthed is a server that is starting, or has started.
type berthed struct {
	ready  chan struct{} // closed when server and err are valid
	server *Server
	err    error
}

var shared = newFleet()

func newFleet() *fleet {
	ctx, cancel := context.WithCancel(context.Background())
	return &fleet{ctx: ctx, cancel: cancel, servers: make(map[berth]*berthed)}
}

// prepare starts a topology on a binary in the background, if it is the first
// to ask for it.
func (f *fleet) prepare(b binary, topology Topology) *berthed {
	key := berth{b, topology}
	if topology == RESP2 {
		key.topology = Standalone // the same server, spoken to differently
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	entry, ok := f.servers[key]
	if !ok {
		entry = &berthed{ready: make(chan struct{})}
		f.servers[key] = entry
		go func() {
			defer close(entry.ready)
			if entry.server, entry.err = startServer(f.ctx, b, key.topology); entry.err == nil {
				entry.err = entry.server.calm(f.ctx)
			}
		}()
	}
	return entry
}

// get returns the shared server of a topology, waiting for its start.
func (f *fleet) get(b binary, topology Topology) (*Server, error) {
	entry := f.prepare(b, topology)
	<-entry.ready
	if entry.err != nil || topology != RESP2 {
		return entry.server, entry.err
	}
	s := *entry.server
	s.topology = RESP2
	return &s, nil
}

func (f *fleet) stop() {
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, entry := range f.servers {
		<-entry.ready
		if entry.server != nil {
			entry.server.stop()
		}
	}
}

// skip records why a topology was skipped.
func (f *fleet) skip(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.reasons, reason) {
		f.reasons = append(f.reasons, reason)
	}
}

func (f *fleet) skipped() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reasons)
}

// startServer starts the processes of a topology in a temporary directory.
func startServer(ctx context.Context, b binary, topology Topology) (*Server, error) {
	dir, err := os.MkdirTemp("", "freshet-"+string(topology)+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{topology: topology, version: b.version, dir: dir}
	switch topology {
	case Standalone, RESP2:
		err = s.startStandalone(ctx, b)
	case Sentinel:
		err = s.startSentinel(ctx, b)
	case Cluster:
		err = s.startCluster(ctx, b)
	default:
		err = errors.New("not made of processes")
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s on %s: %w", topology, b.name(), err)
	}
	return s, nil
}

// calmPatience is how long a shared server may be silent before others take its place.
const calmPatience = 30 * time.Second

// calm makes a server fit for sharing: nobody disturbs it, so a node that does not answer
// is one that a busy machine has no time for, and a failover would lose what tests have
// written.
func (s *Server) calm(ctx context.Context) error {
	var nodes []*node
	var command []any
	switch s.topology {
	case Sentinel:
		nodes, command = s.sentinels, []any{"SENTINEL", "SET", masterName, "down-after-milliseconds", calmPatience.Milliseconds()}
	case Cluster:
		nodes, command = s.nodes, []any{"CONFIG", "SET", "cluster-node-timeout", calmPatience.Milliseconds()}
	}
	for _, n := range nodes {
		if _, err := n.do(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all processes and removes their files.
func (s *Server) stop() {
	var wg sync.WaitGroup
	for _, n := range slices.Concat(s.sentinels, s.nodes) {
		wg.Go(n.stop)
	}
	wg.Wait()
	_ = os.RemoveAll(s.dir)
}

// startNodes starts count nodes side by side.
func (s *Server) startNodes(ctx context.Context, count int, start func(context.Context) (*node, error)) ([]*node, error) {
	nodes, errs := make([]*node, count), make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { nodes[i], errs[i] = start(ctx) })
	}
	wg.Wait()
	nodes = slices.DeleteFunc(nodes, func(n *node) bool { return n == nil })
	return nodes, errors.Join(errs...)
}

func (s *Server) startStandalone(ctx context.Context, b binary) error {
	n, err := startNode(ctx, b, s.dir, 1, func([]int) string { return dataConfig })
	if err != nil {
		return err
	}
	s.nodes = []*node{n}
	return nil
}

package redistest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Proxy is a network between clients and the nodes of a server that can be
// made to fail. It has a front for every node, sentinels included, and works
// on requests and replies, not on packets. Its faults act on all nodes and add
// up; its methods are safe for concurrent use.
type Proxy struct {
	t testing.TB
	s *Server

	mu       sync.Mutex
	fronts   map[string]*front
	conns    map[*proxyConn]bool
	closed   bool
	refusing bool
	fault    fault
	changed  chan struct{} // closed and replaced when fault changes
	drops    []drop
	requests int

	running sync.WaitGroup
}

// fault is what slows down or stops the flow of bytes.
type fault struct {
	blackhole bool
	delay     time.Duration
	rate      int // bytes per second, 0 for no limit
}

// drop is an order to lose the replies to the next n requests that match.
type drop struct {
	match func(request []byte) bool
	n     int
}

// Proxy puts a fault proxy in front of every node of s. Clients made with
// [Proxy.Client] go through it, others do not. It is closed when the test
// ends. On the server of [Mini] it works in memory and in virtual time.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{
		t:       t,
		s:       s,
		fronts:  make(map[string]*front),
		conns:   make(map[*proxyConn]bool),
		changed: make(chan struct{}),
	}
	t.Cleanup(p.close)
	return p
}

// Client returns a client like [Server.Client] whose connections go through
// the proxy.
func (p *Proxy) Client(t testing.TB, edits ...func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	opts := p.s.options()
	opts.Dialer = p.dial
	for _, edit := range edits {
		edit(opts)
	}
	return newClient(t, opts)
}

// DropReplies loses the replies to the next n requests: each is executed, its
// reply is swallowed and the connection is cut. What a client sends to set up
// a connection, to find the nodes or to subscribe is passed over.
func (p *Proxy) DropReplies(n int) {
	p.DropRepliesTo(func(request []byte) bool { return isCall(words(request, 2)) }, n)
}

// DropRepliesTo is [Proxy.DropReplies] for the next n requests for which match
// is true; [Command] makes such a function. It is given every request as the
// bytes on the wire, connection setup included, and must not keep them. In a
// pipeline, the replies before the dropped one arrive, and those after it are
// lost with the connection; of a transaction, EXEC's reply is lost. n = 0
// forgets earlier orders.
func (p *Proxy) DropRepliesTo(match func(request []byte) bool, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n <= 0 {
		p.drops = nil
		return
	}
	p.drops = append(p.drops, drop{match, n})
}

// Cut closes all connections, with whatever is on its way. New ones are
// welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, c := range conns { // without p.mu, which each takes under its own lock
		c.close()
	}
}

// Refuse on makes the ports refuse connections, as if no server listened, and
// cuts the existing ones; off opens the same ports again.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	if !p.closed {
		p.refusing = on
		for _, f := range p.fronts {
			f.mute(on)
		}
	}
	p.mu.Unlock()
	if on {
		p.Cut()
	}
}

// Blackhole on keeps everything that is sent, in both directions, on existing
// connections and new ones. Off delivers it late, as a healed network does:
// also the requests of clients that have gone away since.
func (p *Proxy) Blackhole(on bool) { p.change(func(f *fault) { f.blackhole = on }) }

// Delay delivers what is sent from now on after d, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.change(func(f *fault) { f.delay = d }) }

// Throttle limits every connection to a rate in each direction; 0 lifts the
// limit.
func (p *Proxy) Throttle(bytesPerSecond int) { p.change(func(f *fault) { f.rate = bytesPerSecond }) }

func (p *Proxy) change(set func(*fault)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set(&p.fault)
	close(p.changed)
	p.changed = make(chan struct{})
}

// current returns the fault in force, and a channel that is closed when
// another one is.
func (p *Proxy) current() (fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

// Requests returns the number of requests that came through so far, without
// those that [Proxy.DropReplies] passes over.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// sawRequest counts a request and decides whether its reply is lost; spared
// says that it must not be.
func (p *Proxy) sawRequest(request []byte, spared bool) (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isCall(words(request, 2)) {
		p.requests++
	}
	if spared {
		return false
	}
	for i := range p.drops {
		if d := &p.drops[i]; d.n > 0 && d.match(request) {
			d.n--
			return true
		}
	}
	return false
}

// dial connects to the front of the node at addr.
func (p *Proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	f, err := p.front(addr)
	if err != nil {
		return nil, fmt.Errorf("redistest: proxy to %s: %w", addr, err)
	}
	return f.dial(ctx, network)
}

// front returns the front of a node, which is made when a client first asks
// for the node.
func (p *Proxy) front(addr string) (*front, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("closed")
	}
	if f, ok := p.fronts[addr]; ok {
		return f, nil
	}
	f, err := newFront(p, addr)
	if err != nil {
		return nil, err
	}
	p.fronts[addr] = f
	f.mute(p.refusing)
	return f, nil
}

// add makes a connection one that faults act on; false if there must be none.
func (p *Proxy) add(c *proxyConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refusing {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) remove(c *proxyConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	for _, f := range p.fronts {
		f.mute(true)
	}
	p.mu.Unlock()
	p.Cut()
	p.running.Wait()
}

package redistest

import (
	"context"
	"errors"
	"net"
	"time"
)

// front stands for one node: clients connect to it instead.
type front struct {
	p    *Proxy
	node string // the node's address

	addr     string       // where the front listens; "" if it works in memory
	listener net.Listener // nil while muted; guarded by p.mu
}

// newFront makes a front that accepts connections; p.mu is held.
func newFront(p *Proxy, node string) (*front, error) {
	f := &front{p: p, node: node}
	if p.s.mini != nil && p.s.mini.inMemory {
		return f, nil
	}
	l, err := listenFree()
	if err != nil {
		return nil, err
	}
	f.addr = l.Addr().String()
	f.accept(l)
	return f, nil
}

// accept serves the connections of a listener until it is closed.
func (f *front) accept(l net.Listener) {
	f.listener = l
	f.p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			f.p.running.Go(func() { f.serve(client) })
		}
	})
}

// mute stops or resumes listening; p.mu is held. The port is below the
// ephemeral range, so only another server could have taken it meanwhile.
func (f *front) mute(on bool) {
	if f.addr == "" {
		return
	}
	if on {
		if f.listener != nil {
			f.listener.Close()
			f.listener = nil
		}
		return
	}
	if f.listener != nil {
		return
	}
	err := poll(context.Background(), 5*time.Second, func(context.Context) error {
		l, err := net.Listen("tcp", f.addr)
		if err == nil {
			f.accept(l)
		}
		return err
	})
	if err != nil {
		f.p.t.Errorf("redistest: the proxy cannot listen again: %v", err)
	}
}

// dial connects a client to the front.
func (f *front) dial(ctx context.Context, network string) (net.Conn, error) {
	if f.addr != "" {
		c, err := new(net.Dialer).DialContext(ctx, network, f.addr)
		if err != nil {
			return nil, err
		}
		return clientConn{c.(*net.TCPConn), nodeAddr(f.node)}, nil
	}
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if f.p.refusing || f.p.closed {
		return nil, refused(network, f.node)
	}
	near, far := net.Pipe()
	f.p.running.Go(func() { f.serve(far) })
	return near, nil
}

// clientConn is a connection to a front that says it goes to the node: go-redis
// tells by the remote address which connections a failover makes stale. It
// keeps SyscallConn, by which go-redis finds pooled connections that were cut.
type clientConn struct {
	*net.TCPConn
	remote net.Addr
}

func (c clientConn) RemoteAddr() net.Addr { return c.remote }

// serve connects a client to the node and carries their bytes until one of
// them leaves or the proxy cuts the connection.
func (f *front) serve(client net.Conn) {
	defer client.Close()
	c := newProxyConn(f.p, client)
	if !f.p.add(c) {
		return
	}
	defer f.p.remove(c)
	server, err := f.connect(c)
	if err != nil {
		return // the client sees its connection end
	}
	defer server.Close()
	c.carry(server)
}

// connect connects to the node.
func (f *front) connect(c *proxyConn) (net.Conn, error) {
	if f.addr == "" {
		return f.p.s.mini.dial(c.ctx, "", "")
	}
	server, err := new(net.Dialer).DialContext(c.ctx, "tcp", f.node)
	if err != nil && c.ctx.Err() != nil {
		return nil, errors.Join(err, c.ctx.Err())
	}
	return server, err
}

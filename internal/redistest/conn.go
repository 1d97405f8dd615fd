package redistest

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
)

// proxyConn is one connection through a front. It reads requests and replies
// as such, so that it knows which reply belongs to which request.
type proxyConn struct {
	p      *Proxy
	ctx    context.Context // ends when the connection does
	cancel context.CancelFunc
	client net.Conn

	mu         sync.Mutex
	server     net.Conn // nil until connected
	closed     bool
	pending    []bool // for each request without a reply: is that reply to be lost?
	inMulti    bool   // between MULTI and EXEC
	multiLost  bool   // lose the reply to the coming EXEC
	subscribed bool   // there may be messages that answer no request
	subLost    bool   // lose the reply to the last SUBSCRIBE
}

func newProxyConn(p *Proxy, client net.Conn) *proxyConn {
	c := &proxyConn{p: p, client: client}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close cuts the connection.
func (c *proxyConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.cancel()
	c.client.Close()
	if c.server != nil {
		c.server.Close()
	}
}

// carry moves requests and replies until the connection ends.
func (c *proxyConn) carry(server net.Conn) {
	c.mu.Lock()
	c.server = server
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return
	}
	defer c.close()
	up, down := newLink(c.p, c.ctx.Done()), newLink(c.p, c.ctx.Done())
	var wg sync.WaitGroup
	wg.Go(func() { c.readRequests(up) })
	wg.Go(func() { c.readReplies(server, down) })
	wg.Go(func() {
		if up.deliver(server) {
			// The client has left. What it sent is still executed, for which
			// the server must not find the connection reset.
			closeWrite(server)
		}
	})
	wg.Go(func() {
		if down.deliver(c.client) {
			c.close()
		}
	})
	wg.Wait()
}

func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		return
	}
	_ = conn.Close()
}

func (c *proxyConn) readRequests(up *link) {
	defer up.end()
	r := bufio.NewReaderSize(c.client, 1<<16)
	var batch []byte
	for {
		request, err := readFrame(r)
		if err != nil {
			return
		}
		c.expect(request)
		batch = append(batch, request...)
		// A pipeline goes on in one piece: were its first reply lost, the
		// rest would otherwise not be executed.
		if r.Buffered() == 0 {
			up.send(batch)
			batch = nil
		}
	}
}

func (c *proxyConn) readReplies(server net.Conn, down *link) {
	defer down.end()
	r := bufio.NewReaderSize(server, 1<<16)
	for {
		reply, err := readFrame(r)
		if err != nil || c.isLost(reply) {
			return
		}
		down.send(reply)
	}
}

// expect notes a request whose reply will come.
func (c *proxyConn) expect(request []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := ""
	if w := words(request, 1); len(w) == 1 {
		name = strings.ToLower(w[0])
	}
	// Of a transaction the reply that matters is EXEC's, and it is lost once.
	lost := c.p.sawRequest(request, c.multiLost)
	switch {
	case isSubscription(name):
		c.subscribed = true
		c.subLost = c.subLost || lost
		return
	case name == "exec":
		lost = lost || c.multiLost
		c.inMulti, c.multiLost = false, false
	case name == "discard":
		c.inMulti, c.multiLost = false, false
	case name == "multi", c.inMulti:
		c.inMulti = true
		c.multiLost = c.multiLost || lost
		lost = false
	}
	c.pending = append(c.pending, lost)
}

// isLost reports whether a reply is one that was ordered to be lost.
func (c *proxyConn) isLost(reply []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind, ok := c.pushKind(reply); ok {
		return c.subLost && isSubscription(kind)
	}
	if len(c.pending) == 0 { // such as a greeting of "max number of clients reached"
		return false
	}
	lost := c.pending[0]
	c.pending = c.pending[1:]
	return lost
}

// pushKind returns the kind of a frame that is not the reply to a request, or
// is the reply to a subscription: RESP3 marks them, RESP2 does not.
func (c *proxyConn) pushKind(frame []byte) (string, bool) {
	if !bytes.HasPrefix(frame, []byte(">")) && !c.subscribed {
		return "", false
	}
	kind := ""
	if w := words(frame, 1); len(w) == 1 {
		kind = w[0]
	}
	if frame[0] == '>' {
		return kind, true
	}
	switch kind {
	case "message", "pmessage", "smessage":
		return kind, frame[0] == '*'
	}
	return kind, frame[0] == '*' && isSubscription(kind)
}

func isSubscription(name string) bool {
	switch strings.ToLower(name) {
	case "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe":
		return true
	}
	return false
}

// isCall reports whether a request is one of the client's user, as opposed to
// what its library sends of its own accord.
func isCall(words []string) bool {
	return len(words) > 0 && !isSetup(words...) && !isSubscription(words[0]) && !strings.EqualFold(words[0], "asking")
}

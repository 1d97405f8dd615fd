package main

import (
	"context"
	"net"
	"sync/atomic"
)

// wire counts the commands that a library sends to Redis, each alone or in a
// pipeline; what a script does inside the server does not count.
type wire struct{ commands atomic.Int64 }

// dial connects to a server.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	return &wireConn{TCPConn: tcp, wire: w}, nil
}

// wireConn is a connection whose commands are counted. All else is the connection's:
// go-redis looks at its file descriptor.
type wireConn struct {
	*net.TCPConn
	wire   *wire
	mark   byte // of the line being read: '*' begins a command, '$' an argument
	number int  // on that line
	skip   int  // bytes of the argument that are still to come
}

func (c *wireConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.wire.commands.Add(c.count(p[:n]))
	return n, err
}

// count reads the requests, however they are cut, and counts them.
func (c *wireConn) count(p []byte) (commands int64) {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			continue
		}
		switch b := p[0]; {
		case b == '*' || b == '$':
			c.mark, c.number = b, 0
		case b >= '0' && b <= '9':
			c.number = c.number*10 + int(b-'0')
		case b == '\n' && c.mark == '*':
			commands++
		case b == '\n':
			c.skip = c.number + len("\r\n")
		}
		p = p[1:]
	}
	return commands
}

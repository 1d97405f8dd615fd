package redistest

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// embedded is a miniredis that can be killed and paused like a process.
type embedded struct {
	m        *miniredis.Miniredis
	inMemory bool // no listener: connections are pipes

	mu     sync.Mutex
	down   bool
	paused chan struct{} // closed by resume; nil while running
}

// Mini starts a miniredis for this test alone that has no listener: its
// clients talk to it through in-memory connections, so it works inside a
// testing/synctest bubble, where the server's clock and TTLs follow the
// bubble's virtual time.
func Mini(t testing.TB) *Server {
	t.Helper()
	e := &embedded{m: miniredis.NewMiniRedis(), inMemory: true}
	e.m.ClockTTL(true)
	t.Cleanup(e.stop)
	return &Server{topology: Miniredis, version: string(Miniredis), mini: e}
}

// Bubble runs a test in virtual time, on a miniredis of its own.
func Bubble(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // exec's idle workers end
		f(t, Mini(t))
	})
}

// startEmbedded starts a miniredis that listens on a port.
func startEmbedded(t testing.TB) *Server {
	t.Helper()
	e := &embedded{m: miniredis.NewMiniRedis()}
	e.m.ClockTTL(true)
	addr, err := retryPorts(func(ports []int) error { return e.m.StartAddr(hostPort(ports[0])) }, 1)
	if err != nil {
		t.Fatalf("redistest: start miniredis on %v: %v", addr, err)
	}
	t.Cleanup(e.stop)
	return &Server{topology: Miniredis, version: string(Miniredis), mini: e}
}

// dial opens an in-memory connection.
func (e *embedded) dial(context.Context, string, string) (net.Conn, error) {
	e.mu.Lock()
	down := e.down
	e.mu.Unlock()
	if down { // Dial would start the server again
		return nil, refused("pipe", "miniredis")
	}
	conn, err := e.m.Dial()
	if err != nil {
		return nil, err
	}
	return newPatientConn(conn), nil
}

// refused is the error of a dial to a port that nobody listens on.
func refused(network, addr string) error {
	return &net.OpError{Op: "dial", Net: network, Addr: nodeAddr(addr), Err: syscall.ECONNREFUSED}
}

func (e *embedded) stop() {
	e.resume()
	e.m.Close()
}

func (e *embedded) kill() {
	e.resume() // a request that is being held would keep Close from returning
	e.mu.Lock()
	e.down = true
	e.mu.Unlock()
	e.m.Close()
}

// restart starts the server again, empty like a process without persistence.
func (e *embedded) restart() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.down {
		return nil
	}
	e.m.FlushAll()
	// Close cancelled it, and blocking commands would return at once.
	e.m.Ctx, e.m.CtxCancel = context.WithCancel(context.Background())
	if !e.inMemory {
		if err := e.m.Restart(); err != nil {
			return err
		}
	}
	e.down = false
	rdb := adminClient(loopback, func(context.Context, string, string) (net.Conn, error) { return e.m.Dial() })
	defer rdb.Close()
	return rdb.ScriptFlush(context.Background()).Err()
}

// pause makes the server hold every request until resume; connections are
// accepted meanwhile, as the kernel does for a stopped process.
func (e *embedded) pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down || e.paused != nil {
		return
	}
	hold := make(chan struct{})
	e.paused = hold
	srv := e.m.Server()
	if srv == nil { // in-memory, and nobody has connected yet
		if c, err := e.m.Dial(); err == nil {
			c.Close()
		}
		srv = e.m.Server()
	}
	srv.SetPreHook(func(*server.Peer, string, ...string) bool {
		<-hold
		return false
	})
}

func (e *embedded) resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused == nil {
		return
	}
	if srv := e.m.Server(); srv != nil {
		srv.SetPreHook(nil)
	}
	close(e.paused)
	e.paused = nil
}

package pubsub

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// recovery is how long it may take until events arrive again, on real servers and a machine
// that has other things to do. The exact bounds have tests in virtual time.
const recovery = 30 * time.Second

// TestMigration moves the slot of a topic to another node while it is published to.
func TestMigration(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Cluster)
	for _, unsharded := range []bool{false, true} {
		both(t, func(t *testing.T, o Options) {
			o.Unsharded = unsharded
			bus := newBus(t, s.Client(t), o)
			l := newLoad(t, "topic", []*Redis{asPromised(newBus(t, s.Client(t), o))}, []*Redis{bus}, SubscribeOptions{})
			l.start(time.Millisecond)
			for range runs(4) {
				l.receives(10)
				m := s.MigrateSlot(t, bus.topicKey("topic"))
				l.receives(1)
				m.Move(t, bus.topicKey("topic"))
				time.Sleep(20 * time.Millisecond) // messages go astray
				m.Finish(t)
				begun := time.Now()
				l.receives(10)
				if d := time.Since(begun); d > recovery {
					t.Errorf("it took %v to receive again", d)
				}
			}
			l.settle(o.HistoryLen == 0) // the other node's numbers may have another past
			if o.HistoryLen > 0 && l.ledgers[0].has(Reset, Trimmed) {
				t.Errorf("something was not replayed: %s", l.ledgers[0].summary())
			}
		})
	}
}

// TestFailover promotes a replica, which may lack the latest events. None is delivered
// twice, and what is lost is announced.
func TestFailover(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for range runs(4) {
			both(t, func(t *testing.T, o Options) {
				bus := newBus(t, s.Client(t), o)
				l := newLoad(t, "topic", []*Redis{asPromised(newBus(t, s.Client(t), o))}, []*Redis{bus}, SubscribeOptions{})
				l.start(time.Millisecond)
				l.receives(10)
				s.FailoverMasterOf(t, bus.topicKey("topic"))
				begun := time.Now()
				l.receives(10)
				if d := time.Since(begun); d > recovery {
					t.Errorf("it took %v to receive again", d)
				}
				l.settle(true)
			})
		}
	})
}

// TestMasterKilled kills the master of a topic; a replica takes its place.
func TestMasterKilled(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for range runs(4) {
			both(t, func(t *testing.T, o Options) {
				hasty := o
				hasty.Timeout = time.Second
				bus := newBus(t, s.Client(t), hasty)
				l := newLoad(t, "topic", []*Redis{asPromised(newBus(t, s.Client(t), o))}, []*Redis{bus}, SubscribeOptions{})
				l.start(time.Millisecond)
				l.receives(10)
				s.KillMasterOf(t, bus.topicKey("topic"))
				l.receives(10)
				s.Restart(t)
				l.receives(10)
				l.settle(true)
			})
		}
	})
}

// switched is a client whose new connections go where it is told.
type switched struct {
	mu    sync.Mutex
	to    *redistest.Server
	conns []*switchedConn
}

type switchedConn struct {
	net.Conn
	mu         sync.Mutex
	subscribed bool
}

func (c *switchedConn) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(b), []byte("subscribe")) {
		c.mu.Lock()
		c.subscribed = true
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (d *switched) dial(context.Context, string, string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.to.Mini().Dial()
	if err != nil {
		return nil, err
	}
	s := &switchedConn{Conn: c}
	d.conns = append(d.conns, s)
	return s, nil
}

// demote sends new connections elsewhere, and ends those that were no subscriptions.
func (d *switched) demote(to *redistest.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
	for _, c := range d.conns {
		c.mu.Lock()
		if !c.subscribed {
			c.Close()
		}
		c.mu.Unlock()
	}
}

// TestDemoted leaves the subscriber on a server that answers, but is not the one that events
// are published to any more.
func TestDemoted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, o Options) {
		redistest.Bubble(t, func(t *testing.T, first *redistest.Server) {
			second := redistest.Mini(t)
			d := &switched{to: first}
			rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Dialer: d.dial})
			defer rdb.Close()
			bus := asPromised(newBus(t, rdb, o))
			l := newLoad(t, "topic", []*Redis{bus}, []*Redis{bus}, SubscribeOptions{})
			l.start(10 * time.Millisecond)
			l.receives(10)
			d.demote(second)
			begun := time.Now()
			for !l.ledgers[0].has(Reset) {
				time.Sleep(10 * time.Millisecond)
			}
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("it took %v to announce a gap", d)
			}
			l.receives(10)
			l.settle(true)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := bus.Close(ctx); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	})
}

// TestCourse has a server take another course while the subscriber's connection is down, as
// after a failover: nothing tells then whether numbers have gone back and grown again.
func TestCourse(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		for _, changes := range []bool{false, true} {
			o := Options{Prefix: redistest.Prefix(t)}
			proxy := s.Proxy(t)
			l := newLoad(t, "topic", []*Redis{newBus(t, proxy.Client(t), o)}, []*Redis{newBus(t, s.Client(t), o)}, SubscribeOptions{})
			l.publish(0)
			redistest.Eventually(t, "the first event is there", func() bool { return l.balances(false) })
			proxy.Refuse(true)
			if changes { // a replica of nobody, and a master again
				s.Do(t, "REPLICAOF", "127.0.0.1", "1")
				s.Do(t, "REPLICAOF", "NO", "ONE")
			}
			for range 5 {
				l.publish(0)
			}
			proxy.Refuse(false)
			l.settle(changes)
			if led := l.ledgers[0]; len(led.gaps) != 1 || led.unknown != changes {
				t.Errorf("%s, want one gap, of unknown size: %v", led.summary(), changes)
			}
		}
	})
}

// TestFlushed flushes everything.
func TestFlushed(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, redistest.Quick(redistest.Miniredis, redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, []*Redis{newBus(t, s.Client(t), o)}, SubscribeOptions{})
			l.start(time.Millisecond)
			for range runs(8) {
				l.receives(5)
				forEachMaster(t, s, "FLUSHALL")
			}
			l.settle(true)
			if !l.ledgers[0].has(Reset) {
				t.Errorf("no Reset: %s", l.ledgers[0].summary())
			}
		})
	})
}

// gated is a network whose readers wait while it is closed.
type gated struct {
	mu   sync.Mutex
	open *sync.Cond
	shut bool
}

type gatedConn struct {
	net.Conn
	gate *gated
}

func (c *gatedConn) Read(b []byte) (int, error) {
	c.gate.mu.Lock()
	for c.gate.shut {
		c.gate.open.Wait()
	}
	c.gate.mu.Unlock()
	return c.Conn.Read(b)
}

func (g *gated) shutting(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = on
	g.open.Broadcast()
}

// TestOutputBuffer has the subscriber's process stand still until the server ends its
// connection.
func TestOutputBuffer(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		s.Do(t, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 0 0")
		both(t, func(t *testing.T, o Options) {
			gate := &gated{}
			gate.open = sync.NewCond(&gate.mu)
			subscriber := newBus(t, s.Client(t, func(o *redis.UniversalOptions) {
				o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					return &gatedConn{c, gate}, nil
				}
			}), o)
			publisher := newBus(t, s.Client(t), o)
			t.Cleanup(func() { gate.shutting(false) })
			l := newLoad(t, "topic", []*Redis{subscriber}, []*Redis{publisher}, SubscribeOptions{})
			_, err := subscriber.Subscribe(t.Context(), "bulk", func(context.Context, Event) error { return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			l.start(time.Millisecond)
			l.receives(1)
			gate.shutting(true)
			for i := 0; contains(s.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string), "id="); i++ {
				if err := publisher.Publish(t.Context(), "bulk", Event{Data: make([]byte, 100_000)}); err != nil || i == 1000 {
					t.Fatalf("Publish %d = %v, and the connection is still there", i, err)
				}
			}
			gate.shutting(false)
			l.settle(false)
		})
	})
}

// TestTrimmed trims and removes the history that a subscription reads.
func TestTrimmed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		o := Options{Prefix: redistest.Prefix(t), HistoryLen: 100}
		bus := newBus(t, s.Client(t), o)
		release := make(chan struct{})
		led := &ledger{last: map[string]int{}}
		entered := make(chan struct{}, 1)
		_, err := bus.Subscribe(t.Context(), "topic", func(ctx context.Context, e Event) error {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-release
			return led.handle(ctx, e)
		}, &SubscribeOptions{Buffer: 2, OnGap: led.gap})
		if err != nil {
			t.Fatal(err)
		}
		l := &load{t: t, topic: "topic", buses: []*Redis{bus}, ledgers: []*ledger{led}, next: []int{0}, quit: make(chan struct{})}
		for range 300 {
			l.publish(0)
		}
		<-entered
		close(release)
		l.settle(false)
		if len(led.gaps) != 1 || led.gaps[0].Reason != Trimmed {
			t.Errorf("%s, want one gap, Trimmed", led.summary())
		}
	})
}

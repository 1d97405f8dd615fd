package exec

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	"github.com/freshet-go/freshet/internal/redistest"
)

// timeScript returns the server's time in microseconds.
var timeScript = NewScript(`local t = redis.call('time') return t[1] * 1000000 + t[2]`)

// ask has the clock of key's server observed.
func ask(t *testing.T, c *Client, key string) time.Time {
	t.Helper()
	cmd := timeScript.Cmd([]string{key})
	if err := c.Do(t.Context(), c.Budget(), cmd); err != nil {
		t.Errorf("Do(TIME) = %v, want nil", err)
		return time.Time{}
	}
	server := time.UnixMicro(cmd.Val().(int64))
	c.Observe(cmd, server)
	return server
}

// The bounds hold on a network with any delay, and when the server's clock is
// set by an hour or by decades. In virtual time, in which the server's clock is
// known exactly.
func TestServerTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			s := redistest.Mini(t)
			p := s.Proxy(t)
			c := newClient(t, p.Client(t), patience)
			if _, _, ok := c.ServerTime("k"); ok {
				t.Error("ServerTime before any reply is known, want unknown")
			}
			ask(t, c, "k")
			var offset time.Duration // of the server's clock
			s.Mini().Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
				if cmd == "EVALSHA" { // not what the script calls, under a lock
					s.Mini().SetTime(time.Now().Add(offset))
				}
				return false
			})
			const decades = 26 * 365 * 24 * time.Hour
			for i := range 500 {
				if rnd.IntN(10) == 0 {
					offset = []time.Duration{0, time.Hour, -time.Hour, decades, -decades}[rnd.IntN(5)]
				}
				p.Delay(time.Duration(rnd.Int64N(int64(50 * time.Millisecond))))
				ask(t, c, "k")
				time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
				earliest, latest, ok := c.ServerTime("k")
				now := time.Now().Add(offset)
				// The server says microseconds, rounded down.
				if !ok || earliest.After(now) || latest.Before(now.Add(-time.Microsecond)) {
					t.Fatalf("seed %d, step %d: ServerTime = %v to %v, %t, want %v within", seed, i, earliest, latest, ok, now)
				}
				if d := latest.Sub(earliest); d > 100*time.Millisecond {
					t.Fatalf("seed %d, step %d: ServerTime is %v wide, want at most a round trip", seed, i, d)
				}
			}
			time.Sleep(2 * workerIdle)
		})
	}
}

// A reply from before the clock was set that is observed late does not count.
func TestServerTimeOutOfOrder(t *testing.T) {
	t.Parallel()
	var c clock
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	c.observe(at(-time.Hour).Add(11*time.Millisecond), at(10*time.Millisecond), at(12*time.Millisecond))
	c.observe(at(5*time.Millisecond), at(4*time.Millisecond), at(8*time.Millisecond))
	earliest, latest, ok := c.at(time.Now())
	want := time.Now().Add(-time.Hour)
	if slack := 5 * time.Millisecond; !ok || earliest.After(want.Add(slack)) || latest.Before(want.Add(-slack)) {
		t.Errorf("at(now) = %v to %v, %t, want %v", earliest, latest, ok, want)
	}
}

// Every node of a cluster has a clock of its own, and real servers agree with
// this machine's.
func TestServerTimeOfNodes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		c := newClient(t, s.Client(t), patience)
		keys := keys(t, 12)
		known := map[string]bool{}
		for _, key := range keys {
			master := s.MasterOf(t, key)
			if _, _, ok := c.ServerTime(key); ok != known[master] {
				t.Errorf("ServerTime of a node is known: %t, want %t", ok, known[master])
			}
			ask(t, c, key)
			known[master] = true
			before := time.Now()
			earliest, latest, ok := c.ServerTime(key)
			if !ok || earliest.After(time.Now()) || latest.Before(before.Add(-time.Millisecond)) {
				t.Errorf("ServerTime = %v to %v, %t, want %v within", earliest, latest, ok, before)
			}
		}
		want := 1
		if s.Topology() == redistest.Cluster {
			want = 3
		}
		if len(known) != want {
			t.Errorf("%d nodes have a clock, want %d", len(known), want)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				key := keys[i%len(keys)] + strconv.Itoa(i)
				ask(t, c, key)
				c.ServerTime(key)
			})
		}
		wg.Wait()
	})
}

package pubsub

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// both runs a body with a live bus's options and with a replayable one's.
func both(t *testing.T, body func(t *testing.T, o Options)) {
	t.Helper()
	for name, o := range map[string]Options{"live": {}, "replayable": {HistoryLen: 1_000_000}} {
		t.Run(name, func(t *testing.T) {
			o.Prefix = redistest.Prefix(t)
			body(t, o)
		})
	}
}

// TestCut cuts the subscribers' connections again and again.
func TestCut(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			proxy := s.Proxy(t)
			subscriber := newBus(t, proxy.Client(t), o)
			l := newLoad(t, "topic", []*Redis{subscriber, subscriber}, []*Redis{newBus(t, s.Client(t), o), newBus(t, s.Client(t), o)}, SubscribeOptions{})
			l.start(time.Millisecond)
			for range runs(10) {
				l.receives(5)
				proxy.Cut()
			}
			l.settle(false)
			if o.HistoryLen > 0 && l.ledgers[0].missed > 0 {
				t.Errorf("something was not replayed: %s", l.ledgers[0].summary())
			}
			if subscriber.Stats().Reconnects == 0 {
				t.Error("no connection was lost")
			}
		})
	})
}

// TestKilled kills the subscribers' connections on the server every 50 ms.
func TestKilled(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone, redistest.RESP2, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			subscriber := newBus(t, s.Client(t), o)
			l := newLoad(t, "topic", []*Redis{subscriber}, []*Redis{newBus(t, s.Client(t), o)}, SubscribeOptions{})
			l.start(time.Millisecond)
			for range 5 * runs(8) {
				forEachMaster(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
				time.Sleep(50 * time.Millisecond) // the schedule of the test
			}
			l.settle(false)
		})
	})
}

// forEachMaster runs a command on every master.
func forEachMaster(t *testing.T, s *redistest.Server, args ...any) {
	t.Helper()
	if s.Topology() != redistest.Cluster {
		s.Do(t, args...)
		return
	}
	for slot := range 3 { // one key in the slots of each master, with an even spread
		rdb := redis.NewClient(&redis.Options{Addr: s.MasterOf(t, []string{"b", "c", "a"}[slot])})
		if err := rdb.Do(t.Context(), args...).Err(); err != nil {
			t.Errorf("%v = %v", args, err)
		}
		rdb.Close()
	}
}

// TestLostReplies loses the replies to batches: none is published twice.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			source := numberSource + publishSource
			if o.HistoryLen > 0 {
				source = numberSource + appendSource
			}
			proxy := s.Proxy(t)
			publisher := newBus(t, proxy.Client(t), o)
			l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, []*Redis{publisher, publisher}, SubscribeOptions{})
			for range 2 * runs(10) {
				proxy.DropRepliesTo(redistest.Script(source), 2)
				if !l.publish(0) {
					t.Error("Publish has failed, though its time was not up")
				}
			}
			l.settle(false)
			if l.ledgers[0].missed > 0 {
				t.Errorf("something was announced that was published: %s", l.ledgers[0].summary())
			}
		})
	})
}

// TestPublisherOutage has Publish fail, with and without knowing whether it has happened.
func TestPublisherOutage(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		both(t, func(t *testing.T, o Options) {
			proxy := s.Proxy(t)
			patient, hasty := o, o
			hasty.Timeout = 200 * time.Millisecond
			publisher := newBus(t, proxy.Client(t), hasty)
			l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), patient)}, []*Redis{publisher, newBus(t, s.Client(t), patient)}, SubscribeOptions{})
			l.start(5 * time.Millisecond)
			for range runs(6) {
				l.receives(5)
				proxy.Refuse(true)
				l.fails(3)
				proxy.Refuse(false)
				l.receives(5)
				proxy.Blackhole(true)
				l.fails(1)
				proxy.Blackhole(false)
			}
			l.settle(false)
			if led := l.ledgers[0]; led.missed > 0 && !led.has(Sequence) {
				t.Errorf("wrong reason: %s", led.summary())
			}
		})
	})
}

// TestHalfOpen black-holes the subscribers' network. In virtual time, so that the five
// seconds are exact.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	for run := range runs(2) {
		both(t, func(t *testing.T, o Options) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				proxy := s.Proxy(t)
				subscriber := asPromised(newBus(t, proxy.Client(t), o))
				l := newLoad(t, "topic", []*Redis{subscriber}, []*Redis{newBus(t, s.Client(t), o)}, SubscribeOptions{})
				l.start(10 * time.Millisecond)
				time.Sleep(time.Duration(run%10) * 370 * time.Millisecond)
				proxy.Blackhole(true)
				begun := time.Now()
				for subscriber.Stats().Reconnects == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				if d := time.Since(begun); d > 4*time.Second {
					t.Errorf("it took %v to notice", d)
				}
				time.Sleep(time.Second)
				proxy.Blackhole(false)
				healed := time.Now()
				l.receives(1)
				if d := time.Since(healed); d > 3*time.Second {
					t.Errorf("it took %v to receive again", d)
				}
				l.settle(false)
			})
		})
	}
}

// TestRestart restarts a server that loses everything.
func TestRestart(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		for run := range runs(4) {
			both(t, func(t *testing.T, o Options) {
				hasty := o
				hasty.Timeout = 300 * time.Millisecond
				l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, []*Redis{newBus(t, s.Client(t), hasty)}, SubscribeOptions{})
				l.start(time.Millisecond)
				l.receives(10)
				s.Kill(t)
				time.Sleep(time.Duration(50+100*(run%2)) * time.Millisecond)
				s.Restart(t)
				l.receives(10)
				l.settle(true)
				if !l.ledgers[0].has(Reset) {
					t.Errorf("no Reset: %s", l.ledgers[0].summary())
				}
			})
		}
	})
}

// TestRestartPersistent restarts a server that loses nothing.
func TestRestartPersistent(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		s.Do(t, "CONFIG", "SET", "appendonly", "yes")
		s.Do(t, "CONFIG", "SET", "appendfsync", "always")
		s.Do(t, "CONFIG", "REWRITE")
		redistest.Eventually(t, "the file is written", func() bool {
			info := fmt.Sprint(s.Do(t, "INFO", "persistence"))
			return contains(info, "aof_rewrite_in_progress:0") && contains(info, "aof_rewrite_scheduled:0") && contains(info, "aof_last_bgrewrite_status:ok")
		})
		both(t, func(t *testing.T, o Options) {
			hasty := o
			hasty.Timeout = 300 * time.Millisecond
			l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, []*Redis{newBus(t, s.Client(t), hasty)}, SubscribeOptions{})
			l.start(time.Millisecond)
			for range runs(2) {
				l.receives(10)
				s.Kill(t)
				time.Sleep(100 * time.Millisecond)
				s.Restart(t)
				l.receives(10)
			}
			l.settle(o.HistoryLen == 0) // a live subscription cannot know that nothing was lost
			if l.ledgers[0].has(Reset) {
				t.Errorf("a Reset: %s", l.ledgers[0].summary())
			}
		})
	})
}

package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

var all = []Topology{Miniredis, Standalone, RESP2, Sentinel, Cluster}

// go-redis repeats a command whose reply was lost, whatever the command.
func TestDropReplies(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		direct, p, key := s.Client(t), s.Proxy(t), Prefix(t)
		rdb := p.Client(t)
		if got, err := rdb.Incr(t.Context(), key).Result(); err != nil || got != 1 {
			t.Fatalf("Incr = %d, %v", got, err)
		}
		p.DropReplies(1)
		if got, err := rdb.Incr(t.Context(), key).Result(); err != nil || got != 3 {
			t.Errorf("one reply lost: Incr = %d, %v; want 3, executed twice", got, err)
		}
		p.DropReplies(4)
		if got, err := rdb.Incr(t.Context(), key).Result(); err == nil {
			t.Errorf("four replies lost: Incr = %d, want an error", got)
		}
		counts(t, direct, key, "7")
		if got := p.Requests(); got != 7 {
			t.Errorf("Requests = %d, want 7", got)
		}
	})
}

func TestDropRepliesTo(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		direct, p, key := s.Client(t), s.Proxy(t), Prefix(t)
		rdb := p.Client(t, failFast)
		p.DropRepliesTo(Command("INCR"), 1)
		if err := rdb.Set(t.Context(), key, 10, 0).Err(); err != nil {
			t.Errorf("Set, which was not to be hit: %v", err)
		}
		if err := rdb.Incr(t.Context(), key).Err(); err == nil {
			t.Error("the reply was not lost")
		}
		counts(t, direct, key, "11")

		p.DropRepliesTo(Command("INCR"), 1)
		p.DropRepliesTo(nil, 0)
		if err := rdb.Incr(t.Context(), key).Err(); err != nil {
			t.Errorf("after the order was taken back: %v", err)
		}
	})
}

// Of a pipeline everything is executed, and the replies before the lost one
// arrive; go-redis gives the whole pipeline the error nevertheless.
func TestDropRepliesInPipeline(t *testing.T) {
	EachOf(t, []Topology{Miniredis, Standalone}, func(t *testing.T, s *Server) {
		direct, p, key := s.Client(t), s.Proxy(t), Prefix(t)
		p.DropRepliesTo(func(request []byte) bool { return strings.Contains(string(request), key+"b") }, 1)
		conn, err := p.dial(t.Context(), "tcp", s.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var pipeline bytes.Buffer
		for _, suffix := range append([]string{"a"}, slices.Repeat([]string{"b"}, 500)...) {
			fmt.Fprintf(&pipeline, "*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key)+1, key+suffix)
		}
		if _, err := conn.Write(pipeline.Bytes()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != ":1\r\n" {
			t.Errorf("received %q, %v; want only the first reply", got, err)
		}
		counts(t, direct, key+"b", "500")
	})
}

func TestDropRepliesOfTransaction(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		direct, p, key := s.Client(t), s.Proxy(t), Prefix(t)
		rdb := p.Client(t, failFast)
		p.DropReplies(1)
		incr := func(pipe redis.Pipeliner) error {
			pipe.Incr(t.Context(), key)
			return pipe.Incr(t.Context(), key).Err()
		}
		if _, err := rdb.TxPipelined(t.Context(), incr); err == nil {
			t.Error("the reply was not lost")
		}
		counts(t, direct, key, "2")
		if _, err := rdb.TxPipelined(t.Context(), incr); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// Messages and confirmations are no replies: the proxy must not pair them with
// requests.
func TestProxyPubSub(t *testing.T) {
	// Not Cluster, where a message takes its time from node to node.
	EachOf(t, []Topology{Miniredis, Standalone, RESP2, Sentinel}, func(t *testing.T, s *Server) {
		p, channel := s.Proxy(t), Prefix(t)
		rdb, direct := p.Client(t), s.Client(t)
		sub := rdb.Subscribe(t.Context(), channel)
		defer sub.Close()
		receive := func(want string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != want {
				t.Fatalf("ReceiveMessage = %v, %v; want %q", m, err, want)
			}
		}
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		direct.Publish(t.Context(), channel, "one")
		receive("one")

		// A message comes between PING and its reply, which is the one lost.
		p.DropRepliesTo(Command("PING"), 1)
		p.Blackhole(true)
		before := p.Requests()
		if err := sub.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(context.Context) error {
			if p.Requests() == before {
				return errors.New("PING has not been sent")
			}
			return nil
		})
		direct.Publish(t.Context(), channel, "two")
		p.Blackhole(false)
		receive("two")
		if m, err := sub.ReceiveTimeout(t.Context(), 10*time.Second); err == nil {
			t.Errorf("the connection was not cut: received %v", m)
		}
		// go-redis subscribes again. The server may take a while to see that the old
		// connection is gone, and count it as a subscriber.
		eventually(t, func(ctx context.Context) error {
			direct.Publish(ctx, channel, "three")
			m, err := sub.ReceiveTimeout(ctx, 100*time.Millisecond)
			if err != nil {
				return err
			}
			if m, ok := m.(*redis.Message); !ok || m.Payload != "three" {
				return fmt.Errorf("received %v", m)
			}
			return nil
		})
	})
}

func TestCut(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		p, key := s.Proxy(t), Prefix(t)
		rdb := p.Client(t, failFast)
		failed := make(chan error, 1)
		go func() { failed <- rdb.BLPop(t.Context(), time.Minute, key).Err() }()
		eventually(t, func(context.Context) error {
			if p.Requests() == 0 {
				return errors.New("BLPOP has not been sent")
			}
			return nil
		})
		p.Cut()
		select {
		case err := <-failed:
			if err == nil || errors.Is(err, redis.Nil) {
				t.Errorf("BLPop = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("BLPop still waits")
		}
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Errorf("after the cut: %v", err)
		}
	})
}

func TestRefuse(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		p, key := s.Proxy(t), Prefix(t)
		rdb := p.Client(t, failFast)
		if err := rdb.Set(t.Context(), key, 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		p.Refuse(true)
		err := rdb.Get(t.Context(), key).Err()
		if op := (*net.OpError)(nil); s.Topology() != Sentinel && (!errors.As(err, &op) || op.Op != "dial") {
			t.Errorf("Get = %v, want a dial error", err)
		} else if err == nil {
			t.Error("Get succeeded")
		}
		p.Refuse(false)
		counts(t, rdb, key, "1")
	})
}

func TestBlackhole(t *testing.T) {
	EachOf(t, all, func(t *testing.T, s *Server) {
		direct, p, key := s.Client(t), s.Proxy(t), Prefix(t)
		rdb := p.Client(t, failFast)
		if err := rdb.Set(t.Context(), key, 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		p.Blackhole(true)
		err := rdb.Incr(t.Context(), key).Err()
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("Incr = %v, want a timeout", err)
		}
		if got := direct.Get(t.Context(), key).Val(); got != "1" {
			t.Errorf("value is %q, want it untouched", got)
		}
		rdb.Close()
		p.Blackhole(false)
		counts(t, direct, key, "2") // late, and without its sender
	})
}

func TestDelayAndThrottle(t *testing.T) {
	EachOf(t, []Topology{Miniredis, Standalone}, func(t *testing.T, s *Server) {
		p, key := s.Proxy(t), Prefix(t)
		rdb := p.Client(t)
		took := func(value string) time.Duration {
			t.Helper()
			began := time.Now()
			if err := rdb.Set(t.Context(), key, value, time.Minute).Err(); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		took("warm up")
		p.Delay(50 * time.Millisecond)
		if got := took("x"); got < 100*time.Millisecond {
			t.Errorf("with 50ms each way, Set took %v", got)
		}
		p.Delay(0)
		p.Throttle(100_000)
		if got := took(strings.Repeat("x", 20_000)); got < 180*time.Millisecond {
			t.Errorf("20 kB at 100 kB/s took %v", got)
		}
		p.Throttle(0)
		took("and back")
	})
}

// Faults and time are virtual in a synctest bubble.
func TestMiniInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Mini(t)
		rdb := s.Client(t)
		if err := rdb.Set(t.Context(), "key", "value", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Second)
		if err := rdb.Get(t.Context(), "key").Err(); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := rdb.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("a second after its end: %v", err)
		}

		p := s.Proxy(t)
		slow := p.Client(t, func(o *redis.UniversalOptions) { o.ReadTimeout = 24 * time.Hour })
		p.Delay(time.Hour)
		began := time.Now()
		if err := slow.Incr(t.Context(), "n").Err(); err != nil {
			t.Error(err)
		}
		// HELLO, CLIENT SETINFO and INCR cross the network one after another.
		if took := time.Since(began); took%(2*time.Hour) != 0 || took == 0 {
			t.Errorf("Incr took %v with an hour each way", took)
		}
		p.Delay(0)
		p.Refuse(true)
		if err := slow.Incr(t.Context(), "n").Err(); err == nil || !strings.Contains(fmt.Sprint(err), "refused") {
			t.Errorf("while refused: %v", err)
		}
		p.Refuse(false)
		s.Pause(t)
		go func() {
			time.Sleep(time.Minute)
			s.Resume(t)
		}()
		began = time.Now()
		if err := slow.Incr(t.Context(), "n").Err(); err != nil || time.Since(began) < time.Minute {
			t.Errorf("while paused for a minute: %v after %v", err, time.Since(began))
		}
		s.Kill(t)
		for range 2 { // on the connection that it has, and on a new one
			if err := slow.Incr(t.Context(), "n").Err(); err == nil {
				t.Error("Incr of a killed server succeeded")
			}
		}
		s.Restart(t)
		if got, err := slow.Incr(t.Context(), "n").Result(); err != nil || got != 1 {
			t.Errorf("after the restart: %d, %v", got, err)
		}
	})
}

// Connections can be cut while requests come through them.
func TestCutUnderLoad(t *testing.T) {
	s := Private(t, Miniredis)
	p := s.Proxy(t)
	rdb := p.Client(t, failFast)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = rdb.Incr(t.Context(), "k").Err()
				}
			}
		})
	}
	for p.Requests() < 1000 {
		p.Cut()
		time.Sleep(100 * time.Microsecond)
	}
	close(done)
	wg.Wait()
}

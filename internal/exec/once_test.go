package exec

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A lost reply, on a client with go-redis's default settings, which by itself
// would execute the command four times.
func TestLostReply(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		direct := s.Client(t)
		loaded(t, direct, incrScript)
		p := s.Proxy(t)
		c := newClient(t, p.Client(t), patience)

		t.Run("single", func(t *testing.T) {
			key := redistest.Prefix(t)
			p.DropRepliesTo(redistest.Command("evalsha"), 1)
			cmd := incr(key)
			err := c.Do(t.Context(), c.Budget(), cmd)
			wantKind(t, "Do(INCR)", err, UnknownOutcome)
			if cmd.Err() != err {
				t.Errorf("Err() = %v, want %v", cmd.Err(), err)
			}
			if n := count(t, direct, key); n != 1 {
				t.Errorf("executed %d times, want 1", n)
			}
		})
		t.Run("batch", func(t *testing.T) {
			keys := keys(t, 12)
			lost := []byte(keys[5])
			p.DropRepliesTo(func(request []byte) bool { return bytes.Contains(request, lost) }, 1)
			cmds := make([]*Cmd, len(keys))
			for i, key := range keys {
				cmds[i] = incr(key)
			}
			err := c.DoAll(t.Context(), c.Budget(), cmds)
			wantKind(t, "DoAll(INCR…)", err, UnknownOutcome)
			wantKind(t, "Err() of the lost one", cmds[5].Err(), UnknownOutcome)
			for i, key := range keys {
				// What came after it may have been cut off.
				if n := count(t, direct, key); n > 1 || n == 0 && (i == 5 || cmds[i].Err() == nil) {
					t.Errorf("command %d = %v was executed %d times, want once", i, cmds[i].Err(), n)
				}
				if err := cmds[i].Err(); err == nil && cmds[i].Val() != int64(1) || err != nil && KindOf(err) != UnknownOutcome {
					t.Errorf("command %d = %v, %v, want 1, nil or an unknown outcome", i, cmds[i].Val(), err)
				}
			}
		})
		t.Run("idempotent", func(t *testing.T) {
			key := redistest.Prefix(t)
			p.DropRepliesTo(redistest.Command("set"), 2)
			set := Command(key, "set", key, "v").Idempotent()
			if err := c.Do(t.Context(), c.Budget(), set); err != nil || set.Val() != "OK" {
				t.Errorf("Do(SET) = %v, %v, want OK, nil", set.Val(), err)
			}
			p.DropRepliesTo(redistest.Command("get"), 2)
			get := Get(key)
			if err := c.Do(t.Context(), c.Budget(), get); err != nil || get.Text() != "v" {
				t.Errorf("Do(GET) = %q, %v, want v, nil", get.Text(), err)
			}
		})
		t.Run("mixed batch", func(t *testing.T) {
			key := redistest.Prefix(t)
			p.DropRepliesTo(redistest.Command("evalsha"), 1)
			once, get, set := incr(key), Get(key), Command(key, "expire", key, 100).Idempotent()
			err := c.DoAll(t.Context(), c.Budget(), []*Cmd{once, get, set})
			wantKind(t, "DoAll(INCR, GET, EXPIRE)", err, UnknownOutcome)
			wantKind(t, "INCR", once.Err(), UnknownOutcome)
			if get.Err() != nil || get.Text() != "1" {
				t.Errorf("GET = %q, %v, want 1, nil", get.Text(), get.Err())
			}
			if set.Err() != nil || set.Val() != int64(1) {
				t.Errorf("EXPIRE = %v, %v, want 1, nil", set.Val(), set.Err())
			}
			if n := count(t, direct, key); n != 1 {
				t.Errorf("executed %d times, want 1", n)
			}
		})
	})
}

// A connection that is cut in the middle of a big batch.
func TestCutBatch(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		direct := s.Client(t)
		loaded(t, direct, incrScript)
		p := s.Proxy(t)
		c := newClient(t, p.Client(t), patience)
		keys := keys(t, 10)
		const each = 300
		var cmds []*Cmd
		for range each {
			for _, key := range keys {
				cmds = append(cmds, incr(key))
			}
		}
		middle := []byte(keys[3])
		seen := 0
		p.DropRepliesTo(func(request []byte) bool {
			if bytes.Contains(request, middle) {
				seen++ // called under the proxy's lock
			}
			return seen == each/2
		}, 1)
		err := c.DoAll(t.Context(), c.Budget(), cmds)
		wantKind(t, "DoAll", err, UnknownOutcome)
		var acked, unknown int64
		for _, cmd := range cmds {
			switch {
			case cmd.Err() == nil:
				acked++
			case KindOf(cmd.Err()) == UnknownOutcome:
				unknown++
			default:
				t.Fatalf("a command = %v, want nil or an unknown outcome", cmd.Err())
			}
		}
		var total int64
		for _, key := range keys {
			n := count(t, direct, key)
			if n > each {
				t.Errorf("executed %d times, want at most %d", n, each)
			}
			total += n
		}
		if total < acked || total > acked+unknown {
			t.Errorf("executed %d, want between %d acknowledged and %d more", total, acked, unknown)
		}
	})
}

// What surely did not execute is sent again within the budget.
func TestPassingErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"CLUSTERDOWN The cluster is down",
		"NOREPLICAS Not enough good replicas to write.",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
		"EXECABORT Transaction discarded because of previous errors.",
		"ERR max number of clients reached",
		"ERR max number of clients + cluster connections reached",
	} {
		t.Run(text[:8], func(t *testing.T) {
			t.Parallel()
			s := redistest.Private(t, redistest.Miniredis)
			c := newClient(t, s.Client(t), 2*time.Second)
			key := redistest.Prefix(t)
			for range 2 { // a connection, and the script
				if err := c.Do(t.Context(), NewBudget(patience), incr(key)); err != nil {
					t.Fatalf("Do(INCR) = %v, want nil", err)
				}
			}
			s.Mini().SetError(text)
			timer := time.AfterFunc(20*time.Millisecond, func() { s.Mini().SetError("") })
			defer timer.Stop()
			cmd := incr(key)
			if err := c.Do(t.Context(), c.Budget(), cmd); err != nil || cmd.Val() != int64(3) {
				t.Errorf("Do(INCR) = %v, %v, want 3, nil", cmd.Val(), err)
			}
			s.Mini().SetError(text)
			timer.Reset(20 * time.Millisecond)
			cmds := []*Cmd{incr(key), incr(key), Get(key)}
			if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
				t.Errorf("DoAll(INCR, INCR, GET) = %v, want nil", err)
			}
			if n := count(t, s.Client(t), key); n != 5 {
				t.Errorf("INCR was executed %d times, want 5", n)
			}
			// Beyond the budget it is what the server said, without effect.
			s.Mini().SetError(text)
			b := NewBudget(30 * time.Millisecond)
			start := time.Now()
			err := c.Do(t.Context(), b, incr(key))
			if errors.Is(err, errNoAnswer) {
				wantKind(t, "Do(INCR)", err, UnknownOutcome) // the last attempt was under way
				return
			}
			wantKind(t, "Do(INCR)", err, Unavailable)
			if !redis.HasErrorPrefix(err, text[:7]) && !redis.HasErrorPrefix(err, text[4:]) {
				t.Errorf("Do(INCR) = %v, want %s", err, text)
			}
			if d := time.Since(start); d > time.Second+slack {
				t.Errorf("Do(INCR) took %v of a budget of 30ms", d)
			}
		})
	}
}

func TestRefusedThenOpen(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := s.Proxy(t)
		c := newClient(t, p.Client(t), 5*time.Second)
		key := redistest.Prefix(t)
		if err := c.Do(t.Context(), NewBudget(patience), incr(key)); err != nil {
			t.Fatalf("Do(INCR) = %v, want nil", err)
		}
		for _, batch := range []int{1, 3} {
			before := count(t, s.Client(t), key)
			p.Refuse(true)
			timer := time.AfterFunc(30*time.Millisecond, func() { p.Refuse(false) })
			defer timer.Stop()
			cmds := make([]*Cmd, batch)
			for i := range cmds {
				cmds[i] = incr(key)
			}
			if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
				t.Errorf("DoAll(%d INCR) = %v, want nil", batch, err)
			}
			if n := count(t, s.Client(t), key) - before; n != int64(batch) {
				t.Errorf("executed %d times, want %d", n, batch)
			}
		}
	})
}

// A reply that only a hostile or broken server gives.
func TestNoScriptForNoScript(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	c := newClient(t, s.Client(t), 100*time.Millisecond)
	if err := c.Do(t.Context(), NewBudget(patience), Get("k")); err != redis.Nil {
		t.Fatalf("Do(GET) = %v, want redis.Nil", err)
	}
	s.Mini().SetError("NOSCRIPT No matching script.")
	if err := c.Do(t.Context(), c.Budget(), Get("k")); KindOf(err) == 0 {
		t.Errorf("Do(GET) = %v, want an error", err)
	}
	if err := c.Do(t.Context(), c.Budget(), incr("k")); KindOf(err) == 0 {
		t.Errorf("Do(INCR) = %v, want an error", err)
	}
}

package exec

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Batches of GETs are one MGET on a single server, and GETs elsewhere: in a
// cluster the keys may be anywhere, and what a wrapper does is not known.
func TestMerge(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		rdb := s.Client(t)
		cluster := strings.Contains(t.Name(), "cluster")
		for _, wrapped := range []bool{false, true} {
			var w *watch
			c := newClient(t, rdb, patience)
			if wrapped {
				c = newClient(t, &own{rdb}, patience)
			}
			keys := keys(t, 20)
			var cmds, want []*Cmd
			for i, key := range keys {
				if i%2 == 0 {
					set := Command(key, "set", key, key)
					want = append(want, set)
				}
				cmds = append(cmds, Get(key))
			}
			if err := c.DoAll(t.Context(), c.Budget(), want); err != nil {
				t.Fatalf("DoAll(SET…) = %v, want nil", err)
			}
			w = watched(rdb)
			if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
				t.Errorf("DoAll(GET…) = %v, want nil", err)
			}
			for i, cmd := range cmds {
				if i%2 == 0 && (cmd.Err() != nil || cmd.Text() != keys[i]) || i%2 == 1 && cmd.Err() != redis.Nil {
					t.Errorf("GET %d = %q, %v", i, cmd.Text(), cmd.Err())
				}
			}
			merged := w.sent("mget") == 1 && w.sent("get") == 0
			apart := w.sent("mget") == 0
			if single := !cluster && !wrapped; single && !merged || !single && !apart {
				t.Errorf("wrapped %t: %d MGET and %d GET were sent", wrapped, w.sent("mget"), w.sent("get"))
			}
		}
	})
}

func TestMGet(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.RESP2}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		p := redistest.Prefix(t)
		direct := s.Client(t)
		if err := errors.Join(direct.MSet(t.Context(), p+"a", "1", p+"empty", "", p+"b", "2").Err(),
			direct.LPush(t.Context(), p+"list", "x").Err()); err != nil {
			t.Fatal(err)
		}
		front := s.Proxy(t)
		c := newClient(t, front.Client(t), patience)
		if !c.OneServer() {
			t.Error("OneServer() = false")
		}
		keys := []string{p + "b", p + "none", p + "a", p + "empty", p + "list", p + "b"}
		want := []string{"2", "", "1", "", "", "2"}
		mget := MGet(keys)
		if err := c.Do(t.Context(), c.Budget(), mget); err != nil || !slices.Equal(mget.Texts(), want) {
			t.Errorf("MGet = %q, %v, want %q", mget.Texts(), err, want)
		}
		front.DropRepliesTo(redistest.Command("mget"), 1)
		mget = MGet(keys)
		if err := c.Do(t.Context(), c.Budget(), mget); err != nil || !slices.Equal(mget.Texts(), want) {
			t.Errorf("after a lost reply MGet = %q, %v, want %q", mget.Texts(), err, want)
		}
	})
	redistest.EachOf(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		if newClient(t, s.Client(t), patience).OneServer() {
			t.Error("OneServer() = true for a cluster")
		}
	})
}

// One key that may not be read does not keep the others from being read.
func TestMergeRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	admin := s.Client(t)
	if err := admin.Do(t.Context(), "acl", "setuser", "app", "on", ">pw", "~mine*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	if err := admin.MSet(t.Context(), "mine1", "a", "mine2", "b").Err(); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "app", "pw" }), patience)
	cmds := []*Cmd{Get("mine1"), Get("other"), Get("mine2")}
	wantKind(t, "DoAll", c.DoAll(t.Context(), c.Budget(), cmds), Refused)
	wantKind(t, "GET of a key that may not be read", cmds[1].Err(), Refused)
	if cmds[0].Text() != "a" || cmds[2].Text() != "b" {
		t.Errorf("the other keys = %q, %q (%v, %v), want a, b", cmds[0].Text(), cmds[2].Text(), cmds[0].Err(), cmds[2].Err())
	}
	if n, _ := c.nodes.of(""); n.breaker.failures.Load() != 0 {
		t.Error("the refusal counted as a failure of the connection")
	}
}

// Nor the others who asked for the same, when they share a pipeline.
func TestMergeRefusedShared(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		admin := s.Client(t)
		if err := admin.Do(t.Context(), "acl", "setuser", prefix, "on", ">pw", "~"+prefix+"*", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
		if err := admin.Set(t.Context(), prefix, "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = prefix, "pw" }), patience)
		crowd(64, func(i int) {
			if i%8 == 0 {
				wantKind(t, "GET of a key that may not be read", c.Do(t.Context(), c.Budget(), Get("other")), Refused)
				return
			}
			cmd := Get(prefix)
			if err := c.Do(t.Context(), c.Budget(), cmd); err != nil || cmd.Text() != "v" {
				t.Errorf("GET beside it = %q, %v, want v", cmd.Text(), err)
			}
		})
	})
}

// An MGET whose reply is lost is sent again.
func TestMergeLost(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		k, l := redistest.Prefix(t), redistest.Prefix(t)
		if err := s.Client(t).MSet(t.Context(), k, "v", l, "w").Err(); err != nil {
			t.Fatal(err)
		}
		p := s.Proxy(t)
		c := newClient(t, p.Client(t), patience)
		var lost atomic.Int64
		p.DropRepliesTo(func(request []byte) bool {
			if redistest.Command("mget")(request) {
				lost.Add(1)
				return true
			}
			return false
		}, 2)
		cmds := []*Cmd{Get(k), Get(l)}
		if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil || cmds[0].Text() != "v" || cmds[1].Text() != "w" {
			t.Errorf("DoAll = %v, with %q and %q, want v and w", err, cmds[0].Text(), cmds[1].Text())
		}
		if lost.Load() != 2 {
			t.Errorf("%d replies were lost, want 2", lost.Load())
		}
	})
}

// What is not a string looks like nothing in a merged batch.
func TestMergeWrongType(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		c := newClient(t, s.Client(t), patience)
		list, key := redistest.Prefix(t), redistest.Prefix(t)
		if err := c.DoAll(t.Context(), c.Budget(), []*Cmd{Command(list, "lpush", list, "x"), Command(key, "set", key, "v")}); err != nil {
			t.Fatal(err)
		}
		cmds := []*Cmd{Get(list), Get(key)}
		if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil || cmds[0].Err() != redis.Nil || cmds[1].Text() != "v" {
			t.Errorf("DoAll = %v, with %v and %q, want redis.Nil and v", err, cmds[0].Err(), cmds[1].Text())
		}
	})
}

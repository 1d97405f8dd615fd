package cache

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The server is out of memory: what it has is served, and nothing is stored.
func TestOutOfMemory(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{})
		for _, key := range []string{"kept", "set", "gone", "expired", "held"} {
			if err := c.Set(t.Context(), key, []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
		}
		s.Do(t, "config", "set", "maxmemory", 1)
		wants(t, c, "kept", mustNotLoad(t), "v")
		for range 10 {
			o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
			o.wants(t, "new", "w")
			if o.took > time.Second {
				t.Errorf("GetOrLoad took %v", o.took)
			}
		}
		if err := c.Set(t.Context(), "set", []byte("w"), 0); err != nil {
			t.Errorf("Set = %v, want nil", err)
		}
		peeks(t, c, "set", "")
		if st := c.Stats(); st.Dropped != 1 {
			t.Errorf("Stats().Dropped = %d, want 1", st.Dropped)
		}
		if err := c.Delete(t.Context(), "gone"); err != nil {
			t.Errorf("Delete = %v, want nil", err)
		}
		peeks(t, c, "gone", "")
		if err := c.Expire(t.Context(), "expired"); err != nil {
			t.Errorf("Expire = %v, want nil", err)
		}
		if err := c.Hold(t.Context(), time.Hour, "held"); err != nil && !redis.IsOOMError(err) {
			t.Errorf("Hold = %v, want nil or an OOM error", err)
		}
		if st := c.Stats(); st.Unavailable != 0 {
			t.Errorf("Stats().Unavailable = %d, want 0", st.Unavailable)
		}
		// Memory runs out between the lease and the fill.
		s.Do(t, "config", "set", "maxmemory", 0)
		settled(t, c)
		var reported atomic.Value
		d := newCache(t, s.Client(t), Options{OnError: func(err error) { reported.Store(err) }})
		g := newGate()
		out := begin(t.Context(), d, "midway", g.load("w", nil))
		<-g.began
		s.Do(t, "config", "set", "maxmemory", 1)
		close(g.open)
		(<-out).wants(t, "midway", "w")
		settled(t, d)
		if err, _ := reported.Load().(error); !redis.IsOOMError(err) || d.Stats().Dropped != 1 {
			t.Errorf("OnError(%v), Dropped %d, want an OOM error and 1", err, d.Stats().Dropped)
		}
		s.Do(t, "config", "set", "maxmemory", 0)
		worksAgain(t, c)
	})
}

// The server refuses writes, because it cannot save.
func TestMisconf(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Timeout: time.Second})
		if err := c.Set(t.Context(), "kept", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		dir := rdb.ConfigGet(t.Context(), "dir").Val()["dir"]
		obstacle := filepath.Join(dir, rdb.ConfigGet(t.Context(), "dbfilename").Val()["dbfilename"])
		if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.Do(t, "config", "set", "save", "3600 1")
		s.Do(t, "bgsave")
		redistest.Eventually(t, "MISCONF", func() bool {
			return redis.HasErrorPrefix(rdb.Set(t.Context(), "x", "y", time.Second).Err(), "MISCONF")
		})
		wants(t, c, "kept", mustNotLoad(t), "v")
		o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
		o.wants(t, "new", "w")
		if o.took > time.Second {
			t.Errorf("GetOrLoad took %v: it was tried again", o.took)
		}
		for name, err := range map[string]error{
			"Set": c.Set(t.Context(), "kept", []byte("w"), 0), "Delete": c.Delete(t.Context(), "kept"), "Expire": c.Expire(t.Context(), "kept"),
		} {
			if !redis.HasErrorPrefix(errors.Unwrap(errors.Unwrap(err)), "MISCONF") && !bytes.Contains([]byte(fmt.Sprint(err)), []byte("MISCONF")) || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s = %v, want MISCONF and not ErrUnavailable", name, err)
			}
		}
		s.Do(t, "config", "set", "save", "")
		redistest.Eventually(t, "the Delete is done", func() bool { return c.Stats().Pending == 0 })
		wants(t, c, "kept", returns(new(atomic.Int64), "w"), "w")
	})
}

// The master has become a replica.
func TestReadOnly(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		c := newCache(t, s.Client(t), Options{Timeout: patience})
		if err := c.Set(t.Context(), "kept", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		s.Do(t, "replicaof", "127.0.0.1", "1")
		wants(t, c, "kept", mustNotLoad(t), "v")
		for range 5 {
			o := call(t.Context(), c, "new", returns(new(atomic.Int64), "w"))
			o.wants(t, "new", "w")
			if o.took > patience+slack {
				t.Errorf("GetOrLoad took %v, want %v at most", o.took, patience)
			}
		}
		if err := c.Delete(t.Context(), "kept"); !errors.Is(err, ErrUnavailable) || !redis.IsReadOnlyError(err) {
			t.Errorf("Delete = %v, want ErrUnavailable and READONLY", err)
		}
		wants(t, c, "kept", returns(new(atomic.Int64), "w"), "w")
		s.Do(t, "replicaof", "no", "one")
		redistest.Eventually(t, "the Delete is done", func() bool { return c.Stats().Pending == 0 })
		peeks(t, c, "kept", "")
	})
}

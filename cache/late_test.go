package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// sets has a cache set "k" within its Timeout, which may take a busy machine more
// than one try.
func sets(t *testing.T, c *Redis, value string) {
	t.Helper()
	redistest.Eventually(t, "a Set in time", func() bool { return c.Set(t.Context(), "k", []byte(value), 0) == nil })
	settled(t, c)
}

// A Set that was given up arrives after a later one was acknowledged: it does not
// land.
func TestAbandonedSet(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		p := s.Proxy(t)
		a := newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: patience})
		b := newCache(t, s.Client(t), Options{Prefix: prefix})
		sets(t, a, "v0") // learns the clock
		p.Blackhole(true)
		if err := a.Set(t.Context(), "k", []byte("v1"), 0); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Set through a black hole = %v, want ErrUnavailable", err)
		}
		time.Sleep(10 * time.Millisecond)
		if err := b.Set(t.Context(), "k", []byte("v2"), 0); err != nil {
			t.Fatal(err)
		}
		p.Blackhole(false)
		for done := false; !done; { // until a has deleted it
			done = a.Stats().Pending == 0
			if v, _, err := b.Peek(t.Context(), "k"); string(v) == "v1" || err != nil {
				t.Fatalf("Peek(%q) = %q, %v: the abandoned Set has landed", "k", v, err)
			}
		}
	})
}

// Schedule 7, with a server that is stopped.
func TestAbandonedSetOnStoppedServer(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		a := newCache(t, s.Client(t), Options{Timeout: patience})
		b := newCache(t, s.Client(t), Options{})
		sets(t, a, "v0")
		sets(t, b, "v0")
		for i := range 5 {
			s.Pause(t)
			if err := a.Set(t.Context(), "k", []byte("v1"), 0); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Set on a stopped server = %v, want ErrUnavailable", err)
			}
			time.Sleep(10 * time.Millisecond)
			s.Resume(t)
			v2 := fmt.Sprint("v2-", i)
			if err := b.Set(t.Context(), "k", []byte(v2), 0); err != nil {
				t.Fatal(err)
			}
			for done := false; !done; {
				done = a.Stats().Pending == 0
				if v, _, err := b.Peek(t.Context(), "k"); string(v) == "v1" || err != nil {
					t.Fatalf("Peek(%q) = %q, %v: the abandoned Set has landed", "k", v, err)
				}
			}
		}
	})
}

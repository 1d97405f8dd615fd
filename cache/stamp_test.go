package cache

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Schedule 11: a process that is wrong about the server's time takes every value for
// stale. The server knows better, and grants no refresh.
func TestRefreshGoesByServerTime(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{TTL: time.Hour, StaleFor: 24 * time.Hour, EarlyRefresh: -1})
		a, b := cs[0], cs[1]
		if err := b.Set(t.Context(), "k", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		mistake(t, a, "k", 3*time.Hour)
		wants(t, a, "k", mustNotLoad(t), "v")
		settled(t, a)
		if st := a.Stats(); st.StaleHits != 1 || st.Refreshes != 0 {
			t.Errorf("Stats() = %+v, want StaleHits 1 of a value that the server did not let it replace", st)
		}
		wants(t, a, "k", mustNotLoad(t), "v") // it has learnt the time
		if st := a.Stats(); st.Hits != 1 {
			t.Errorf("Stats() = %+v, want Hits 1", st)
		}
	})
}

// mistake makes a cache believe that the server's clock is ahead of itself.
func mistake(t *testing.T, c *Redis, key string, ahead time.Duration) {
	t.Helper()
	cmd := peekScript.Cmd([]string{c.keysOf(key)[0]})
	if err := c.x.Do(t.Context(), c.x.Budget(), cmd); err != nil {
		t.Fatal(err)
	}
	c.x.Observe(cmd, time.Now().Add(ahead))
}

// The value was replaced between the reading that found it stale and the request
// to refresh it: the new one stays.
func TestRefreshOnlyIfUnchanged(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		// Also by one that is stale as well, which another process may refresh.
		for name, ttl := range map[string]time.Duration{"fresh": time.Hour, "stale": time.Millisecond} {
			opts := Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, EarlyRefresh: -1, Jitter: -1}
			rdb := s.Client(t)
			a, b := newCache(t, rdb, opts), newCache(t, s.Client(t), opts)
			if err := b.Set(t.Context(), "k", []byte("old"), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, "the value is stale", func() bool { return b.state(t, "k") == "stale" })
			h := &holdBack{match: isScript(refreshSource), held: make(chan struct{}), let: make(chan struct{})}
			rdb.AddHook(h)
			wants(t, a, "k", returns(new(atomic.Int64), "loaded"), "old")
			<-h.held
			if err := b.Set(t.Context(), "k", []byte("new"), ttl); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, "the new value is "+name, func() bool { return b.state(t, "k") == name })
			close(h.let)
			settled(t, a)
			if st := a.Stats(); st.Refreshes != 0 || st.Loads != 0 {
				t.Errorf("Stats() = %+v, want no refresh of a value that is another one", st)
			}
			peeks(t, b, "k", "new")
		}
	})
}

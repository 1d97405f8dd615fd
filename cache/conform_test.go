package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// conforms does everything that a cache can do once, with clients of the given
// settings, and returns what went wrong.
func conforms(t *testing.T, s *redistest.Server, prefix string, edit func(*redis.UniversalOptions)) error {
	t.Helper()
	opts := Options{Prefix: prefix, StaleFor: time.Hour, Jitter: -1, EarlyRefresh: -1, Timeout: 5 * time.Second}
	var errs []error
	note := func(op string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, err))
		}
	}
	opts.OnError = func(err error) { note("OnError", err) } // called before settled returns
	a, b := newCache(t, s.Client(t, edit), opts), newCache(t, s.Client(t, edit), opts)
	ctx := t.Context()
	get := func(c *Redis, key, load, want string) {
		v, err := c.GetOrLoad(ctx, key, returns(new(atomic.Int64), load))
		if err == nil && string(v) != want {
			err = fmt.Errorf("%q, want %q", v, want)
		}
		note("GetOrLoad "+key, err)
		settled(t, c)
	}
	get(a, "k", "1", "1")
	get(b, "k", "2", "1")
	get(b, "k", "2", "1") // by GET
	note("Delete", a.Delete(ctx, "k", "l"))
	get(b, "k", "2", "2")
	note("Set", a.Set(ctx, "k", []byte("3"), 0))
	get(b, "k", "4", "3")
	note("Expire", b.Expire(ctx, "k"))
	get(a, "k", "4", "3") // and a refresh
	get(b, "k", "5", "4")
	note("Hold", b.Hold(ctx, time.Millisecond, "k"))
	redistest.Eventually(t, "the Hold ends", func() bool { // GetOrLoad stores again
		get(a, "k", "6", "6")
		_, ok, err := b.Peek(ctx, "k")
		return ok || err != nil || len(errs) > 0
	})
	if _, err := a.GetOrLoad(ctx, "broken", func(context.Context) ([]byte, error) { return nil, errBroken }); !errors.Is(err, errBroken) {
		note("a load that fails", err)
	}
	long := begin(ctx, a, "long", slow(leaseRenew+leaseRenew/4)) // renewed
	m := newMany(t, a, new(tally).load)
	for range 2 {
		got, err := m.GetMany(ctx, manyKeys("many", 20))
		if err == nil && len(got) != 20 {
			err = fmt.Errorf("%d values", len(got))
		}
		note("GetMany", err)
		settled2(t, a, "long")
	}
	note("long", (<-long).err)
	settled(t, a)
	get(b, "long", "short", "slow")
	for i, c := range []*Redis{a, b} {
		if st := c.Stats(); st.Unavailable != 0 || st.Dropped != 0 || st.Corrupt != 0 || i == 0 && st.Refreshes != 1 {
			note("Stats", fmt.Errorf("%+v", st))
		}
	}
	return errors.Join(errs...)
}

// settled2 waits until a cache has no flights but that of one key.
func settled2(t *testing.T, c *Redis, but string) {
	t.Helper()
	redistest.Eventually(t, "no other flights", func() bool {
		c.flights.mu.Lock()
		defer c.flights.mu.Unlock()
		n := len(c.flights.m)
		if c.flights.m[but] != nil {
			n--
		}
		return n == 0
	})
}

// What conforms asks for holds everywhere.
func TestConforms(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		if err := conforms(t, s, redistest.Prefix(t), func(*redis.UniversalOptions) {}); err != nil {
			t.Error(err)
		}
	})
}

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A reply is lost at each step: the result is right, nobody waits for his own
// lease, and nobody sees an old value.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	get := func(want string) func(t *testing.T, c *Redis) {
		return func(t *testing.T, c *Redis) {
			before := c.Stats()
			wants(t, c, "k", returns(new(atomic.Int64), "new"), want)
			settled(t, c)
			st := c.Stats()
			if stored := st.Stored - before.Stored; want == "new" && stored != 1 || st.Refused != before.Refused {
				t.Errorf("Stats() = %+v after %+v, want the value stored in spite of the lost reply", st, before)
			}
		}
	}
	void := func(f func(c *Redis) error) func(t *testing.T, c *Redis) {
		return func(t *testing.T, c *Redis) {
			if err := f(c); err != nil {
				t.Errorf("with a lost reply: %v", err)
			}
		}
	}
	ctx := context.Background()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct {
			step   string
			match  func([]byte) bool
			before string // in Redis
			do     func(t *testing.T, c *Redis)
			after  string // what another process then gets, with a loader of "later"
			drops  int
		}{
			{"peek", redistest.Script(peekSource), "old", get("old"), "old", 1},
			{"get", redistest.Command("get"), "old", get("old"), "old", 1},
			{"lease", redistest.Script(leaseSource), "", get("new"), "later new", 1},
			{"lease twice", redistest.Script(leaseSource), "", get("new"), "later new", 2},
			{"fill", redistest.Script(fillSource), "", get("new"), "new", 1},
			{"fill twice", redistest.Script(fillSource), "", get("new"), "new", 2},
			{"refresh", redistest.Script(refreshSource), "stale", get("old"), "later new old", 1},
			{"delete", redistest.Command("unlink"), "old", void(func(c *Redis) error { return c.Delete(ctx, "k") }), "later", 1},
			{"delete twice", redistest.Command("unlink"), "old", void(func(c *Redis) error { return c.Delete(ctx, "k") }), "later", 2},
			{"expire", redistest.Script(expireSource), "old", void(func(c *Redis) error { return c.Expire(ctx, "k") }), "later old", 1},
			{"hold", redistest.Script(holdSource), "old", void(func(c *Redis) error { return c.Hold(ctx, time.Second, "k") }), "later", 1},
			{"set", redistest.Script(setSource), "old", func(t *testing.T, c *Redis) {
				if err := c.Set(ctx, "k", []byte("set"), 0); !errors.Is(err, ErrUnavailable) {
					t.Errorf("Set with a lost reply = %v, want ErrUnavailable", err)
				}
				wants(t, c, "k", returns(new(atomic.Int64), "new"), "new") // what was loaded after that, at any rate
				settled(t, c)
			}, "later", 1},
			{"release", redistest.Script(releaseSource), "", func(t *testing.T, c *Redis) {
				call(ctx, c, "k", func(context.Context) ([]byte, error) { return nil, errBroken }).fails(t, "k", errBroken)
			}, "later", 1},
		} {
			t.Run(test.step, func(t *testing.T) {
				prefix := redistest.Prefix(t)
				opts := Options{Prefix: prefix, Timeout: time.Second, Jitter: -1}
				if test.before == "stale" || test.step == "expire" {
					opts.StaleFor = time.Hour
				}
				p := s.Proxy(t)
				c := newCache(t, p.Client(t), opts)
				b := newCache(t, s.Client(t), opts)
				// All scripts and clocks are known.
				call(ctx, b, "warm", func(context.Context) ([]byte, error) { return nil, errBroken })
				if err := errors.Join(b.Set(ctx, "stale", []byte("x"), time.Millisecond), b.Expire(ctx, "stale"), b.Hold(ctx, 1, "other"), b.Delete(ctx, "other")); err != nil {
					t.Fatal(err)
				}
				if test.step != "peek" {
					call(ctx, c, "k", func(context.Context) ([]byte, error) { return nil, errBroken })
					if err := c.Set(ctx, "k", nil, 0); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Delete(ctx, "k"); err != nil {
					t.Fatal(err)
				}
				if test.before != "" {
					ttl := time.Hour
					if test.before == "stale" {
						ttl = time.Millisecond
					}
					if err := b.Set(ctx, "k", []byte("old"), ttl); err != nil {
						t.Fatal(err)
					}
					if test.before == "stale" {
						time.Sleep(5 * time.Millisecond)
					}
				}
				p.DropRepliesTo(test.match, test.drops)
				start := time.Now()
				test.do(t, c)
				took := time.Since(start)
				settled(t, c)
				o := call(ctx, b, "k", returns(new(atomic.Int64), "later"))
				if max(took, o.took) > leaseTerm-leaseTerm/4 {
					t.Errorf("with %d lost replies it took %v, and another process %v: a lease had to end", test.drops, took, o.took)
				}
				if o.err != nil || !bytes.Contains([]byte(test.after), []byte(o.v)) {
					t.Errorf("another process then gets %q, %v, want one of %q", o.v, o.err, test.after)
				}
			})
		}
	})
}

// Any reply may be lost, one in ten: nothing stale after a Delete.
func TestRandomlyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		p := s.Proxy(t)
		var cs []*Redis
		for range 2 {
			cs = append(cs, newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: 2 * time.Second}))
		}
		var n, version atomic.Int64
		load := func(context.Context) ([]byte, error) { return fmt.Appendf(nil, "%d", version.Load()), nil }
		p.DropRepliesTo(func([]byte) bool { return n.Add(1)%10 == 0 }, 1_000_000)
		for i := range 20 {
			version.Add(1)
			if err := cs[i%2].Delete(t.Context(), "k"); err != nil {
				t.Fatalf("Delete = %v", err)
			}
			redistest.Together(4, func(j int) { wants(t, cs[j%2], "k", load, fmt.Sprint(version.Load())) })
		}
	})
}

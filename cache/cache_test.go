package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestGetOrLoad(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		for _, key := range []string{"k", "", "}", "%", "{", "a{b}c", "{b}", "with space", "\x00\xff", "a:b"} {
			for _, value := range []string{"", "v", "\x00\xf5\xff"} {
				var n atomic.Int64
				wants(t, cs[0], key, returns(&n, value), value)
				settled(t, cs[0])
				wants(t, cs[0], key, mustNotLoad(t), value)
				wants(t, cs[1], key, mustNotLoad(t), value)
				if err := cs[1].Delete(t.Context(), key); err != nil {
					t.Fatalf("Delete(%q) = %v", key, err)
				}
			}
		}
		st := cs[0].Stats()
		if want := uint64(30); st.Loads != want || st.Misses != want || st.Stored != want || st.Hits != want || st.Shared != 0 {
			t.Errorf("Stats() = %+v, want 30 Loads, Misses, Stored and Hits", st)
		}
	})
}

// What a call returns is the caller's to change.
func TestValueIsTheCallers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		g := newGate()
		scribble := func() {
			v, err := c.GetOrLoad(t.Context(), "k", g.load("value", nil))
			if err != nil || string(v) != "value" {
				t.Errorf("GetOrLoad(%q) = %q, %v, want %q", "k", v, err, "value")
			}
			clear(v)
		}
		go func() { <-g.began; close(g.open) }()
		redistest.Together(10, func(int) { scribble() })
		scribble()
		if n := g.n.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
	})
}

// A caller changes the stale value that it got, while the refresh that it set off
// asks for the old one.
func TestOldIsNotTheCallers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{TTL: 5 * time.Millisecond, Jitter: -1, StaleFor: time.Hour})[0]
		wants(t, c, "k", returns(new(atomic.Int64), "value"), "value")
		settled(t, c)
		time.Sleep(10 * time.Millisecond) // past the TTL
		changed, ended := make(chan struct{}), make(chan string, 1)
		v, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) ([]byte, error) {
			<-changed
			old, _ := Old[[]byte](ctx)
			ended <- string(old)
			SetTTL(ctx, time.Hour)
			return nil, ErrNotModified
		})
		if err != nil || string(v) != "value" {
			t.Fatalf("GetOrLoad(%q) = %q, %v, want %q", "k", v, err, "value")
		}
		copy(v, "XXXXX")
		close(changed)
		if old := <-ended; old != "value" {
			t.Errorf("Old() = %q, want %q", old, "value")
		}
		settled(t, c)
		peeks(t, c, "k", "value")
	})
}

func TestContextEnded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Timeout: 100 * time.Millisecond})[0]
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		call(ctx, c, "k", mustNotLoad(t)).fails(t, "k", context.Canceled)
		if _, _, err := c.Peek(ctx, "k"); !errors.Is(err, context.Canceled) {
			t.Errorf("Peek(%q) = %v, want Canceled", "k", err)
		}
		for name, err := range map[string]error{
			"Set": c.Set(ctx, "k", nil, 0), "Delete": c.Delete(ctx, "k"),
			"Expire": c.Expire(ctx, "k"), "Hold": c.Hold(ctx, time.Second, "k"),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s(%q) = %v, want Canceled", name, "k", err)
			}
		}
		if p := c.Stats().Pending; p != 1 {
			t.Errorf("Stats().Pending = %d after writes that failed, want 1", p)
		}
		settled(t, c)
	})
}

// The context of the first caller: the load has its values, but not its end.
func TestLoadContext(t *testing.T) {
	t.Parallel()
	type ctxKey struct{}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{LoadTimeout: time.Minute})[0]
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, "x"), 10*time.Second)
		defer cancel()
		o := call(ctx, c, "k", func(load context.Context) ([]byte, error) {
			cancelled := ctx.Err()
			cancel()
			deadline, ok := load.Deadline()
			if left := time.Until(deadline); load.Value(ctxKey{}) != "x" || load.Err() != nil || !ok || left < 50*time.Second || left > time.Minute {
				t.Errorf("the load's context: value %v, error %v, %v left", load.Value(ctxKey{}), load.Err(), left)
			}
			return nil, cancelled
		})
		if !errors.Is(o.err, context.Canceled) && o.err != nil {
			t.Errorf("GetOrLoad(%q) = %v", "k", o.err)
		}
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, Jitter: -1})
		for i, key := range []string{"a{b}c", "}", "%", "k"} { // the first calls on their nodes
			want := fmt.Sprint("v", i)
			if err := c.Set(t.Context(), key, []byte(want), 0); err != nil {
				t.Fatalf("Set(%q) = %v", key, err)
			}
			peeks(t, c, key, want)
		}
		for _, test := range []struct{ ttl, want time.Duration }{{0, 5 * time.Minute}, {10 * time.Minute, 10 * time.Minute}} {
			if err := c.Set(t.Context(), "k", []byte("v"), test.ttl); err != nil {
				t.Fatalf("Set(%q) = %v", "k", err)
			}
			d := rdb.PTTL(t.Context(), c.keysOf("k")[0]).Val()
			if want := test.want + time.Hour; d > want || d < want-10*time.Second {
				t.Errorf("Set(ttl %v): the key lives %v, want %v", test.ttl, d, want)
			}
		}
		if err := c.Set(t.Context(), "k", nil, -1); err == nil {
			t.Errorf("Set with a negative TTL = nil, want an error")
		}
		if err := c.Set(t.Context(), "k", nil, maxTTL+1); err == nil {
			t.Errorf("Set with a TTL of 100 years = nil, want an error")
		}
		peeks(t, c, "k", "v")
		if err := c.Set(t.Context(), "k", []byte("short"), time.Nanosecond); err != nil {
			t.Errorf("Set(%q, 1 ns) = %v", "k", err)
		}
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		var keys []string
		for i := range 100 {
			keys = append(keys, fmt.Sprint("k", i))
			if err := cs[0].Set(t.Context(), keys[i], []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := cs[1].Delete(t.Context(), append(keys[:99:99], keys[0])...); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		for _, key := range keys[:99] {
			peeks(t, cs[0], key, "")
		}
		peeks(t, cs[0], keys[99], "v")
		for name, err := range map[string]error{
			"Delete": cs[0].Delete(t.Context()), "Expire": cs[0].Expire(t.Context()), "Hold": cs[0].Hold(t.Context(), 1),
		} {
			if err != nil {
				t.Errorf("%s of no keys = %v", name, err)
			}
		}
	})
}

// Expire keeps the value for StaleFor and StaleOnError, as if its TTL were over.
func TestExpire(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		plain := newCache(t, s.Client(t), Options{Prefix: prefix})
		staleFor := newCache(t, s.Client(t), Options{Prefix: prefix, StaleFor: time.Hour})
		onError := newCache(t, s.Client(t), Options{Prefix: prefix, StaleOnError: time.Hour})
		reset := func() {
			if err := errors.Join(staleFor.Set(t.Context(), "k", []byte("old"), 0), plain.Expire(t.Context(), "k", "absent")); err != nil {
				t.Fatal(err)
			}
		}
		reset()
		wants(t, plain, "k", returns(new(atomic.Int64), "new"), "new")
		reset()
		peeks(t, plain, "k", "")
		peeks(t, staleFor, "k", "old")
		g := newGate()
		wants(t, staleFor, "k", g.load("new", nil), "old")
		<-g.began
		close(g.open)
		settled(t, staleFor)
		wants(t, staleFor, "k", mustNotLoad(t), "new")
		reset()
		wants(t, onError, "k", func(ctx context.Context) ([]byte, error) {
			if old, ok := Old[[]byte](ctx); !ok || string(old) != "old" {
				t.Errorf("Old() = %q, %v, want %q", old, ok, "old")
			}
			return nil, errBroken
		}, "old")
		if st := onError.Stats(); st.StaleOnError != 1 || st.LoadErrors != 1 {
			t.Errorf("Stats() = %+v, want StaleOnError 1, LoadErrors 1", st)
		}
		reset() // how long it may be served is the reader's choice
		call(t.Context(), plain, "k", func(context.Context) ([]byte, error) { return nil, errBroken }).fails(t, "k", errBroken)
		// ErrNotFound has no stale copy.
		call(t.Context(), staleFor, "none", func(context.Context) ([]byte, error) { return nil, ErrNotFound }).fails(t, "none", ErrNotFound)
		settled(t, staleFor)
		if err := plain.Expire(t.Context(), "none"); err != nil {
			t.Fatal(err)
		}
		wants(t, staleFor, "none", returns(new(atomic.Int64), "created"), "created")
		// Delete is hard.
		if err := plain.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		call(t.Context(), onError, "k", func(context.Context) ([]byte, error) { return nil, errBroken }).fails(t, "k", errBroken)
	})
}

// During a Hold nothing is stored.
func TestHold(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{StaleFor: time.Hour})
		a, b := cs[0], cs[1]
		wants(t, a, "k", returns(new(atomic.Int64), "old"), "old")
		settled(t, a)
		if err := a.Hold(t.Context(), time.Hour, "k", "other"); err != nil {
			t.Fatalf("Hold = %v", err)
		}
		if err := b.Hold(t.Context(), time.Millisecond, "k"); err != nil { // does not shorten it
			t.Fatalf("Hold = %v", err)
		}
		if err := a.Delete(t.Context(), "k"); err != nil { // does not end it
			t.Fatalf("Delete = %v", err)
		}
		var n atomic.Int64
		for i, c := range []*Redis{a, b, a, b} {
			wants(t, c, "k", returns(&n, fmt.Sprint("new", i)), fmt.Sprint("new", i))
			settled(t, c)
		}
		if n.Load() != 4 {
			t.Errorf("%d loads during a Hold, want 4", n.Load())
		}
		if st := a.Stats(); st.Refused != 0 || st.Stored != 1 {
			t.Errorf("Stats() = %+v, want Refused 0: no lease is taken during a Hold", st)
		}
		if err := a.Set(t.Context(), "k", []byte("set"), 0); err != nil {
			t.Errorf("Set(%q) = %v during a Hold, want nil", "k", err)
		}
		peeks(t, b, "k", "")
		for _, d := range []time.Duration{0, -1, maxTTL + 1} {
			if err := a.Hold(t.Context(), d, "k"); err == nil {
				t.Errorf("Hold(%v) = nil, want an error", d)
			}
		}
	})
}

// A Hold ends, and a Set during it removes what was stored before it.
func TestHoldEnds(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p"})[0]
		if err := c.Hold(t.Context(), time.Minute, "k"); err != nil {
			t.Fatal(err)
		}
		// What another version of the library may have stored.
		if err := s.Client(t).Set(t.Context(), c.keysOf("k")[0], "foreign", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := c.Set(t.Context(), "k", []byte("set"), 0); err != nil {
			t.Fatal(err)
		}
		if n := s.Client(t).Exists(t.Context(), c.keysOf("k")[0]).Val(); n != 0 {
			t.Error("Set during a Hold left a value")
		}
		time.Sleep(59 * time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "a"), "a")
		synctest.Wait()
		peeks(t, c, "k", "")
		time.Sleep(2 * time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "b"), "b")
		synctest.Wait()
		peeks(t, c, "k", "b")
	})
}

func TestPeek(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		peeks(t, c, "k", "")
		g := newGate()
		first := begin(t.Context(), c, "k", g.load("v", nil))
		<-g.began
		peeks(t, c, "k", "") // does not wait
		close(g.open)
		(<-first).wants(t, "k", "v")
		settled(t, c)
		peeks(t, c, "k", "v")
		if st := c.Stats(); st.Hits != 0 {
			t.Errorf("Stats().Hits = %d, want 0: Peek is no call for a value", st.Hits)
		}
	})
}

// Every key that the cache leaves behind has an expiry.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t)})
		g := newGate()
		begin(t.Context(), c, "k", g.load("v", nil))
		<-g.began
		if err := c.Hold(t.Context(), time.Hour, "held"); err != nil {
			t.Fatal(err)
		}
		if err := c.Set(t.Context(), "set", nil, 0); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]time.Duration{
			c.keysOf("k")[1]: leaseTerm, c.keysOf("held")[2]: time.Hour, c.keysOf("set")[0]: 6 * time.Minute,
		} {
			if d := rdb.PTTL(t.Context(), key).Val(); d <= 0 || d > want {
				t.Errorf("PTTL(%q) = %v, want at most %v", key, d, want)
			}
		}
		close(g.open)
		settled(t, c)
		if d := rdb.PTTL(t.Context(), c.keysOf("k")[0]).Val(); d <= 0 || d > 6*time.Minute {
			t.Errorf("PTTL(%q) = %v, want at most 6 minutes", "k", d)
		}
		redistest.Eventually(t, "no lease", func() bool { return rdb.Exists(t.Context(), c.keysOf("k")[1]).Val() == 0 })
	})
}

// A load that takes longer than the lease keeps it.
func TestLongLoadKeepsLease(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{Prefix: "p"})
		first := begin(t.Context(), cs[0], "k", slow(20*time.Second))
		synctest.Wait()
		wants(t, cs[1], "k", mustNotLoad(t), "slow")
		(<-first).wants(t, "k", "slow")
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		g := newGate()
		ctx, cancel := context.WithCancel(t.Context())
		first := begin(ctx, c, "k", g.load("v", nil))
		<-g.began
		cancel()
		<-first
		closed := make(chan error, 1)
		go func() { closed <- c.Close(context.Background()) }()
		<-c.running.Ending()
		select {
		case err := <-closed:
			t.Fatalf("Close = %v while a load was under way", err)
		case <-time.After(10 * time.Millisecond):
		}
		close(g.open)
		if err := <-closed; err != nil {
			t.Errorf("Close = %v", err)
		}
		// The load's value was stored before Close returned.
		v, err := s.Client(t).Get(t.Context(), c.keysOf("k")[0]).Result()
		if e, _ := decodeEntry(v); err != nil || string(e.payload) != "v" {
			t.Errorf("after Close Redis has %q, %v, want the loaded value", v, err)
		}
		refused(t, c)
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("the second Close = %v", err)
		}
	})
}

// refused fails the test unless every call returns ErrClosed.
func refused(t *testing.T, c *Redis) {
	t.Helper()
	ctx := t.Context()
	m, err := NewCached(c, "n", func(context.Context, string) (int, error) { return 0, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, get := m.Get(ctx, "k")
	_, many := m.GetMany(ctx, []string{"k"})
	_, refresh := m.Refresh(ctx, "k")
	_, _, peek := c.Peek(ctx, "k")
	for name, err := range map[string]error{
		"GetOrLoad": call(ctx, c, "k", mustNotLoad(t)).err, "Set": c.Set(ctx, "k", nil, 0), "Delete": c.Delete(ctx, "k"),
		"Expire": c.Expire(ctx, "k"), "Hold": c.Hold(ctx, 1, "k"), "Peek": peek,
		"Cached.Get": get, "Cached.GetMany": many, "Cached.Refresh": refresh,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

// Close's context ends first: the loads are cancelled and their callers answered.
func TestCloseCutsLoads(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{Prefix: "p"})
		var ended error
		hang := func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			ended = ctx.Err()
			time.Sleep(time.Second)
			return nil, nil
		}
		first := begin(t.Context(), cs[0], "k", hang)
		synctest.Wait()
		other := begin(t.Context(), cs[1], "k", mustNotLoad(t)) // polls
		synctest.Wait()
		for i, c := range []*Redis{cs[1], cs[0]} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close = %v, want DeadlineExceeded", err)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("Close took %v, want 5s", took)
			}
			(<-[]<-chan outcome{other, first}[i]).fails(t, "k", ErrClosed)
		}
		if err := cs[0].Close(t.Context()); err != nil || ended == nil {
			t.Errorf("Close again = %v, the loader's context ended with %v", err, ended)
		}
		refused(t, cs[0])
	})
}

// Close waits for background loads, but not for the rest that follows a failure.
func TestCloseWaitsForRefresh(t *testing.T) {
	for _, fails := range []error{nil, errBroken} {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			c := newCaches(t, s, 1, Options{Prefix: "p", TTL: time.Second, StaleFor: time.Hour, EarlyRefresh: -1})[0]
			wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
			time.Sleep(2 * time.Second)
			wants(t, c, "k", func(context.Context) ([]byte, error) {
				time.Sleep(3 * time.Second)
				return []byte("w"), fails
			}, "v")
			synctest.Wait()
			start := time.Now()
			if err := c.Close(t.Context()); err != nil {
				t.Errorf("Close = %v", err)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("Close took %v, want the 3s of the load (which ends with %v)", took, fails)
			}
		})
	}
}

// Close gives up what is still to be deleted.
func TestCloseGivesUpDeletes(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: 100 * time.Millisecond})[0]
		s.Kill(t)
		if err := c.Delete(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Delete(%q) = %v, want ErrUnavailable", "k", err)
		}
		time.Sleep(10 * time.Second)
		start := time.Now()
		if err := c.Close(t.Context()); err != nil || time.Since(start) > 200*time.Millisecond {
			t.Errorf("Close = %v after %v, want it at once", err, time.Since(start))
		}
	})
}

// No value leaves the flights behind in the map.
func TestNothingLeftBehind(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 3, Options{TTL: 20 * time.Millisecond, StaleFor: 20 * time.Millisecond, StaleOnError: 20 * time.Millisecond})
		var n atomic.Int64
		redistest.Together(24, func(i int) {
			c := cs[i%3]
			for j := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(i*j)%7)*time.Millisecond)
				key := fmt.Sprint("k", j%3)
				switch (i + j) % 8 {
				case 0:
					_ = c.Delete(ctx, key)
				case 1:
					_ = c.Expire(ctx, key)
				default:
					o := call(ctx, c, key, func(context.Context) ([]byte, error) {
						switch n.Add(1) % 5 {
						case 0:
							return nil, errBroken
						case 1:
							panic("oops")
						case 2:
							return nil, ErrNotFound
						}
						return []byte("v"), nil
					})
					var p *PanicError
					if o.err != nil && !errors.Is(o.err, errBroken) && !errors.As(o.err, &p) && !errors.Is(o.err, ErrNotFound) &&
						!errors.Is(o.err, context.DeadlineExceeded) {
						t.Errorf("GetOrLoad(%q) = %v", key, o.err)
					}
				}
				cancel()
			}
		})
		for _, c := range cs {
			settled(t, c)
			if n := len(slices.Collect(func(yield func(string) bool) {
				for k := range c.owed.keys {
					yield(k)
				}
			})); n != 0 {
				t.Errorf("%d keys are still owed", n)
			}
		}
	})
}

// The clock that counts is that of the node that has the value, whatever the key
// looks like.
func TestExpiresByItsNode(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		for _, key := range []string{"a{b}c", "{x}", "}", "%", "", "k"} {
			c := newCache(t, s.Client(t), Options{Prefix: prefix, Jitter: -1, StaleOnError: time.Hour})
			if err := c.Set(t.Context(), key, []byte("v"), 5*time.Millisecond); err != nil {
				t.Fatalf("Set(%q) = %v", key, err)
			}
			time.Sleep(10 * time.Millisecond)
			peeks(t, c, key, "")
		}
	})
}

// What a loader returns is its own again when the load has ended, which is before
// the value is stored.
func TestLoaderMayReuseItsSlice(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p"})[0]
		buf := []byte("value")
		l := &loading{key: "k"}
		c.callLoader(t.Context(), &source{keyless: func(context.Context) ([]byte, error) { return buf, nil }}, loaded{l})
		copy(buf, "XXXXX")
		if string(l.payload) != "value" {
			t.Errorf("what was loaded is %q when the loader has used its slice again, want value", l.payload)
		}
	})
}

// Close ends a wait for Redis that nothing else bounds.
func TestCloseWithoutTimeout(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: "p", Timeout: -1})
		wants(t, c, "warm", returns(new(atomic.Int64), "x"), "x")
		settled(t, c)
		g := newGate()
		first := begin(t.Context(), c, "k", g.load("v", nil))
		<-g.began
		second := begin(t.Context(), c, "k", mustNotLoad(t)) // waits for what is stored
		synctest.Wait()
		p.Blackhole(true)
		close(g.open)
		(<-first).wants(t, "k", "v")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v, want DeadlineExceeded", err)
		}
		(<-second).fails(t, "k", ErrClosed)
		time.Sleep(time.Minute) // the client's timeouts
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		p.Blackhole(false)
	})
}

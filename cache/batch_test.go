package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Schedule 8: the reply to one command of a batch is lost, and those behind it with
// it. What the others did is neither done twice nor reported as failed: every
// key is loaded once and stored, and nobody waits for a lease of his own.
func TestLostReplyInBatch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, match := range map[string]func([]byte) bool{
			"get": redistest.Command("get", "mget"), "lease": redistest.Script(leaseSource), "fill": redistest.Script(fillSource),
		} {
			nths := []int64{1, 4, 10}
			if name == "get" && !strings.Contains(t.Name(), "cluster") {
				nths = nths[:1] // they are one MGET
			}
			for _, nth := range nths {
				t.Run(fmt.Sprint(name, nth), func(t *testing.T) {
					prefix := redistest.Prefix(t)
					p := s.Proxy(t)
					a := newCache(t, p.Client(t), Options{Prefix: prefix})
					b := newCache(t, s.Client(t), Options{Prefix: prefix})
					loads := new(tally)
					m := newMany(t, a, loads.load)
					// Clocks and scripts are known, so that it is GET and EVALSHA that are sent.
					if _, err := m.GetMany(ctx, manyKeys("warm", 30)); err != nil {
						t.Fatal(err)
					}
					settled(t, a)
					var n atomic.Int64
					p.DropRepliesTo(func(request []byte) bool { return match(request) && n.Add(1) == nth }, 1)
					keys := manyKeys("k", 12)
					start := time.Now()
					got, err := m.GetMany(ctx, keys)
					if err != nil || len(got) != len(keys) {
						t.Errorf("GetMany = %d values, %v, want %d", len(got), err, len(keys))
					}
					settled(t, a)
					if took := time.Since(start); took > leaseTerm-leaseTerm/4 {
						t.Errorf("it took %v", took)
					}
					if n.Load() < nth {
						t.Fatalf("only %d requests matched", n.Load())
					}
					for _, key := range keys {
						if by := loads.by[key]; by != 1 {
							t.Errorf("%q was loaded %d times, want once", key, by)
						}
						// What is behind the lost reply may be executed late, and void the second attempt.
						want := string([]byte{0xa1 + byte(len(key))}) + "v" + key
						wants(t, b, "m:"+key, returns(new(atomic.Int64), want), want)
					}
					if took := time.Since(start); took > leaseTerm-leaseTerm/4 {
						t.Errorf("with what another process then did it took %v", took)
					}
					if st := a.Stats(); st.Dropped != 0 || st.Stored+st.Refused != 30+12 {
						t.Errorf("Stats() = %+v, want nothing Dropped and 42 Stored or Refused", st)
					}
				})
			}
		}
	})
}

func manyKeys(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(prefix, i)
	}
	return keys
}

// Schedule 6a: whether a load was stored is not known. Who came after a Delete
// that came after its beginning does not get it.
func TestFillOutcomeUnknown(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		p := s.Proxy(t)
		a := newCache(t, p.Client(t), Options{Prefix: prefix, Timeout: 200 * time.Millisecond})
		b := newCache(t, s.Client(t), Options{Prefix: prefix})
		worksAgain(t, a)
		g := newGate()
		first := begin(t.Context(), a, "k", g.load("old", nil))
		<-g.began
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		later := begin(t.Context(), a, "k", returns(new(atomic.Int64), "new"))
		redistest.Eventually(t, "two waiters", func() bool { return waiting(a, "k") == 2 })
		p.DropRepliesTo(redistest.Script(fillSource), 1000)
		close(g.open)
		(<-first).wants(t, "k", "old")
		(<-later).wants(t, "k", "new")
	})
}

// Schedule 6b: StaleOnError covers a failed load with what was deleted meanwhile
// only for those who came before the Delete.
func TestStaleOnErrorAfterDelete(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{StaleOnError: time.Hour})
		a, b := cs[0], cs[1]
		if err := b.Set(t.Context(), "k", []byte("old"), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, "the value is expired", func() bool { return b.state(t, "k") == "expired" })
		g := newGate()
		first := begin(t.Context(), a, "k", g.load("", errBroken))
		<-g.began
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		later := begin(t.Context(), a, "k", func(context.Context) ([]byte, error) { return nil, errBroken })
		redistest.Eventually(t, "two waiters", func() bool { return waiting(a, "k") == 2 })
		close(g.open)
		(<-first).wants(t, "k", "old")
		(<-later).fails(t, "k", errBroken)
	})
}

// A load that takes long does not hold up the others of its batch: they are stored,
// and who asks for them gets them.
func TestSlowLoadInBatch(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{Prefix: "p"})
		load := func(_ context.Context, key string) (string, error) {
			switch key {
			case "slow":
				time.Sleep(10 * time.Second)
			case "bad":
				time.Sleep(30 * time.Millisecond)
				return "", errBroken
			}
			time.Sleep(30 * time.Millisecond)
			return key, nil
		}
		a, err := NewCached(cs[0], "m", load, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewCached(cs[1], "m", load, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			got, err := a.GetMany(context.Background(), []string{"fast", "slow", "bad"})
			if !errors.Is(err, errBroken) || !maps.Equal(got, map[string]string{"fast": "fast", "slow": "slow"}) {
				t.Errorf("GetMany = %v, %v, want fast and slow, and that bad is broken", got, err)
			}
		})
		time.Sleep(25 * time.Millisecond) // these join the loads
		for _, m := range []*Cached[string]{a, b} {
			for _, key := range []string{"fast", "bad"} {
				all.Go(func() {
					start := time.Now()
					v, err := m.Get(context.Background(), key)
					if key == "fast" && (v != key || err != nil) || key == "bad" && !errors.Is(err, errBroken) {
						t.Errorf("Get(%q) = %q, %v", key, v, err)
					}
					if took := time.Since(start); took > time.Second {
						t.Errorf("Get(%q) took %v because another load takes long", key, took)
					}
				})
			}
		}
		time.Sleep(time.Second)
		if v, ok, err := cs[1].Peek(t.Context(), "m:fast"); !ok || err != nil {
			t.Errorf("Peek(fast) = %q, %v, %v, want what was loaded a second ago", v, ok, err)
		}
		all.Wait()
	})
}

// When its context ends GetMany returns what has come by then, in whatever order
// it was asked for.
func TestGetManyKeepsWhatCame(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p"})[0]
		m, err := NewCached(c, "m", func(_ context.Context, key string) (string, error) {
			if strings.HasPrefix(key, "slow") {
				time.Sleep(time.Second)
			}
			return key, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, keys := range [][]string{{"a1", "slow1", "b1"}, {"slow2", "a2", "b2"}} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			got, err := m.GetMany(ctx, keys)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || len(got) != 2 || got[fmt.Sprint("a", i+1)] == "" || got[fmt.Sprint("b", i+1)] == "" {
				t.Errorf("GetMany(%q) = %v, %v, want two values and context.DeadlineExceeded", keys, got, err)
			}
		}
	})
}

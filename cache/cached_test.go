package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

type user struct {
	Name string
	Tags []string
	Born time.Time
}

// newMany returns a Cached with a batch loader that counts how often each key is
// loaded.
func newMany(t testing.TB, c *Redis, load func(keys []string) (map[string]string, error)) *Cached[string] {
	t.Helper()
	m, err := NewCachedMany(c, "m", func(_ context.Context, keys []string) (map[string]string, error) { return load(keys) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tally counts loads by key.
type tally struct {
	mu    sync.Mutex
	calls int
	by    map[string]int
}

func (l *tally) load(keys []string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[string]int)
	}
	l.calls++
	out := make(map[string]string)
	for _, k := range keys {
		l.by[k]++
		if !strings.HasPrefix(k, "none") {
			out[k] = "v" + k
		}
	}
	return out, nil
}

func TestCached(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, opts := range []*CachedOptions{nil, {Marshal: json.Marshal, Unmarshal: json.Unmarshal}} {
			cs := newCaches(t, s, 2, Options{})
			var n atomic.Int64
			born := time.Date(1970, 1, 2, 3, 4, 5, 6, time.UTC)
			var ms []*Cached[user]
			for _, c := range cs {
				m, err := NewCached(c, "user", func(_ context.Context, key string) (user, error) {
					n.Add(1)
					return user{Name: key, Tags: []string{"a"}, Born: born}, nil
				}, opts)
				if err != nil {
					t.Fatal(err)
				}
				ms = append(ms, m)
			}
			for i, m := range []*Cached[user]{ms[0], ms[0], ms[1]} {
				u, err := m.Get(t.Context(), "42")
				if err != nil || u.Name != "42" || !slices.Equal(u.Tags, []string{"a"}) || !u.Born.Equal(born) {
					t.Errorf("Get(%q) = %+v, %v", "42", u, err)
				}
				if i == 0 {
					settled(t, cs[0])
				}
			}
			if n.Load() != 1 {
				t.Errorf("%d loads, want 1", n.Load())
			}
			if err := ms[1].Set(t.Context(), "42", user{Name: "set"}, 0); err != nil {
				t.Fatal(err)
			}
			if u, err := ms[0].Get(t.Context(), "42"); err != nil || u.Name != "set" {
				t.Errorf("Get(%q) = %+v, %v, want what was Set", "42", u, err)
			}
			if err := ms[1].Delete(t.Context(), "42", "other"); err != nil {
				t.Fatal(err)
			}
			if u, err := ms[0].Get(t.Context(), "42"); err != nil || u.Name != "42" {
				t.Errorf("Get(%q) = %+v, %v, want a loaded value", "42", u, err)
			}
		}
	})
}

func TestCachedErrors(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		one := func(context.Context, string) (int, error) { return 0, nil }
		many := func(context.Context, []string) (map[string]int, error) { return nil, nil }
		for _, test := range []struct {
			what string
			c    *Redis
			name string
			opts *CachedOptions
		}{
			{"cache is nil", nil, "n", nil},
			{"name", c, "", nil}, {"name", c, "a:b", nil}, {"name", c, "a{b", nil}, {"name", c, "a}", nil},
			{"CachedOptions.TTL", c, "n", &CachedOptions{TTL: -1}}, {"CachedOptions.TTL", c, "n", &CachedOptions{TTL: maxTTL + 1}},
		} {
			_, err1 := NewCached(test.c, test.name, one, test.opts)
			_, err2 := NewCachedMany(test.c, test.name, many, test.opts)
			_, err3 := Func(test.c, test.name, func(context.Context, int) (int, error) { return 0, nil }, test.opts)
			for _, err := range []error{err1, err2, err3} {
				if err == nil || !strings.Contains(err.Error(), test.what) {
					t.Errorf("name %q, options %+v: %v, want an error about %q", test.name, test.opts, err, test.what)
				}
			}
		}
		_, err1 := NewCached[int](c, "n", nil, nil)
		_, err2 := NewCachedMany[int](c, "n", nil, nil)
		_, err3 := Func[int, int](c, "n", nil, nil)
		_, err4 := c.GetOrLoad(t.Context(), "k", nil)
		for _, err := range []error{err1, err2, err3, err4} {
			if err == nil || !strings.Contains(err.Error(), "nil") {
				t.Errorf("without a loader: %v", err)
			}
		}
		// What cannot be encoded.
		m, err := NewCached(c, "chan", func(context.Context, string) (chan int, error) { return make(chan int), nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "encode") {
			t.Errorf("Get of a channel = %v, want an error of encoding", err)
		}
		if err := m.Set(t.Context(), "k", nil, 0); err != nil && !strings.Contains(err.Error(), "encode") {
			t.Errorf("Set of a channel = %v", err)
		}
	})
}

// A name of its own for each type keeps them apart; the same name for two types
// makes each a miss for the other, and no loop.
func TestCachedOfAnotherType(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		words, err := NewCached(cs[0], "n", func(context.Context, string) (string, error) { return "word", nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		numbers, err := NewCached(cs[1], "n", func(context.Context, string) (map[string]int, error) { return map[string]int{"a": 1}, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		redistest.Together(8, func(i int) {
			for range 10 {
				if i%2 == 0 {
					if v, err := words.Get(t.Context(), "k"); err != nil || v != "word" {
						t.Errorf("Get(%q) = %q, %v, want %q", "k", v, err, "word")
					}
				} else if v, err := numbers.Get(t.Context(), "k"); err != nil || v["a"] != 1 {
					t.Errorf("Get(%q) = %v, %v, want a:1", "k", v, err)
				}
			}
		})
		settled(t, cs[0])
		settled(t, cs[1])
		if cs[0].Stats().Corrupt+cs[1].Stats().Corrupt == 0 {
			t.Error("Stats().Corrupt = 0, want the values that could not be decoded")
		}
	})
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		var n atomic.Int64
		var ms []*Cached[int64]
		g := newGate()
		for _, c := range cs {
			m, err := NewCached(c, "n", func(ctx context.Context, key string) (int64, error) {
				if old, ok := Old[int64](ctx); key == "k" && (ok != (n.Load() > 0) || ok && old != n.Load()) {
					t.Errorf("Old() = %v, %v, want %d", old, ok, n.Load())
				}
				if key == "gated" {
					g.began <- struct{}{}
					<-g.open
				}
				return n.Add(1), nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		for i := int64(1); i <= 4; i++ {
			m := ms[i%2]
			if v, err := m.Refresh(t.Context(), "k"); err != nil || v != i {
				t.Errorf("Refresh(%q) = %v, %v, want %d", "k", v, err, i)
			}
			settled(t, cs[i%2])
			if v, err := ms[0].Get(t.Context(), "k"); err != nil || v != i {
				t.Errorf("Get(%q) = %v, %v, want %d", "k", v, err, i)
			}
		}
		// Those who come during a load share the next one.
		before := n.Load()
		var wg sync.WaitGroup
		refresh := func() {
			if _, err := ms[0].Refresh(t.Context(), "gated"); err != nil {
				t.Errorf("Refresh(%q) = %v", "gated", err)
			}
		}
		wg.Go(refresh)
		<-g.began
		for range 5 {
			wg.Go(refresh)
		}
		redistest.Eventually(t, "six waiters", func() bool { return waiting(cs[0], "n:gated") == 6 })
		close(g.open)
		wg.Wait()
		if got := n.Load() - before; got != 2 {
			t.Errorf("six concurrent Refreshes made %d loads, want 2", got)
		}
	})
}

func TestGetMany(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: prefix})
		var l tally
		m := newMany(t, c, l.load)
		var keys []string
		want := make(map[string]string)
		for i := range 50 {
			keys = append(keys, fmt.Sprint(i))
			want[keys[i]] = "v" + keys[i]
		}
		keys = append(keys, keys[:20]...)
		keys = append(keys, "none1", "none2", "none1")
		for range 2 {
			got, err := m.GetMany(t.Context(), keys)
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("GetMany = %d values, %v, want %d", len(got), err, len(want))
			}
			settled(t, c)
		}
		if l.calls != 1 || len(l.by) != 52 {
			t.Errorf("%d loader calls for %d keys, want 1 for 52", l.calls, len(l.by))
		}
		if s.Topology() != redistest.Cluster { // each node has its own batches
			fresh := newCache(t, rdb, Options{Prefix: prefix})
			mm := newMany(t, fresh, l.load)
			n := redistest.Count(t, rdb)
			if _, err := mm.GetMany(t.Context(), append(keys, "new1", "new2")); err != nil {
				t.Errorf("GetMany = %v", err)
			}
			settled(t, fresh)
			if n.RoundTrips() > 3 {
				t.Errorf("GetMany took %d round trips, want 3 at most: %v", n.RoundTrips(), n.Commands())
			}
			n.Reset()
			if _, err := mm.GetMany(t.Context(), keys); err != nil {
				t.Errorf("GetMany = %v", err)
			}
			if n.RoundTrips() != 1 {
				t.Errorf("GetMany of values that are there took %d round trips, want 1", n.RoundTrips())
			}
		}
		for _, none := range [][]string{nil, {}} {
			if got, err := m.GetMany(t.Context(), none); err != nil || got == nil || len(got) != 0 {
				t.Errorf("GetMany(%v) = %v, %v, want an empty map", none, got, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.GetMany(ctx, keys); !errors.Is(err, context.Canceled) {
			t.Errorf("GetMany with a cancelled context = %v, want Canceled", err)
		}
	})
}

// Some keys fail: the map has the others.
func TestGetManyFailsInPart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		m := newMany(t, c, func(keys []string) (map[string]string, error) {
			return map[string]string{"a": "A", "b": "B"}, errBroken
		})
		got, err := m.GetMany(t.Context(), []string{"a", "b", "c", "d"})
		if !errors.Is(err, errBroken) || strings.Count(err.Error(), errBroken.Error()) != 1 || !maps.Equal(got, map[string]string{"a": "A", "b": "B"}) {
			t.Errorf("GetMany = %v, %v, want a and b and %v once", got, err, errBroken)
		}
		settled(t, c)
		if v, err := m.Get(t.Context(), "a"); err != nil || v != "A" {
			t.Errorf("Get(%q) = %q, %v, want %q", "a", v, err, "A")
		}
		single, err := NewCached(c, "single", func(_ context.Context, key string) (string, error) {
			switch key {
			case "none":
				return "", ErrNotFound
			case "bad":
				return "", errBroken
			case "panic":
				panic("oops")
			}
			return "v" + key, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err = single.GetMany(t.Context(), []string{"a", "none", "bad", "panic", "b"})
		var p *PanicError
		if !errors.Is(err, errBroken) || !errors.As(err, &p) || errors.Is(err, ErrNotFound) || !maps.Equal(got, map[string]string{"a": "va", "b": "vb"}) {
			t.Errorf("GetMany = %v, %v, want a and b, %v and the panic", got, err, errBroken)
		}
		boom := newMany(t, newCaches(t, s, 1, Options{})[0], func([]string) (map[string]string, error) { panic(errBroken) })
		if got, err := boom.GetMany(t.Context(), []string{"a", "b"}); !errors.As(err, &p) || len(got) != 0 {
			t.Errorf("GetMany = %v, %v, want a *PanicError", got, err)
		}
	})
}

// GetMany with a loader of single values loads them side by side.
func TestGetManySideBySide(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p"})[0]
		m, err := NewCached(c, "n", func(_ context.Context, key string) (string, error) {
			time.Sleep(time.Second)
			return key, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := m.GetMany(t.Context(), []string{"a", "b", "c"})
		if took := time.Since(start); err != nil || len(got) != 3 || took != time.Second {
			t.Errorf("GetMany = %v, %v after %v, want 3 values after 1s", got, err, took)
		}
		// A caller's deadline, while some values are there.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		got, err = m.GetMany(ctx, []string{"a", "d", "e"})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || len(got) != 1 || took != 50*time.Millisecond {
			t.Errorf("GetMany = %v, %v after %v, want 1 value and DeadlineExceeded after 50ms", got, err, took)
		}
	})
}

// Batches that overlap, of many goroutines in three processes, in all orders:
// nothing is loaded twice and nobody waits for ever.
func TestGetManyOverlaps(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 3, Options{})
		var l tally
		var ms []*Cached[string]
		for _, c := range cs {
			ms = append(ms, newMany(t, c, func(keys []string) (map[string]string, error) {
				time.Sleep(5 * time.Millisecond)
				return l.load(keys)
			}))
		}
		redistest.Together(18, func(i int) {
			var keys []string
			for j := range 30 {
				keys = append(keys, fmt.Sprint((i*5+j*7)%40))
			}
			got, err := ms[i%3].GetMany(t.Context(), keys)
			if err != nil {
				t.Errorf("GetMany = %v", err)
			}
			for _, k := range keys {
				if got[k] != "v"+k {
					t.Errorf("GetMany: %q = %q, want %q", k, got[k], "v"+k)
				}
			}
		})
		for k, n := range l.by {
			if n != 1 {
				t.Errorf("%q was loaded %d times, want once", k, n)
			}
		}
	})
}

// query has the methods of a time.Time, and more than that to say.
type query struct {
	time.Time
	User string
}

type deepQuery struct {
	*query
	Page int
}

type pair struct {
	A, B string
	m    map[string]int
	p    *int
	at   any
}

// Equal arguments share a result and different ones do not.
func TestFuncArguments(t *testing.T) {
	t.Parallel()
	one, uno := 1, 1
	paris := time.FixedZone("Paris", 3600)
	noon := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)
	big := map[string]int{}
	for i := range 100 {
		big[fmt.Sprint(i)] = i
	}
	for _, test := range []struct {
		what string
		a, b any
		same bool
	}{
		{"maps in any order", big, maps.Clone(big), true},
		{"maps", map[string]int{"a": 1}, map[string]int{"a": 2}, false},
		{"map boundaries", map[string]string{"a": "bc"}, map[string]string{"ab": "c"}, false},
		{"nil and empty map", map[string]int(nil), map[string]int{}, true},
		{"nil and empty slice", []int(nil), []int{}, true},
		{"nil slice in a struct", user{}, user{Tags: []string{}}, true},
		{"slices", []int{1, 2}, []int{2, 1}, false},
		{"slice boundaries", []string{"a", "b"}, []string{"ab"}, false},
		{"nested slice boundaries", [][]int{{1}, {2}}, [][]int{{1, 2}, {}}, false},
		{"pointers", &one, &uno, true},
		{"nil pointer and zero", (*int)(nil), new(int), false},
		{"times in two zones", noon, noon.In(paris), true},
		{"times", noon, noon.Add(1), false},
		{"times in a struct", user{Born: noon}, user{Born: noon.In(paris)}, true},
		{"string boundaries", pair{A: "a", B: "bc"}, pair{A: "ab", B: "c"}, false},
		{"unexported fields", pair{m: map[string]int{"a": 1}}, pair{m: map[string]int{"a": 2}}, false},
		{"unexported pointers", pair{p: &one}, pair{p: &uno}, true},
		{"types in interfaces", pair{at: int32(1)}, pair{at: int64(1)}, false},
		{"interfaces", pair{at: 1}, pair{at: 1}, true},
		{"nil and zero in interfaces", pair{}, pair{at: 0}, false},
		{"both zeros", 0.0, math.Copysign(0, -1), true},
		{"NaN", math.NaN(), math.NaN(), true},
		{"floats", 1.0, math.Nextafter(1, 2), false},
		{"signs", -1, 1, false},
		{"bools", true, false, false},
		{"arrays", [2]int{1, 2}, [2]int{1, 3}, false},
		{"complex", complex(1, 2), complex(2, 1), false},
		{"beside an embedded time", query{noon, "alice"}, query{noon, "bob"}, false},
		{"embedded times in two zones", query{noon, "alice"}, query{noon.In(paris), "alice"}, true},
		{"beside what embeds a time", deepQuery{&query{noon, "a"}, 1}, deepQuery{&query{noon, "a"}, 2}, false},
		{"below what embeds a time", deepQuery{&query{noon, "a"}, 1}, &deepQuery{&query{noon, "b"}, 1}, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			a, err1 := hashOf(test.a)
			b, err2 := hashOf(test.b)
			if err1 != nil || err2 != nil || (a == b) != test.same {
				t.Errorf("hash of %v: %s, %v; of %v: %s, %v; want the same: %v", test.a, a, err1, test.b, b, err2, test.same)
			}
		})
	}
}

func TestFunc(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{})
		var n atomic.Int64
		var fs []func(context.Context, map[string][]int) (string, error)
		for _, c := range cs {
			f, err := Func(c, "f", func(_ context.Context, arg map[string][]int) (string, error) {
				n.Add(1)
				if arg["fail"] != nil {
					return "", errBroken
				}
				time.Sleep(5 * time.Millisecond)
				return fmt.Sprint(arg), nil
			}, &CachedOptions{TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			fs = append(fs, f)
		}
		redistest.Together(20, func(i int) {
			arg := map[string][]int{"a": {1}, "b": nil}
			if v, err := fs[i%2](t.Context(), arg); err != nil || v != "map[a:[1] b:[]]" {
				t.Errorf("f(%v) = %q, %v", arg, v, err)
			}
		})
		if n.Load() != 1 {
			t.Errorf("%d calls for equal arguments, want 1", n.Load())
		}
		if v, err := fs[0](t.Context(), map[string][]int{"a": {2}}); err != nil || v != "map[a:[2]]" || n.Load() != 2 {
			t.Errorf("f = %q, %v, %d calls, want 2", v, err, n.Load())
		}
		if v, err := fs[0](t.Context(), map[string][]int{"fail": {}}); !errors.Is(err, errBroken) || v != "" {
			t.Errorf("f = %q, %v, want %v", v, err, errBroken)
		}
	})
}

func TestFuncRefusesArguments(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{})[0]
		for what, err := range map[string]error{
			"func":           refuse[func()](c),
			"chan":           refuse[chan int](c),
			"unsafe.Pointer": refuse[struct{ P []map[string]chan int }](c),
			"field F":        refuse[struct{ F *func() }](c),
		} {
			if err == nil || what != "unsafe.Pointer" && !strings.Contains(err.Error(), what) {
				t.Errorf("Func with an argument with a %s = %v, want an error that says so", what, err)
			}
		}
		type ring struct{ Next *ring }
		loop := &ring{}
		loop.Next = loop
		f, err := Func(c, "any", func(context.Context, any) (int, error) { return 1, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, arg := range []any{func() {}, make(chan int), []any{struct{ F func() }{}}, loop} {
			if _, err := f(t.Context(), arg); err == nil || !strings.Contains(err.Error(), "key") {
				t.Errorf("f(%T) = %v, want an error", arg, err)
			}
		}
		for _, arg := range []any{nil, &ring{}, []any{1, "a", nil}, map[any]any{1: "a"}} {
			if v, err := f(t.Context(), arg); err != nil || v != 1 {
				t.Errorf("f(%T) = %v, %v", arg, v, err)
			}
		}
	})
}

func refuse[A any](c *Redis) error {
	_, err := Func(c, "f", func(context.Context, A) (int, error) { return 0, nil }, nil)
	return err
}

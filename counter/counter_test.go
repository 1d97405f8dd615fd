package counter

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// someKeys are such as users have, and such as attackers would.
var someKeys = []string{"a", "product:42", "", "}x", "{", "%", "a}b{c", "\x00\xff\r\n", strings.Repeat("long", 300)}

func TestCounter(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, opts := range map[string]Options{
			"forever": {},
			"fixed":   {TTL: time.Hour},
			"sliding": {TTL: time.Hour, Sliding: true},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newCounter(t, s.Client(t), opts)
				for _, key := range someKeys {
					has(t, r, key, 0)
					adds(t, r, key, 3, 3)
					adds(t, r, key, -5, -2)
					adds(t, r, key, 0, -2)
					once(t, r, key, "op", 10, 8, true)
					once(t, r, key, "op", 10, 8, false)
					once(t, r, key, "op2", 1, 9, true)
					has(t, r, key, 9)
				}
				totals, err := r.GetMany(t.Context(), append(someKeys, "none", "a"))
				if err != nil || len(totals) != len(someKeys)+1 || totals["}x"] != 9 || totals["none"] != 0 {
					t.Errorf("GetMany = %v, %v", totals, err)
				}
				if n, err := r.Take(t.Context(), "a"); n != 9 || err != nil {
					t.Errorf("Take = %d, %v, want 9", n, err)
				}
				has(t, r, "a", 0)
				if n, err := r.Take(t.Context(), "a"); n != 0 || err != nil {
					t.Errorf("a second Take = %d, %v, want 0", n, err)
				}
				once(t, r, "a", "op2", 1, 0, false) // it was counted, and taken
				check(t, r.Reset(t.Context(), someKeys...))
				for _, key := range someKeys {
					has(t, r, key, 0)
				}
				once(t, r, "}x", "op", 1, 0, false)
				check(t, r.Reset(t.Context()))
			})
		}
	})
}

// Totals are exact to the last of 64 bits, and one that would overflow stays.
func TestLargeTotals(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, opts := range []Options{{}, {TTL: time.Hour}, {TTL: time.Hour, Sliding: true}} {
			r := newCounter(t, s.Client(t), opts)
			for _, key := range []string{"up", "down"} {
				sign := int64(1)
				if key == "down" {
					sign = -1
				}
				key += name(opts)
				adds(t, r, key, sign<<53, sign<<53)
				adds(t, r, key, sign, sign*(1<<53+1))
				once(t, r, key, "op", 2*sign, sign*(1<<53+3), true)
				once(t, r, key, "op", 2*sign, sign*(1<<53+3), false)
				adds(t, r, key, sign*(math.MaxInt64-(1<<53+3)), sign*math.MaxInt64)
				if s.Topology() == redistest.Miniredis { // which wraps
					continue
				}
				if n, err := r.Add(t.Context(), key, 2*sign); err == nil || !strings.Contains(err.Error(), "overflow") {
					t.Errorf("Add beyond 64 bits = %d, %v, want an error", n, err)
				}
				if _, applied, err := r.AddOnce(t.Context(), key, "beyond", 2*sign); err == nil || applied {
					t.Errorf("AddOnce beyond 64 bits = %v, %v, want an error", applied, err)
				}
				has(t, r, key, sign*math.MaxInt64)
				if n, err := r.Take(t.Context(), key); n != sign*math.MaxInt64 || err != nil {
					t.Errorf("Take = %d, %v", n, err)
				}
				once(t, r, key, "beyond", 1, 1, true) // what was refused was not noted
			}
		}
	})
}

// What is under a key and is not a count is an error, whose text does not tell it, and
// stays.
func TestForeignValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, opts := range []Options{{}, {TTL: time.Hour}, {TTL: time.Hour, Sliding: true}} {
			opts.Prefix = redistest.Prefix(t) + name(opts)
			r := newCounter(t, s.Client(t), opts)
			s.Do(t, "rpush", r.key("list"), "secret")
			for key, value := range map[string]string{"text": "secret", "empty": "", "fraction": "1.5", "long": "99999999999999999999", "space": " 1"} {
				s.Do(t, "set", r.key(key), value)
			}
			for _, key := range []string{"list", "text", "empty", "fraction", "long", "space"} {
				before := s.Do(t, "type", r.key(key))
				_, addErr := r.Add(t.Context(), key, 1)
				_, _, onceErr := r.AddOnce(t.Context(), key, "op", 1)
				_, getErr := r.Get(t.Context(), key)
				_, takeErr := r.Take(t.Context(), key)
				for op, err := range map[string]error{"Add": addErr, "AddOnce": onceErr, "Get": getErr, "Take": takeErr} {
					if err == nil || strings.Contains(err.Error(), "secret") {
						t.Errorf("%s of %s = %v, want an error that does not tell what is there", op, key, err)
					}
				}
				if after := s.Do(t, "type", r.key(key)); after != before || s.Do(t, "pttl", r.key(key)) != int64(-1) {
					t.Errorf("%s was a %v and is a %v that expires in %v ms", key, before, after, s.Do(t, "pttl", r.key(key)))
				}
			}
		}
	})
}

// A counter lives for TTL from its first count, or its last. One that has lost its expiry
// gets another, and an opID lives for OnceFor.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for _, sliding := range []bool{false, true} {
		t.Run(fmt.Sprint("sliding=", sliding), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				r := newCounter(t, s.Client(t), Options{TTL: time.Minute, Sliding: sliding, OnceFor: 10 * time.Minute})
				adds(t, r, "k", 1, 1)
				time.Sleep(40 * time.Second)
				adds(t, r, "k", 1, 2)
				time.Sleep(19 * time.Second)
				has(t, r, "k", 2)
				time.Sleep(2 * time.Second) // 61 s after the first, 21 s after the second
				if sliding {
					has(t, r, "k", 2)
					time.Sleep(38 * time.Second)
					has(t, r, "k", 2)
					time.Sleep(2 * time.Second)
				}
				has(t, r, "k", 0)

				once(t, r, "o", "op", 1, 1, true)
				time.Sleep(9*time.Minute + 59*time.Second)
				once(t, r, "o", "op", 1, 0, false)
				time.Sleep(time.Second + patience)
				once(t, r, "o", "op", 1, 1, true)
			})
		})
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, sliding := range []bool{false, true} {
			opts := Options{Prefix: redistest.Prefix(t) + name(Options{Sliding: sliding}), TTL: time.Hour, Sliding: sliding}
			r := newCounter(t, s.Client(t), opts)
			forever := newCounter(t, s.Client(t), Options{Prefix: opts.Prefix})
			for name, count := range map[string]func(key string){
				"Add":     func(key string) { _, err := r.Add(t.Context(), key, 1); check(t, err) },
				"AddOnce": func(key string) { _, _, err := r.AddOnce(t.Context(), key, fmt.Sprint(time.Now()), 1); check(t, err) },
				"Flush": func(key string) {
					b := newBuffered(t, r, BufferedOptions{})
					_, err := b.Add(t.Context(), key, 1)
					check(t, err)
					check(t, b.Flush(t.Context()))
				},
			} {
				count(name)
				expires(t, s, r.key(name), time.Hour)
				s.Do(t, "persist", r.key(name))
				count(name)
				expires(t, s, r.key(name), time.Hour)
				if name != "Flush" { // which has its own way
					s.Do(t, "pexpire", r.key(name), 60_000)
				}
				adds(t, forever, name, 1, 3) // keeps what is there
				expires(t, s, r.key(name), time.Hour)
			}
			for _, key := range keysOf(t, s, opts.Prefix) {
				if ms := s.Do(t, "pttl", key).(int64); ms <= 0 {
					t.Errorf("%q does not expire", key)
				}
			}
		}
	})
}

// GetMany returns what it could read, and goes out in batches.
func TestGetMany(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newCounter(t, rdb, Options{Timeout: time.Minute})
		keys := make([]string, 2500) // more than two batches
		want := make(map[string]int64)
		for i := range keys {
			keys[i] = fmt.Sprint(i)
			want[keys[i]] = int64(i)
		}
		for some := range slices.Chunk(keys, 100) { // or a busy machine takes too long for a reply
			_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for _, key := range some {
					p.IncrBy(t.Context(), r.key(key), want[key])
				}
				return nil
			})
			check(t, err)
		}
		got, err := r.GetMany(t.Context(), keys)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("GetMany of %d keys has %d, %v", len(keys), len(got), err)
		}
		s.Do(t, "set", r.key("7"), "seven")
		got, err = r.GetMany(t.Context(), keys[:10])
		if _, ok := got["7"]; err == nil || ok || len(got) != 9 {
			t.Errorf("GetMany with something else under a key = %v, %v, want the others and an error", got, err)
		}
		if got, err := r.GetMany(t.Context(), nil); len(got) != 0 || got == nil || err != nil {
			t.Errorf("GetMany of none = %v, %v", got, err)
		}
		check(t, r.Reset(t.Context(), keys...))
		if keys := keysOf(t, s, r.o.Prefix+":n"); len(keys) != 0 {
			t.Errorf("Reset left %d keys", len(keys))
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	counterOf := func(o Options) error { _, err := New(rdb, &o); return err }
	bufferedOf := func(o BufferedOptions) error { _, err := NewBuffered(newCounter(t, rdb, Options{}), &o); return err }
	seriesOf := func(o SeriesOptions) error { _, err := NewSeries(rdb, &o); return err }
	uniqueOf := func(o UniqueOptions) error { _, err := NewUnique(rdb, &o); return err }
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	_, ringErr := New(ring, nil)
	_, nilErr := New(nil, nil)
	_, nilBuffered := NewBuffered(nil, nil)
	for want, err := range map[string]error{
		"Options.Prefix contains ' '":         counterOf(Options{Prefix: "a b"}),
		"Options.TTL is negative":             counterOf(Options{TTL: -1}),
		"Options.TTL is more than":            counterOf(Options{TTL: math.MaxInt64}),
		"Options.Sliding is set without TTL":  counterOf(Options{Sliding: true}),
		"Options.OnceFor is less":             counterOf(Options{OnceFor: time.Millisecond}),
		"Options.OnceFor is less than a":      counterOf(Options{OnceFor: -1}),
		"Ring":                                ringErr,
		"client is nil":                       nilErr,
		"of a Buffered is nil":                nilBuffered,
		"BufferedOptions.Interval is less":    bufferedOf(BufferedOptions{Interval: 1}),
		"BufferedOptions.MaxKeys is negative": bufferedOf(BufferedOptions{MaxKeys: -1}),
		"SeriesOptions.Prefix contains '{'":   seriesOf(SeriesOptions{Prefix: "{"}),
		"SeriesOptions.Minutes is less":       seriesOf(SeriesOptions{Minutes: time.Second}),
		"SeriesOptions.Hours is less":         seriesOf(SeriesOptions{Hours: time.Minute}),
		"SeriesOptions.Days is less":          seriesOf(SeriesOptions{Days: time.Hour}),
		"SeriesOptions turn off":              seriesOf(SeriesOptions{Minutes: -1, Hours: -1, Days: -1}),
		"UniqueOptions.Prefix contains '}'":   uniqueOf(UniqueOptions{Prefix: "}"}),
		"UniqueOptions.TTL is negative":       uniqueOf(UniqueOptions{TTL: -1}),
		"UniqueOptions.Exact is more than":    uniqueOf(UniqueOptions{Exact: 1 << 20}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "counter: ") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, err := range []error{
		counterOf(Options{Timeout: -1, TTL: 1}), bufferedOf(BufferedOptions{}), seriesOf(SeriesOptions{Minutes: -1, Hours: -1, Timeout: -1}), uniqueOf(UniqueOptions{Exact: -1}),
	} {
		check(t, err)
	}
	if _, _, err := newCounter(t, rdb, Options{}).AddOnce(context.Background(), "k", "", 1); err == nil {
		t.Error("AddOnce without an opID has no error")
	}
	opts := Options{Prefix: "before"}
	r := newCounter(t, rdb, opts)
	opts.Prefix = "after"
	if !slices.Equal([]string{r.key("k")}, []string{"before:n:{k}"}) {
		t.Errorf("the key is %q", r.key("k"))
	}
}

package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// stored is an entry as the scripts store it.
func stored(head, rest []byte, created, until int64) string {
	return fmt.Sprintf("%s%013d%013d%s", head, created, until, rest)
}

func TestEntryRoundTrip(t *testing.T) {
	t.Parallel()
	random := make([]byte, 10_000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for _, payload := range [][]byte{nil, []byte("v"), random, bytes.Repeat([]byte("compressible "), 1000), make([]byte, 1<<20)} {
		for _, above := range []int{0, -1, 1, 100, 1 << 30} {
			for _, notFound := range []bool{false, true} {
				head, rest := encodeEntry(newToken(), notFound, 1500*time.Millisecond, payload, above)
				raw := stored(head, rest, 1, 1700000000123)
				e, err := decodeEntry(raw)
				if err != nil || !bytes.Equal(e.payload, payload) || e.notFound != notFound || e.cost != 1500*time.Millisecond ||
					e.until.UnixMilli() != 1700000000123 || e.raw != raw {
					t.Errorf("decodeEntry of %d bytes, compressed above %d, not found %v: %v, %+v", len(payload), above, notFound, err, e)
				}
				if len(raw) > entryHead+len(payload) {
					t.Errorf("an entry of %d bytes for a payload of %d", len(raw), len(payload))
				}
				if above > 0 && above <= len(payload) && len(payload) > 10_000 && len(raw) > len(payload)/5 {
					t.Errorf("a compressible payload of %d bytes makes an entry of %d", len(payload), len(raw))
				}
			}
		}
	}
}

func TestCompressAbove(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: prefix, CompressAbove: 1000})
		plain := newCache(t, s.Client(t), Options{Prefix: prefix})
		for key, n := range map[string]int{"small": 999, "large": 1000, "huge": 1 << 20} {
			value := strings.Repeat("x", n)
			wants(t, c, key, returns(new(atomic.Int64), value), value)
			settled(t, c)
			wants(t, c, key, mustNotLoad(t), value)
			wants(t, plain, key, mustNotLoad(t), value)
			size := rdb.StrLen(t.Context(), c.keysOf(key)[0]).Val()
			if compressed := size < int64(n); compressed != (n >= 1000) {
				t.Errorf("%q of %d bytes takes %d in Redis", key, n, size)
			}
			if err := c.Set(t.Context(), key, []byte(value+"y"), 0); err != nil {
				t.Fatal(err)
			}
			wants(t, plain, key, mustNotLoad(t), value+"y")
		}
	})
}

// deflated is an entry that claims to hold n bytes.
func deflated(t testing.TB, n uint64, body []byte) string {
	t.Helper()
	var length []byte
	for ; n >= 0x80; n >>= 7 {
		length = append(length, byte(n)|0x80)
	}
	length = append(length, byte(n))
	head := append([]byte{entryMagic, entryVersion | entryDeflated}, newToken()...)
	return stored(head, append(append(make([]byte, 4), length...), body...), 1, 9_000_000_000_000)
}

// zeros is n zeros, deflated.
func zeros(t testing.TB, n int) []byte {
	t.Helper()
	out := deflate(nil, make([]byte, n))
	for len(out) > 0 && out[0] >= 0x80 {
		out = out[1:]
	}
	return out[1:]
}

// What compressed entries may cost.
func TestDecompressionIsBounded(t *testing.T) {
	bomb := zeros(t, 128<<20)
	numbers := deflate(nil, fmt.Appendf(nil, "%3000x", rand.Uint64()+1<<40))[2:] // without its length
	for _, test := range []struct {
		what  string
		raw   string
		limit uint64
	}{
		{"more than the limit", deflated(t, 128<<20, bomb), 1 << 20},
		{"a length that is too short", deflated(t, 1000, bomb), 1 << 20},
		{"a length beyond what DEFLATE can do", deflated(t, 60<<20, bomb[:1000]), 1 << 20},
		{"a length of 64 bits", deflated(t, 1<<63, bomb), 1 << 20},
		{"a length without an end", stored(append([]byte{entryMagic, entryVersion | entryDeflated}, newToken()...), bytes.Repeat([]byte{0xff}, 30), 1, 2), 1 << 20},
		{"no length", stored(append([]byte{entryMagic, entryVersion | entryDeflated}, newToken()...), make([]byte, 4), 1, 2), 1 << 20},
		{"garbage", deflated(t, 100, bytes.Repeat([]byte{0xff}, 100)), 1 << 20},
		{"truncated", deflated(t, 3000, numbers[:len(numbers)/2]), 1 << 20},
	} {
		if e, n, err := decodeMeasured(test.raw); err == nil || n > test.limit {
			t.Errorf("%s: %v, %v; %d bytes allocated for %d, want an error and at most %d", test.what, e, err, n, len(test.raw), test.limit)
		}
	}
	if e, _, err := decodeMeasured(deflated(t, 60<<20, zeros(t, 60<<20))); err != nil || len(e.payload) != 60<<20 {
		t.Errorf("60 MB of zeros: %v, want them back", err)
	}
}

func decodeMeasured(raw string) (e entry, allocated uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err = decodeEntry(raw)
	runtime.ReadMemStats(&after)
	return e, after.TotalAlloc - before.TotalAlloc, err
}

// Whatever is under the value key is a miss: counted, and replaced under lease.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	entryOf := func(version byte, payload string) string {
		head, rest := encodeEntry(newToken(), false, 0, []byte(payload), 0)
		head[1] = version
		return stored(head, rest, 1, 9_000_000_000_000)
	}
	good := entryOf(entryVersion, "\xa4good")
	values := map[string]string{
		"empty":         "",
		"foreign":       "{\"name\":\"foreign\"}",
		"one byte":      "\xf5",
		"truncated":     good[:entryHead-1],
		"head only cut": good[:identityEnds],
		"future":        entryOf(0x20, "\x91\xa4evil"),
		"magic":         "\xf4" + entryOf(entryVersion, "\x91\xa4evil")[1:],
		"stamps":        good[:untilAt] + "not a number!" + good[costAt:],
		"negative":      good[:untilAt] + "-000000000001" + good[costAt:],
		"deflate bomb":  deflated(t, 128<<20, zeros(t, 128<<20)),
		"deflate lie":   deflated(t, 10, []byte("xx")),
		"msgpack bomb":  entryOf(entryVersion, "\xdd\xff\xff\xff\xf0"),
		"msgpack deep":  entryOf(entryVersion, strings.Repeat("\x91", 100_000)+"\xc0"),
		"other type":    entryOf(entryVersion, "\x81\xa1a\x01"),
		"no payload":    entryOf(entryVersion, ""),
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for _, expired := range []bool{false, true} {
			c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, StaleOnError: time.Hour})
			var loads atomic.Int64
			m, err := NewCached(c, "m", func(context.Context, string) ([]string, error) {
				loads.Add(1)
				return []string{"good"}, nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			put := func(key, value string) {
				t.Helper()
				if expired && len(value) >= costAt && value[0] == entryMagic {
					value = value[:untilAt] + fmt.Sprintf("%013d", time.Now().UnixMilli()-1000) + value[costAt:]
				}
				if err := rdb.Set(t.Context(), c.keysOf("m:" + key)[0], value, 0).Err(); err != nil {
					t.Fatal(err)
				}
			}
			list := func(key string) {
				t.Helper()
				if err := rdb.RPush(t.Context(), c.keysOf("m:" + key)[0], "x").Err(); err != nil {
					t.Fatal(err)
				}
			}
			for name, value := range values {
				keys = append(keys, name)
				put(name, value)
			}
			keys = append(keys, "list")
			list("list")
			for round := range 3 { // by script, by GET, all at once
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				before := c.Stats()
				if round < 2 {
					for _, key := range keys {
						v, err := m.Get(ctx, key)
						if err != nil || len(v) != 1 || v[0] != "good" {
							t.Errorf("Get with %s in Redis = %q, %v, want a loaded value", key, v, err)
						}
						settled(t, c)
						if v, ok, err := c.Peek(ctx, "m:"+key); err != nil || !ok || string(v) != "\x91\xa4good" {
							t.Errorf("with %s in Redis: Peek = %q, %v, %v, want it replaced", key, v, ok, err)
						}
					}
				} else if got, err := m.GetMany(ctx, keys); err != nil || len(got) != len(keys) {
					t.Errorf("GetMany = %d values, %v, want %d", len(got), err, len(keys))
				}
				settled(t, c)
				after := c.Stats()
				if n := after.Corrupt - before.Corrupt; n < uint64(len(keys)-3) { // an expired one is not decoded
					t.Errorf("Stats().Corrupt grew by %d, want %d", n, len(keys))
				}
				if n := after.Loads - before.Loads; n != uint64(len(keys)) {
					t.Errorf("%d loads, want %d", n, len(keys))
				}
				for name, value := range values {
					put(name, value)
				}
				if err := rdb.Del(t.Context(), c.keysOf("m:list")[0]).Err(); err != nil {
					t.Fatal(err)
				}
				list("list")
			}
			// The other operations.
			for _, key := range keys {
				full := "m:" + key
				if v, ok, err := c.Peek(t.Context(), full); err != nil {
					t.Errorf("Peek with %s in Redis = %q, %v, %v", key, v, ok, err)
				}
				if err := c.Expire(t.Context(), full); err != nil {
					t.Errorf("Expire with %s in Redis = %v", key, err)
				}
				if err := c.Set(t.Context(), full, []byte("\x91\xa3set"), 0); err != nil {
					t.Errorf("Set with %s in Redis = %v", key, err)
				}
				if v, err := m.Get(t.Context(), key); err != nil || len(v) != 1 || v[0] != "set" {
					t.Errorf("Get after Set over %s = %q, %v, want %q", key, v, err, "set")
				}
			}
		}
	})
}

// What is under the lease key and is no lease does not stop anybody.
func TestHostileLeases(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t), StaleFor: time.Hour, LoadTimeout: 10 * time.Second})
		for name, put := range map[string]func(key string) error{
			"no expiry": func(key string) error { return rdb.Set(t.Context(), key, "12345678", 0).Err() },
			"empty":     func(key string) error { return rdb.Set(t.Context(), key, "", 0).Err() },
			"list":      func(key string) error { return rdb.RPush(t.Context(), key, "x").Err() },
			"hash with expiry": func(key string) error {
				rdb.HSet(t.Context(), key, "a", "b")
				return rdb.PExpire(t.Context(), key, time.Hour).Err()
			},
		} {
			for i, op := range []string{"load", "set", "delete", "expire", "hold", "refresh"} {
				key := name + op
				if op == "refresh" {
					if err := c.Set(t.Context(), key, []byte("old"), time.Millisecond); err != nil {
						t.Fatal(err)
					}
					time.Sleep(3 * time.Millisecond)
				}
				if err := put(c.keysOf(key)[1]); err != nil {
					t.Fatal(err)
				}
				var err error
				switch i {
				case 1:
					err = c.Set(t.Context(), key, []byte("v"), 0)
				case 2:
					err = c.Delete(t.Context(), key)
				case 3:
					err = c.Expire(t.Context(), key)
				case 4:
					err = c.Hold(t.Context(), time.Millisecond, key)
					time.Sleep(3 * time.Millisecond)
				case 5:
					wants(t, c, key, returns(new(atomic.Int64), "v"), "old")
					settled(t, c)
				}
				if err != nil {
					t.Errorf("%s with %s under the lease key = %v", op, name, err)
				}
				start := time.Now()
				wants(t, c, key, returns(new(atomic.Int64), "v"), "v")
				if took := time.Since(start); took > leaseTerm/2 {
					t.Errorf("GetOrLoad with %s under the lease key took %v", name, took)
				}
				settled(t, c)
				peeks(t, c, key, "v")
			}
		}
	})
}

// A lease that nobody gives back and that lasts is waited for as long as a load
// would be.
func TestLeaseThatLasts(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: "p", LoadTimeout: 10 * time.Second})
		if err := rdb.Set(t.Context(), c.keysOf("k")[1], "foreign", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		o := call(t.Context(), c, "k", returns(new(atomic.Int64), "v"))
		o.wants(t, "k", "v")
		if o.took > 10200*time.Millisecond {
			t.Errorf("GetOrLoad took %v, want LoadTimeout at most", o.took)
		}
	})
}

// What is under the hold key and is no hold: values are returned, and the next
// Hold sets it right.
func TestHostileHolds(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := newCache(t, rdb, Options{Prefix: redistest.Prefix(t)})
		for name, put := range map[string]func(key string) error{
			"no expiry": func(key string) error { return rdb.Set(t.Context(), key, "1", 0).Err() },
			"list":      func(key string) error { return rdb.RPush(t.Context(), key, "x").Err() },
		} {
			if err := put(c.keysOf(name)[2]); err != nil {
				t.Fatal(err)
			}
			wants(t, c, name, returns(new(atomic.Int64), "v"), "v")
			if err := c.Set(t.Context(), name, []byte("v"), 0); err != nil {
				t.Errorf("Set with %s under the hold key = %v", name, err)
			}
			settled(t, c)
			peeks(t, c, name, "v") // what does not expire is no hold
			if err := c.Hold(t.Context(), 5*time.Millisecond, name); err != nil {
				t.Errorf("Hold with %s under the hold key = %v", name, err)
			}
			redistest.Eventually(t, "the hold ends", func() bool { return rdb.Exists(t.Context(), c.keysOf(name)[2]).Val() == 0 })
			wants(t, c, name, returns(new(atomic.Int64), "w"), "w")
			settled(t, c)
			peeks(t, c, name, "w")
		}
	})
}

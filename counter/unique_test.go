package counter

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// counts fails the test unless keys have n members together, exactly or within three
// standard errors.
func counts(t testing.TB, u *Unique, want int64, exactly bool, keys ...string) {
	t.Helper()
	n, relErr, err := u.Count(t.Context(), keys...)
	check(t, err)
	off := math.Abs(float64(n-want)) / float64(want)
	if exactly && (n != want || relErr != 0) || !exactly && (off > 3*relErr || relErr != stdErr) {
		t.Errorf("Count(%d keys) = %d, %v, want %d (exactly: %v)", len(keys), n, relErr, want, exactly)
	}
}

func members(from, n int) []string {
	m := make([]string, n)
	for i := range m {
		m[i] = fmt.Sprint("visitor ", from+i)
	}
	return m
}

func TestUnique(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		u := newUnique(t, s.Client(t), UniqueOptions{Prefix: prefix, TTL: time.Hour, Exact: 2000})
		counts(t, u, 0, true)
		counts(t, u, 0, true, "none", "neither")
		check(t, u.Add(t.Context(), "none"))
		for _, key := range someKeys {
			check(t, u.Add(t.Context(), key, "x", "y", "x", "", "\x00"))
			check(t, u.Add(t.Context(), key, "x", "z"))
			counts(t, u, 5, true, key)
		}
		counts(t, u, 5, true, someKeys...)

		check(t, u.Add(t.Context(), "small", members(0, 1500)...))
		counts(t, u, 1500, true, "small")
		check(t, u.Add(t.Context(), "brim", members(500, 2000)...))
		counts(t, u, 2000, true, "brim")
		counts(t, u, 2500, true, "brim", "small", "none")
		check(t, u.Add(t.Context(), "large", members(1000, 9000)...))
		counts(t, u, 9000, false, "large")
		counts(t, u, 10_000, false, "large", "small", "brim", "none")
		check(t, u.Add(t.Context(), "huge", members(5000, 10_000)...))
		if s.Topology() != redistest.Miniredis { // which adds up more than it should
			counts(t, u, 14_000, false, "large", "huge")
		}
		check(t, u.Add(t.Context(), "brim", "one more"))
		counts(t, u, 2001, false, "brim")
		check(t, u.Add(t.Context(), "large", members(1000, 9000)...)) // again
		counts(t, u, 9000, false, "large")
		if st := u.Stats(); st.Condensed != 3 {
			t.Errorf("Stats() = %+v, want 3 Condensed", st)
		}
		for _, key := range keysOf(t, s, prefix) {
			if ms := s.Do(t, "pttl", key).(int64); ms <= 0 || ms > time.Hour.Milliseconds() || strings.Contains(key, ":w:") {
				t.Errorf("%q expires in %d ms", key, ms)
			}
		}
		rough := newUnique(t, s.Client(t), UniqueOptions{Exact: -1})
		check(t, rough.Add(t.Context(), "k", "x", "y"))
		counts(t, rough, 2, false, "k")
		for _, key := range keysOf(t, s, rough.prefix) {
			if ms := s.Do(t, "pttl", key).(int64); ms != -1 {
				t.Errorf("%q expires in %d ms, want never", key, ms)
			}
		}
	})
}

// The expiry of a set is that of its first member, also when it becomes a HyperLogLog or has
// lost it.
func TestUniqueExpiry(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		u := newUnique(t, s.Client(t), UniqueOptions{TTL: time.Hour, Exact: 100})
		check(t, u.Add(t.Context(), "k", members(0, 50)...))
		check(t, u.Add(t.Context(), "lost", members(0, 50)...))
		s.Do(t, "persist", u.key("u", "lost"))
		time.Sleep(40 * time.Minute)
		check(t, u.Add(t.Context(), "k", members(0, 500)...))
		check(t, u.Add(t.Context(), "lost", "x"))
		counts(t, u, 500, false, "k")
		time.Sleep(19 * time.Minute)
		counts(t, u, 500, false, "k")
		time.Sleep(2 * time.Minute)
		counts(t, u, 0, true, "k")
		counts(t, u, 51, true, "lost")
		time.Sleep(40 * time.Minute)
		counts(t, u, 0, true, "lost")
	})
}

// Many add at once, at the limit: nothing is lost.
func TestUniqueTogether(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		u := newUnique(t, s.Client(t), UniqueOptions{Exact: 300})
		redistest.Together(8, func(i int) {
			for _, m := range members(100*i, 200) {
				if err := u.Add(t.Context(), "k", m); err != nil {
					t.Error(err)
				}
			}
		})
		counts(t, u, 900, false, "k")
	})
}

func TestUniqueRefuses(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		u := newUnique(t, s.Client(t), UniqueOptions{TTL: time.Hour})
		s.Do(t, "set", u.key("u", "text"), "secret")
		s.Do(t, "rpush", u.key("u", "list"), "secret")
		for _, key := range []string{"text", "list"} {
			for op, err := range map[string]error{"Add": u.Add(t.Context(), key, "x"), "Count": func() error { _, _, err := u.Count(t.Context(), key); return err }()} {
				if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s of %s = %v, want WRONGTYPE", op, key, err)
				}
			}
			if ms := s.Do(t, "pttl", u.key("u", key)); ms != int64(-1) {
				t.Errorf("%s expires in %v ms", key, ms)
			}
		}
		if _, _, err := u.Count(t.Context(), make([]string, 1001)...); err == nil {
			t.Error("Count of 1001 keys has no error")
		}
	})
}

// A set that has become too large is made a HyperLogLog of all its members, with the set's
// expiry or none, and only once; one that is not too large stays.
func TestCondense(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		u := newUnique(t, rdb, UniqueOptions{Exact: 3000})
		members := make([]any, 2999)
		for i := range members {
			members[i] = fmt.Sprint("member", i)
		}
		key, made := u.key("u", "k"), u.key("w", "k")
		condense := func(exact int) {
			t.Helper()
			check(t, rdb.Eval(t.Context(), condenseSource, []string{key, made}, exact).Err())
		}
		check(t, rdb.SAdd(t.Context(), key, members...).Err())
		condense(len(members))
		if got := s.Do(t, "type", key); got != "set" {
			t.Errorf("a set that is not too large is a %v", got)
		}
		for range 2 { // another process does it too
			condense(len(members) - 1)
			if got, ttl := s.Do(t, "type", key), s.Do(t, "pttl", key); got != "string" || ttl != int64(-1) {
				t.Errorf("a set without an expiry is a %v that expires in %v ms", got, ttl)
			}
		}
		if n, err := rdb.PFAdd(t.Context(), key, members...).Result(); n != 0 || err != nil {
			t.Errorf("PFADD of what was in the set = %d, %v, want that nothing is new", n, err)
		}
		if n := s.Do(t, "exists", made); n != int64(0) {
			t.Error("where it was made is still there")
		}
	})
}

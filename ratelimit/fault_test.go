package ratelimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/internal/rkey"
)

// A lost reply has debited once or not at all, and the call knows that it does not know.
func TestLostReply(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for name, limits := range map[string][]Limit{
			"bucket": {PerHour(100)},
			"two":    {PerHour(100), {Quota: 100, Period: time.Hour, Algorithm: SlidingLog}},
			"both":   {PerHour(100), {Quota: 100, Period: 2 * time.Hour}},
		} {
			p := s.Proxy(t)
			opts := bare(Options{Prefix: redistest.Prefix(t) + name, Also: limits[1:], OnUnavailable: FailOpen})
			r := newLimiter(t, p.Client(t), limits[0], opts)
			truth := newLimiter(t, s.Client(t), limits[0], opts)
			left := func() int {
				t.Helper()
				redistest.Eventually(t, "the breaker is closed", func() bool { _, err := r.Peek(t.Context(), "k"); return err == nil })
				results, err := truth.Peek(t.Context(), "k")
				if err != nil {
					t.Fatal(err)
				}
				for _, other := range results {
					if other.Remaining != results[0].Remaining {
						t.Errorf("Peek = %+v, want as much of each limit", results)
					}
				}
				return results[0].Remaining
			}
			script := gcraSource
			if name == "two" {
				script = ofAnyKind(takeSource)
			} else if name == "both" {
				script = bucketsSource
			}
			allows(t, r, "k", 10, true)
			if got, err := r.AllowUpTo(t.Context(), "k", 10); err != nil || got.Granted != 10 {
				t.Errorf("AllowUpTo = %+v, %v", got, err)
			}
			if err := r.Refund(t.Context(), "k", 10); err != nil {
				t.Fatal(err)
			}
			p.DropRepliesTo(redistest.Script(script), 1)
			if got, err := r.AllowN(t.Context(), "k", 5); err != nil || !got.Degraded || !got.Allowed {
				t.Errorf("%s: AllowN whose reply is lost = %+v, %v, want to be allowed, Degraded", name, got, err)
			}
			if n := left(); n != 85 {
				t.Errorf("%s: %d are left after a lost reply, want 85", name, n)
			}
			p.DropRepliesTo(redistest.Script(ofAnyKind(takeSource)), 1)
			if got, err := r.AllowUpTo(t.Context(), "k", 5); err != nil || !got.Degraded || got.Granted != 5 {
				t.Errorf("%s: AllowUpTo whose reply is lost = %+v, %v", name, got, err)
			}
			if n := left(); n != 80 {
				t.Errorf("%s: %d are left after a lost reply, want 80", name, n)
			}
			p.DropRepliesTo(redistest.Script(ofAnyKind(refundSource)), 1)
			if err := r.Refund(t.Context(), "k", 5); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s: Refund whose reply is lost = %v, want ErrUnknownOutcome", name, err)
			}
			if n := left(); n != 85 {
				t.Errorf("%s: %d are left after a Refund whose reply was lost, want 85", name, n)
			}
			// Reads and what can be done twice are.
			p.DropRepliesTo(redistest.Script(ofAnyKind(peekSource)), 1)
			if _, err := r.Peek(t.Context(), "k"); err != nil {
				t.Errorf("%s: Peek whose first reply is lost = %v", name, err)
			}
			left() // closes the breaker
			p.DropRepliesTo(redistest.Command("unlink"), 1)
			if err := r.Reset(t.Context(), "k"); err != nil {
				t.Errorf("%s: Reset whose first reply is lost = %v", name, err)
			}
			if n := left(); n != 100 {
				t.Errorf("%s: %d are left after a Reset, want 100", name, n)
			}
			if st := r.Stats(); st.Unknown != 3 {
				t.Errorf("%s: Stats() = %+v, want 3 Unknown", name, st)
			}
		}
	})
}

// What the server says that waiting may cure is OnUnavailable's; the rest are errors.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		var told []error
		limiter := func(timeout time.Duration) *Redis {
			return newLimiter(t, s.Client(t), PerHour(5), bare(Options{Timeout: timeout, OnError: func(err error) { told = append(told, err) }}))
		}
		hasty, patient := limiter(30*time.Millisecond), limiter(time.Minute)
		for text, degraded := range map[string]bool{
			"LOADING Redis is loading the dataset in memory":                                   true,
			"READONLY You can't write against a read only replica.":                            true,
			"OOM command not allowed when used memory > 'maxmemory'.":                          true,
			"MISCONF Redis is configured to save RDB snapshots":                                true,
			"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": true,
			"BUSY Redis is busy running a script.":                                             true,
			"NOPERM this user has no permissions to run the 'evalsha' command":                 false,
			"NOAUTH Authentication required.":                                                  false,
			"WRONGTYPE Operation against a key holding the wrong kind of value":                false,
			"ERR Error running script: @user_script:1: attempt to compare number with nil":     false,
			"WRONGPASS invalid username-password pair or user is disabled.":                    false,
		} {
			r := patient
			if degraded { // when the time is over
				r = hasty
			}
			s.Mini().SetError(text)
			told = nil
			got, err := r.Allow(t.Context(), "k"+text)
			s.Mini().SetError("")
			if (err == nil) != degraded || got.Degraded != degraded || len(told) > 0 != degraded {
				t.Errorf("%q: Allow = %+v, %v, told %v; want Degraded %v", text, got, err, told, degraded)
			}
			if err != nil && errors.Is(err, ErrUnavailable) {
				t.Errorf("%q: Allow = %v, want no ErrUnavailable", text, err)
			}
			// It may have been under way once more when the time was up.
			if degraded && !errors.Is(told[0], ErrUnavailable) && !errors.Is(told[0], ErrUnknownOutcome) {
				t.Errorf("%q: told %v, want ErrUnavailable", text, told)
			}
			worksAgain(t, r)
		}
	})
}

// The same from real servers: out of memory, a replica, users who may not.
func TestRefusals(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		opts := bare(Options{Prefix: "p"})
		r := newLimiter(t, rdb, PerHour(5), opts)
		two := newLimiter(t, rdb, PerHour(5), bare(Options{Prefix: "p2", Also: []Limit{{Quota: 3, Period: time.Hour, Algorithm: SlidingLog}}}))
		for _, l := range []*Redis{r, two} {
			allows(t, l, "k", 3, true)
			s.Do(t, "config", "set", "maxmemory", "1")
			allows(t, l, "k", 3, false) // a denial writes nothing
			if got, err := l.Allow(t.Context(), "new"); err != nil || !got.Degraded {
				t.Errorf("Allow out of memory = %+v, %v, want Degraded", got, err)
			}
			if err := l.Refund(t.Context(), "k", 1); !errors.Is(err, ErrUnavailable) || !redis.IsOOMError(err) {
				t.Errorf("Refund out of memory = %v, want ErrUnavailable and OOM", err)
			}
			s.Do(t, "config", "set", "maxmemory", "0")
			allows(t, l, "new", 1, true)

			s.Do(t, "replicaof", "127.0.0.1", "1")
			s.Do(t, "config", "set", "replica-serve-stale-data", "yes")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			short := newLimiter(t, rdb, PerHour(5), bare(Options{Prefix: "p", Timeout: patience}))
			if got, err := short.Allow(ctx, "k"); err != nil || !got.Degraded {
				t.Errorf("Allow on a replica = %+v, %v, want Degraded", got, err)
			}
			cancel()
			s.Do(t, "replicaof", "no", "one")
			worksAgain(t, l)
		}
		s.Do(t, "acl", "setuser", "nobody", "on", ">pw", "~*", "-@all", "+hello", "+ping")
		s.Do(t, "acl", "setuser", "reader", "on", ">pw", "~*", "-@all", "+hello", "+ping", "+eval", "+evalsha", "+time", "+get")
		s.Do(t, "acl", "setuser", "enough", "on", ">pw", "~p:*", "-@all", "+hello", "+ping", "+eval", "+evalsha", "+time",
			"+get", "+set", "+unlink", "+exists", "+getrange", "+setrange", "+pexpire")
		as := func(user, password string) *Redis {
			return newLimiter(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = user, password }), PerHour(50), opts)
		}
		for name, l := range map[string]*Redis{"nobody": as("nobody", "pw"), "reader": as("reader", "pw"), "WRONGPASS": as("nobody", "no")} {
			for range 5 {
				if _, err := l.Allow(t.Context(), "k"); err == nil || errors.Is(err, ErrUnavailable) {
					t.Errorf("%s: Allow = %v, want an error that is not ErrUnavailable", name, err)
				}
			}
		}
		// The commands that the package's comment lists are enough.
		l := as("enough", "pw")
		all := newLimiter(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "enough", "pw" }), PerHour(50), bare(Options{Prefix: "p", Also: []Limit{
			{Name: "l", Quota: 50, Period: time.Hour, Algorithm: SlidingLog},
			{Name: "w", Quota: 50, Period: time.Hour, Algorithm: SlidingWindow},
			{Name: "f", Quota: 50, Period: time.Hour, Algorithm: FixedWindow},
		}}))
		for _, l := range []*Redis{l, all} {
			allows(t, l, "acl", 2, true)
			allows(t, l, "acl", 20, true)
			if _, err := l.Peek(t.Context(), "acl"); err != nil {
				t.Error(err)
			}
			if err := l.Refund(t.Context(), "acl", 2); err != nil {
				t.Error(err)
			}
			if err := l.Reset(t.Context(), "acl"); err != nil {
				t.Error(err)
			}
		}
	})
}

// The server forgets the scripts.
func TestScriptFlush(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone, redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(1000), bare(Options{}))
		flush := s.Client(t)
		for range 5 {
			for name, f := range map[string]func() error{
				"Allow":     func() error { return second(r.Allow(t.Context(), "k")) },
				"AllowUpTo": func() error { return second(r.AllowUpTo(t.Context(), "k", 2)) },
				"Peek":      func() error { _, err := r.Peek(t.Context(), "k"); return err },
				"Refund":    func() error { return r.Refund(t.Context(), "k", 1) },
			} {
				if err := flush.ScriptFlush(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				if err := f(); err != nil {
					t.Errorf("%s after SCRIPT FLUSH = %v", name, err)
				}
			}
		}
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for range 10 {
					if got, err := r.Allow(t.Context(), fmt.Sprint("k", i%3)); err != nil || got.Degraded {
						t.Errorf("Allow while scripts are flushed = %+v, %v", got, err)
					}
				}
			})
		}
		for range 20 {
			if err := flush.ScriptFlush(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if st := r.Stats(); st.Degraded != 0 || st.Unavailable != 0 {
			t.Errorf("Stats() = %+v, want nothing Degraded", st)
		}
	})
}

// A slot moves to another node: a single limit does not notice, and several are
// OnUnavailable's while their keys are apart.
func TestSlotMigration(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		one := newLimiter(t, s.Client(t), PerHour(100), bare(Options{Timeout: 5 * time.Second}))
		two := newLimiter(t, s.Client(t), PerHour(100), bare(Options{Timeout: patience, Also: []Limit{{Quota: 100, Period: 2 * time.Hour}}}))
		allows(t, one, "k", 10, true)
		allows(t, two, "k", 10, true)
		if rkey.Slot(one.plans.own.keys(one.o.keys, "k")[0]) != rkey.Slot(two.plans.own.keys(two.o.keys, "k")[1]) {
			t.Fatal("the keys of one key are in several slots")
		}
		m := s.MigrateSlot(t, one.plans.own.keys(one.o.keys, "k")[0])
		allows(t, one, "k", 10, true)
		m.Move(t, one.plans.own.keys(one.o.keys, "k")[0], two.plans.own.keys(two.o.keys, "k")[0])
		if got := allows(t, one, "k", 10, true); got.Remaining != 70 {
			t.Errorf("AllowN = %+v, want 70 left", got)
		}
		if got, err := two.AllowN(t.Context(), "k", 10); err != nil || !got.Degraded {
			t.Errorf("AllowN while the keys are apart = %+v, %v, want Degraded", got, err)
		}
		m.Finish(t)
		if got := allows(t, one, "k", 10, true); got.Remaining != 60 {
			t.Errorf("AllowN = %+v, want 60 left", got)
		}
		if got := allows(t, two, "k", 10, true); got.Remaining != 80 {
			t.Errorf("AllowN = %+v, want 80 left", got)
		}
		if err := two.Reset(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	})
}

// What is under a key but not ours heals if it is a string, and is an error if not.
func TestForeignValues(t *testing.T) {
	t.Parallel()
	kinds := map[string]Limit{
		"bucket": {Quota: 7, Period: 100 * time.Millisecond},
		"log":    {Quota: 7, Period: 100 * time.Millisecond, Algorithm: SlidingLog},
		"window": {Quota: 7, Period: 100 * time.Millisecond, Algorithm: SlidingWindow},
		"fixed":  {Quota: 7, Period: 100 * time.Millisecond, Algorithm: FixedWindow},
	}
	values := []string{
		"", " ", "0", "-1", "nan", "inf", "-inf", "1e300", "0x7fffffffffffff", "hello", "99999999999999999999999999999999",
		"9007199254740993", "1795791380986e3   ", "1e999 1e999 1e999", "9999999999999999 1 1", "1 2 3", "0 99999999999999999999",
		strings.Repeat("\xff", 34), strings.Repeat("\xff", 35), strings.Repeat("\xff", 200), strings.Repeat("\x00", 35),
		// A log that is full of what is to come.
		strings.Repeat("\x00\x00\x00\x00\x00\x00\x07", 3) + "\x06\x61\x43\x51\x00\x00\x00" + strings.Repeat("\x00", 7) + strings.Repeat("\xff", 49),
		"\x00\x00\x00\x00\x00\x00\x09" + strings.Repeat("\x00", 6) + "\x08" + strings.Repeat("\x00", 6) + "\x09" + strings.Repeat("\x01", 14),
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for name, limit := range kinds {
			single := newLimiter(t, rdb, limit, bare(Options{}))
			several := newLimiter(t, rdb, limit, bare(Options{Also: []Limit{PerHour(1000)}}))
			mixed := newLimiter(t, rdb, limit, bare(Options{Also: []Limit{{Name: "other", Quota: 1000, Period: time.Hour, Algorithm: FixedWindow}}}))
			for _, r := range []*Redis{single, several, mixed} {
				for i, v := range values {
					key := fmt.Sprint(name, i)
					stored := r.plans.own.keys(r.o.keys, key)[0]
					if err := rdb.Set(t.Context(), stored, v, 0).Err(); err != nil {
						t.Fatal(err)
					}
					if _, err := r.Peek(t.Context(), key); err != nil {
						t.Errorf("%s: Peek on %q = %v", name, v, err)
					}
					got, err := r.Allow(t.Context(), key)
					if err != nil || got.Degraded || got.RetryAfter > 200*time.Millisecond || !got.Allowed && got.RetryAfter <= 0 || got.Remaining > 7 {
						t.Errorf("%s: Allow on %q = %+v, %v", name, v, got, err)
					}
					// Whatever it was taken for, it ends.
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					if err := r.Wait(ctx, key, 1); err != nil {
						t.Errorf("%s: Wait on %q = %v", name, v, err)
					}
					cancel()
					if ttl, err := rdb.PTTL(t.Context(), stored).Result(); err != nil || ttl == -1 { // -2: it has expired
						t.Errorf("%s: the key that was %q has no expiry, or %v", name, v, err)
					}
				}
				stored := r.plans.own.keys(r.o.keys, "list")[0]
				if err := rdb.RPush(t.Context(), stored, "x").Err(); err != nil {
					t.Fatal(err)
				}
				if _, err := r.Allow(t.Context(), "list"); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || errors.Is(err, ErrUnavailable) {
					t.Errorf("%s: Allow on a list = %v, want WRONGTYPE", name, err)
				}
			}
		}
	})
}

// Every key expires, not before its limit is as if it had never been used; a key that
// has lost its expiry gets one again, and is counted right meanwhile.
func TestExpiry(t *testing.T) {
	t.Parallel()
	limits, short := someLimits(t)["one of each"], someLimits(t)["one of each"]
	for i := range limits {
		limits[i].Period *= 3600
		short[i].Period /= 20
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newLimiter(t, rdb, limits[0], bare(Options{Also: limits[1:]}))
		keys := r.plans.own.keys(r.o.keys, "k")
		check := func(what string) {
			t.Helper()
			results, err := r.Peek(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range keys {
				ttl := rdb.PTTL(t.Context(), k).Val()
				if results[i].ResetAfter > 0 && (ttl <= 0 || ttl > results[i].ResetAfter+limits[i].Period+time.Second) {
					t.Errorf("after %s %s expires in %v, and is reset in %v", what, k, ttl, results[i].ResetAfter)
				}
			}
		}
		allows(t, r, "k", 2, true)
		check("AllowN")
		if err := r.Refund(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		check("Refund")
		for _, k := range keys {
			if err := rdb.Persist(t.Context(), k).Err(); err != nil {
				t.Fatal(err)
			}
		}
		allows(t, r, "k", 1, true)
		check("a lost expiry and AllowN")

		r = newLimiter(t, rdb, short[0], bare(Options{Also: short[1:]}))
		keys = r.plans.own.keys(r.o.keys, "k")
		allows(t, r, "k", 2, true)
		for _, k := range keys {
			if err := rdb.Persist(t.Context(), k).Err(); err != nil {
				t.Fatal(err)
			}
		}
		redistest.Eventually(t, "all limits are as if never used", func() bool {
			results, err := r.Peek(t.Context(), "k")
			return err == nil && !slices.ContainsFunc(results, func(r Result) bool { return r.ResetAfter > 0 })
		})
	})
}

// Foreign bytes that look almost right count for something at most, and that
// recovers.
func TestForeignValuesRecover(t *testing.T) {
	t.Parallel()
	stamp := func(us int64) string {
		b := binary.BigEndian.AppendUint64(nil, uint64(us))
		return string(b[1:])
	}
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		ago, soon := time.Now().Add(-time.Hour).UnixMicro(), time.Now().Add(100*time.Millisecond).UnixMicro()
		for name, test := range map[string]struct {
			algorithm Algorithm
			value     string
		}{
			"a log that is ahead for ever": {SlidingLog, stamp(3) + stamp(0) + stamp(3) + stamp(ago) + stamp(1<<53) + stamp(ago) + stamp(ago) + stamp(ago)},
			"a part of a remainder":        {TokenBucket, strconv.FormatInt(soon, 10) + "0.99"},
		} {
			limit := Limit{Quota: 3, Period: 100 * time.Millisecond, Algorithm: test.algorithm}
			r := newLimiter(t, s.Client(t), limit, bare(Options{}))
			s.Do(t, "set", r.plans.own.keys(r.o.keys, "k")[0], test.value)
			redistest.Eventually(t, name+" recovers", func() bool {
				got, err := r.Allow(t.Context(), "k")
				if err != nil {
					t.Fatalf("%s: Allow = %v", name, err)
				}
				return got.Allowed
			})
		}
	})
}

package ratelimit

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Whatever is under a key, no script fails, nothing negative comes out, and what is
// denied is allowed after RetryAfter.
func FuzzStored(f *testing.F) {
	const overlong = "9227000000000000000" // more than 64 bits with a sign hold
	for kind := range 8 {
		for _, v := range []string{
			"", "1795791380986000", "179579138098600021", "1 2 3", "1795791380986000 3", "1795791380000000 3 9", strings.Repeat("\x00", 40),
			overlong + " 0", "1795791380000000 " + overlong, overlong + " 0 0", "1795791380000000 " + overlong + " " + overlong,
		} {
			f.Add(uint8(kind), v, int64(1795791380_986_001))
		}
	}
	f.Add(uint8(1), "\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02\x06\x61\x43\x51\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x61\x43\x51\x00\x00\x00\x06\x61\x43\x51\x00\x00\x00", int64(1795791380_986_001))
	s := redistest.Mini(f)
	rdb := s.Client(f).(*redis.Client)
	s.Mini().ClockTTL(false)
	limiters := []*Redis{}
	for _, limit := range []Limit{
		PerSecond(7),
		{Quota: 7, Period: time.Second, Algorithm: SlidingLog},
		{Quota: 7, Period: time.Second, Algorithm: SlidingWindow},
		{Quota: 7, Period: time.Second, Algorithm: FixedWindow},
	} {
		limiters = append(limiters, newLimiter(f, rdb, limit, bare(Options{Prefix: "p"})))
		limiters = append(limiters, newLimiter(f, rdb, limit, bare(Options{Prefix: "p", Also: []Limit{PerHour(1000)}})))
	}
	f.Fuzz(func(t *testing.T, kind uint8, value string, us int64) {
		if us < 1e12 || us > 4e15 || len(value) > 1<<12 {
			return
		}
		r := limiters[kind%8]
		s.Mini().SetTime(time.UnixMicro(us))
		keys := r.plans.own.keys(r.o.keys, "k")
		if err := rdb.Del(t.Context(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
		if err := rdb.Set(t.Context(), keys[0], value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		peek, err := r.Peek(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.AllowN(t.Context(), "k", 3)
		if err != nil || got.Degraded || got.Remaining < 0 || got.Remaining > 7 || got.RetryAfter < 0 || got.RetryAfter > 3*time.Second || got.ResetAfter < 0 || got.ResetAfter > time.Hour {
			t.Fatalf("AllowN = %+v, %v", got, err)
		}
		if want := peek[0].Remaining >= 3; got.Allowed != want {
			t.Fatalf("AllowN = %+v, after a Peek of %+v", got, peek)
		}
		if !got.Allowed {
			s.Mini().SetTime(time.UnixMicro(us + got.RetryAfter.Microseconds()))
			if again, err := r.AllowN(t.Context(), "k", 3); err != nil || !again.Allowed {
				t.Fatalf("AllowN after RetryAfter of %+v = %+v, %v", got, again, err)
			}
		}
		if err := r.Refund(t.Context(), "k", 2); err != nil {
			t.Fatal(err)
		}
	})
}

// What a script replies is read without surprises, whatever it is.
func FuzzNumbers(f *testing.F) {
	f.Add("1 1795791380 986001  1795791380986000", uint8(3))
	f.Add("-1 1795791380986000", uint8(6))
	f.Add("0 5 1 2 3 4", uint8(6))
	b, err := newBucket(Limit{Quota: 7, Period: time.Second, Burst: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, reply string, n uint8) {
		fields := make([]int64, n%10+2)
		if numbers(reply, fields) && strings.Count(reply, " ") != len(fields)-1 && !strings.HasPrefix(reply, "-1") {
			t.Errorf("%q was read as %d numbers", reply, len(fields))
		}
		if d, ok := bucketsReply([]*bucket{b}, reply, 1); ok && (d.at[0].room < 0 || d.at[0].room > 7) {
			t.Errorf("%q was read as %+v", reply, d)
		}
	})
}

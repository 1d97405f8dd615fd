package leaderboard

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Random calls in virtual time, which goes on between them by a little or by much: seasons
// and windows are in Redis as in memory.
func TestModelOfTime(t *testing.T) {
	n := 80
	if redistest.IsLong() {
		n = 1500
	}
	for _, mode := range []Mode{Best, Last, Sum} {
		for _, ranking := range []Ranking{Competition, Dense, Ordinal} {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				seed := rand.Uint64()
				opts := Options{Mode: mode, Ranking: ranking, Meta: 10, Ascending: seed%2 == 0, MaxScore: []int64{0, 6}[seed/2%2]}
				opts.Periods = [][]Period{{Rolling(time.Hour), Daily}, {Daily, Rolling(24 * time.Hour)}, {Every(time.Hour), Weekly}}[seed/4%3]
				if seed/16%3 == 0 {
					opts.Cap = 5
				}
				p := newPair(t, s, seed, opts)
				for i := range n {
					err := cmp.Or(p.step(), p.mortal(), p.whole(), p.mortal())
					if err != nil {
						t.Fatalf("step %d of seed %d on %+v: %v", i, seed, opts, err)
					}
					time.Sleep([]time.Duration{time.Microsecond, time.Second, 2 * time.Minute, 7 * time.Minute, time.Hour, 26 * time.Hour}[min(p.rng.IntN(40)/6, 5)])
				}
			})
		}
	}
}

// A score counts in a rolling window for between 23/24 of it and all of it.
func TestRolling(t *testing.T) {
	for _, mode := range []Mode{Best, Last, Sum} {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			r := newBoard(t, s.Client(t), Options{Mode: mode, Periods: []Period{Rolling(24 * time.Hour), AllTime}, Meta: 5})
			now := time.Now()
			time.Sleep(now.Truncate(time.Hour).Add(90 * time.Minute).Sub(now)) // half past
			submits(t, r, Score{Member: "a", Value: 5, Meta: []byte("x")})
			time.Sleep(4 * time.Hour)
			submits(t, r, Score{Member: "a", Value: 3})
			after := map[Mode]string{Best: "a=5", Last: "a=3", Sum: "a=8"}[mode]
			time.Sleep(19*time.Hour + 29*time.Minute)
			shows(t, r, "1: 1 "+after+"(x)")
			time.Sleep(2 * time.Minute)
			shows(t, r, "1: 1 a=3(x)")
			time.Sleep(4 * time.Hour)
			shows(t, r, "0:")
			shows(t, r.In(AllTime), "1: 1 "+after+"(x)")
			for range 2 {
				time.Sleep(25 * time.Hour)
				if left := s.Keys(t, r.o.Prefix+":w"); len(left) > 0 {
					t.Errorf("the keys %q are left", left)
				}
			}
		})
	}
}

// When many expire at once each call retires a hundred, and Stats says how many are left.
func TestRollingLag(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Hour)}})
		for i := range 250 {
			submits(t, r, Score{Member: fmt.Sprint(i), Value: 1})
		}
		time.Sleep(5 * time.Hour)
		submits(t, r, Score{Member: "b", Value: 1}, Score{Member: "0", Value: 4})
		time.Sleep(20 * time.Hour)
		for _, want := range []struct {
			total int
			lag   uint64
		}{{152, 150}, {52, 50}, {2, 0}} { // one of those retired stays with what it has left
			p, err := r.Range(t.Context(), 0, 1)
			if off := p.Total - want.total; err != nil || off < -1 || off > 1 || r.Stats().Lag != want.lag {
				t.Errorf("there are %d, %v with a lag of %d, want %d with %d", p.Total, err, r.Stats().Lag, want.total, want.lag)
			}
		}
		shows(t, r, "2: 1 0=4 2 b=1")
	})
}

// One whose score has expired, and is not retired yet, begins anew.
func TestRollingBeginsAnew(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Hour)}})
		for i := range 300 {
			submits(t, r, Score{Member: fmt.Sprintf("%03d", i), Value: 10})
		}
		time.Sleep(25 * time.Hour)
		if got := submits(t, r, Score{Member: "299", Value: 2}); got[0].Old != 0 || got[0].New != 2 || got[0].PrevRank != 0 || !got[0].Changed {
			t.Errorf("Submit = %+v, want the first score of the window", got[0])
		}
	})
}

// A million members in a window, half of whose scores expire at once: every call goes on,
// and retires some. How long commands took is logged, since machines differ.
func TestMillion(t *testing.T) {
	redistest.Long(t)
	s := redistest.Private(t, redistest.Standalone)
	rdb := s.Client(t)
	r := newBoard(t, rdb, Options{Mode: Sum, Periods: []Period{Rolling(7 * day)}})
	const members, batch = 1_000_000, 10_000
	const fill = `
local b = open()
for i = number(), number() do
  local at = i % 2 == 0 and now - 23 * b.width or now - 25 * b.width
  redis.call('HSET', b.w, 'member-' .. i, string.format('%.0f:%.0f', at, -i))
  redis.call('ZADD', b.e, text((math.floor(at / b.width) + 24) * b.width), 'member-' .. i)
  redis.call('ZADD', b.z, pack(-i, tie(b, at)), 'member-' .. i)
end`
	p := r.o.periods[0]
	for from := 0; from < members; from += batch {
		keys, args := r.begin()
		args = append(args, p.width(), p.base(span{}), p.unit, from, from+batch-1)
		err := rdb.Eval(t.Context(), timeSource+waterSource+packedSource+competitionSource+keysSource+fill, r.keysOf(keys, p, span{}), args...).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	for _, call := range []struct {
		name string
		f    func(i int) error
	}{
		{"Submit", func(i int) error {
			_, err := r.Submit(t.Context(), Score{Member: fmt.Sprint("member-", i*7918%members), Value: 1})
			return err
		}},
		{"Range", func(i int) error { _, err := r.Range(t.Context(), i*1000%members, 25); return err }},
		{"Between", func(i int) error { _, err := r.Between(t.Context(), 0, members, 400_000, 25); return err }},
		{"RankOf", func(i int) error { _, err := r.RankOf(t.Context(), int64(i)); return err }},
	} {
		const calls = 200
		s.Do(t, "config", "set", "slowlog-log-slower-than", 5000)
		s.Do(t, "slowlog", "reset")
		s.Do(t, "config", "resetstat")
		lag := r.Stats().Lag
		for i := range calls {
			if err := call.f(i); err != nil {
				t.Fatalf("%s = %v", call.name, err)
			}
		}
		if got := r.Stats().Lag; lag > 0 && lag-got < 99*calls {
			t.Errorf("%d calls of %s retired %d", calls, call.name, lag-got)
		}
		_, stats, _ := strings.Cut(fmt.Sprint(s.Do(t, "info", "latencystats")), "evalsha:")
		stats, _, _ = strings.Cut(stats, "\r")
		t.Logf("%s: %s µs, %v of %d longer than 5 ms", call.name, stats, s.Do(t, "slowlog", "len"), calls)
	}
}

package leaderboard

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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
				opts := Options{Mode: mode, Ranking: ranking, Meta: 10, Ascending: seed%2 == 0, MaxScore: []int64{0, 6, maxScore}[seed/2%3]}
				opts.Periods = [][]Period{{Rolling(time.Hour), Daily}, {Daily, Rolling(24 * time.Hour)}, {Every(time.Hour), Weekly}}[seed/6%3]
				if seed/18%3 == 0 {
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
			timed := r.keysOf(nil, r.o.periods[0], span{})[2]
			if next, err := r.ScoreAt(t.Context(), 0); err != nil || s.Do(t, "zcount", timed, "-inf", time.Now().UnixMicro()) != int64(0) {
				t.Errorf("something has expired that counts, %d, %v", next, err)
			}
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

// Sums are exact at the ends of the range, also where those of some days are beyond it: a
// window then has the nearest that there is.
func TestRollingLargest(t *testing.T) {
	for _, ascending := range []bool{false, true} {
		redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
			p := newPair(t, s, 1, Options{Mode: Sum, MaxScore: maxScore, Ascending: ascending, Periods: []Period{Rolling(24 * time.Hour)}})
			add := func(values ...int64) {
				t.Helper()
				for _, value := range values {
					score := Score{Member: "a", Value: value}
					got, err := p.r.Submit(t.Context(), score)
					want, wantErr := p.m.Submit(t.Context(), score)
					if !slices.Equal(got, want) || !errors.Is(err, wantErr) {
						t.Errorf("Submit(%d) = %+v, %v, want %+v, %v", value, got, err, want, wantErr)
					}
				}
				if err := cmp.Or(p.whole(), p.mortal()); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			}
			const m = maxScore
			time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(24*time.Hour + time.Minute)))
			add(-m)
			for range 10 {
				add(m, m)
				add(-m, -m+2, -1)
			}
			for range 30 { // with ever less that makes up for the rest
				add(0)
			}
			add(m)
			add(-m, -m)
			time.Sleep(23 * time.Hour) // the first m has expired
			add(1)
			for range 24 {
				add(-1)
			}
			time.Sleep(26 * time.Hour)
			add(-m)
			add(m, m)
			time.Sleep(22 * time.Hour) // what is left is twice as much as there can be
			add(-m, -m, -m)
			add()
			add(m, m, m)
		})
	}
}

// Several windows share what one submit retires.
func TestWindowsShare(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		windows := []Period{Rolling(24 * time.Hour), Rolling(24*time.Hour + time.Second), Rolling(24*time.Hour + 2*time.Second)}
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: windows})
		var scores []Score
		for i := range 300 {
			scores = append(scores, Score{Member: fmt.Sprint(i), Value: 1})
		}
		submits(t, r, scores...)
		time.Sleep(24*time.Hour + time.Minute) // all have expired, and the keys are still there
		submits(t, r, Score{Member: "a", Value: 1})
		// Each has a third of what fifty members with one score are.
		if got := r.Stats().Lag; got != 3*(300-17) {
			t.Errorf("the lag is %d, want %d", got, 3*(300-17))
		}
		for i, p := range windows {
			page, err := r.In(p).Range(t.Context(), 0, 1)
			if want := 300 - 17 + 1 - 50; err != nil || page.Total != want || r.Stats().Lag != uint64(want-1) {
				t.Errorf("window %d has %d members with a lag of %d, %v, want %d", i, page.Total, r.Stats().Lag, err, want)
			}
		}
	})
}

// Members with many scores are more work, and fewer of them are retired at once.
func TestRetiresByScores(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Hour)}})
		of := r.keysOf(nil, r.o.periods[0], span{})
		has := "1:-1" + strings.Repeat(fmt.Sprintf(";%d:-1", time.Now().UnixMicro()), 23)
		for i := range 60 {
			submits(t, r, Score{Member: fmt.Sprint(i), Value: 24})
		}
		for i := range 60 {
			s.Do(t, "zadd", of[2], "1", fmt.Sprint(i))
			s.Do(t, "hset", of[3], fmt.Sprint(i), has)
		}
		for _, want := range []uint64{60 - 11, 60 - 22, 60 - 33, 60 - 44, 60 - 55, 0} {
			if _, err := r.RankOf(t.Context(), 1); err != nil || r.Stats().Lag != want {
				t.Errorf("the lag is %d, %v, want %d", r.Stats().Lag, err, want)
			}
		}
		if p, err := r.Range(t.Context(), 59, 1); err != nil || len(p.Entries) != 1 || p.Entries[0].Value != 23 {
			t.Errorf("the last is %q, %v, want that it has 23", line(p), err)
		}
	})
}

// One who comes to the same value again in a window stays where it was.
func TestRollingEquals(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Periods: []Period{Rolling(24 * time.Hour)}})
		time.Sleep(time.Until(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))) // times begin in 2020
		for _, member := range []string{"b", "a", "b"} {
			submits(t, r, Score{Member: member, Value: 5})
			time.Sleep(2 * time.Hour)
		}
		shows(t, r, "2: 1 b=5 1 a=5")
	})
}

// When many expire at once each call retires fifty, and Stats says how many are left.
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
		}{{202, 200}, {152, 150}, {102, 100}, {52, 50}, {2, 0}} { // one of those retired stays with what it has left
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

// A million members in a window, with scores that expire at once, however many each has:
// every call retires some of them, and takes the server less than 5 ms: of the CPU, and nine
// of ten calls, since a machine with other work interrupts it for longer.
func TestMillion(t *testing.T) {
	redistest.Long(t)
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	rdb := s.Client(t)
	r := newBoard(t, rdb, Options{Mode: Sum, Periods: []Period{Rolling(7 * day)}})
	const members, batch, due, calls = 1_000_000, 10_000, 40_000, 60
	p := r.o.periods[0]
	// run runs a script for members from one to another.
	run := func(script string, from, to, scores int) {
		for ; from < to; from += batch {
			keys, args := r.begin()
			args = append(args, p.width(), p.base(span{}), p.unit, from, min(from+batch, to)-1, scores)
			err := rdb.Eval(t.Context(), timeSource+waterSource+packedSource+packedOrderSource+competitionSource+keysSource+script, r.keysOf(keys, p, span{}), args...).Err()
			if err != nil && !errors.Is(err, redis.Nil) {
				t.Fatal(err)
			}
		}
	}
	run(`
local b = open()
for i = number(), number() do
  redis.call('HSET', b.w, 'member-' .. i, string.format('%.0f:%d', now, -i))
  redis.call('ZADD', b.e, text((math.floor(now / b.width) + 24) * b.width), 'member-' .. i)
  redis.call('ZADD', b.z, pack(-i, tie(b, now)), 'member-' .. i)
end`, 0, members, 0)
	for i, scores := range []int{1, 2, 7, 24} {
		first := i * due
		run(`
local b = open()
local from, to, n = number(), number(), number()
local oldest = math.floor(now / b.width) - 24
local has = {}
for k = 1, n do
  has[k] = string.format('%.0f:-1', (oldest + math.floor((k - 1) * 24 / n)) * b.width)
end
for i = from, to do
  redis.call('HSET', b.w, 'member-' .. i, table.concat(has, ';'))
  redis.call('ZADD', b.e, text((oldest + 24) * b.width), 'member-' .. i)
end`, first, first+due, scores)
		lag := uint64(due)
		for _, call := range []struct {
			name string
			f    func(i int) error
		}{
			{"Submit", func(i int) error {
				_, err := r.Submit(t.Context(), Score{Member: fmt.Sprint("member-", members/2+i), Value: 1})
				return err
			}},
			{"Range", func(i int) error { _, err := r.Range(t.Context(), i*1000, 25); return err }},
			{"Around", func(i int) error { _, err := r.Around(t.Context(), fmt.Sprint("member-", members/2+i), 25); return err }},
			{"Between", func(i int) error { _, err := r.Between(t.Context(), 0, members, 400_000, 25); return err }},
			{"RankOf", func(i int) error { _, err := r.RankOf(t.Context(), int64(i)); return err }},
		} {
			if err := call.f(calls); err != nil { // the script is known
				t.Fatalf("%s = %v", call.name, err)
			}
			lag = r.Stats().Lag
			spent := make([]time.Duration, calls)
			for i := range spent {
				before := spentBy(t, s)
				if err := call.f(i); err != nil {
					t.Fatalf("%s = %v", call.name, err)
				}
				spent[i] = spentBy(t, s) - before
			}
			retired := lag - r.Stats().Lag
			if most := min(50, 300/(5+scores)+1); r.Stats().Lag == 0 || retired < calls || retired > uint64(most*calls) {
				t.Errorf("%d calls of %s retired %d members, and %d are left", calls, call.name, retired, r.Stats().Lag)
			}
			slices.Sort(spent)
			if spent[calls*9/10] > 5*time.Millisecond {
				t.Errorf("one of ten calls of %s took more than %v", call.name, spent[calls*9/10])
			}
			t.Logf("%s, with %d scores: retired %.1f members each; CPU time median %v, the longest %v", call.name, scores, float64(retired)/calls, spent[calls/2], spent[calls-1])
		}
		for lag = r.Stats().Lag; lag > 0; lag = r.Stats().Lag {
			if _, err := r.RankOf(t.Context(), 0); err != nil || r.Stats().Lag >= lag {
				t.Fatalf("the lag is %d after %d, %v", r.Stats().Lag, lag, err)
			}
		}
		page, err := r.Get(t.Context(), fmt.Sprint("member-", first), fmt.Sprint("member-", first+due-1))
		if want := min(scores-1, 1) * 2; err != nil || len(page.Entries) != want || want > 0 && page.Entries[1].Value != int64(scores-1) {
			t.Errorf("of %d scores there are %q, %v", scores, line(page), err)
		}
	}
}

// spentBy is the CPU time of the thread that executes a server's commands.
func spentBy(t *testing.T, s *redistest.Server) (d time.Duration) {
	t.Helper()
	text := fmt.Sprint(s.Do(t, "info", "cpu"))
	for _, name := range []string{"used_cpu_user_main_thread:", "used_cpu_sys_main_thread:"} {
		_, text, _ := strings.Cut(text, name)
		text, _, _ = strings.Cut(text, "\r")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("INFO has no %s", name)
		}
		d += time.Duration(seconds * float64(time.Second))
	}
	return d
}

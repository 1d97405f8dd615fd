package leaderboard

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

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
					err := p.step()
					if err == nil {
						err = p.whole()
					}
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
				if left := keys(t, s, r.o.Prefix+":w"); len(left) > 0 {
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

// A rolling week of a million members: no command takes longer than 5 ms.
func TestMillion(t *testing.T) {
	redistest.Long(t)
	s := redistest.Private(t, redistest.Standalone)
	rdb := s.Client(t)
	r := newBoard(t, rdb, Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Second), AllTime}})
	const members = 1_000_000
	redistest.Together(8, func(i int) {
		for from := i * members / 8; from < (i+1)*members/8; from += 50 {
			var scores []Score
			for n := from; n < from+50; n++ {
				scores = append(scores, Score{Member: fmt.Sprintf("member-%07d", n), Value: int64(n)})
			}
			if _, err := r.Submit(t.Context(), scores...); err != nil {
				t.Errorf("Submit = %v", err)
				return
			}
		}
	})
	for name, f := range map[string]func(int) error{
		"Submit": func(i int) error {
			_, err := r.Submit(t.Context(), Score{Member: fmt.Sprintf("member-%07d", i*7919%members), Value: 1})
			return err
		},
		"Range":        func(int) error { _, err := r.Range(t.Context(), 0, 25); return err },
		"Range deep":   func(int) error { _, err := r.In(AllTime).Range(t.Context(), 500_000, 25); return err },
		"Between deep": func(int) error { _, err := r.In(AllTime).Between(t.Context(), 0, members, 500_000, 25); return err },
		"Around": func(i int) error {
			_, err := r.In(AllTime).Around(t.Context(), fmt.Sprintf("member-%07d", i*7919%members), 25)
			return err
		},
	} {
		s.Do(t, "config", "resetstat")
		begun := time.Now()
		for i := range 500 {
			if err := f(i); err != nil {
				t.Fatalf("%s = %v", name, err)
			}
		}
		took := time.Since(begun) / 500
		stats := fmt.Sprint(s.Do(t, "info", "commandstats"))
		slow := fmt.Sprint(s.Do(t, "info", "latencystats"))
		t.Logf("%s: %v a call, lag %d\n%s%s", name, took, r.Stats().Lag, stats, slow)
	}
}

package leaderboard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestCosts counts the round trips of what the Cost: lines describe, in their order, and
// compares, for every ranking, and for calendars and rolling windows.
func TestCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		counter := redistest.Count(t, rdb)
		for _, opts := range []Options{
			{Periods: []Period{Daily, AllTime}, Meta: 5}, {Ranking: Dense, Periods: []Period{Weekly}, Meta: 5, Cap: 100}, {Ranking: Ordinal},
			{Raw: true}, {Raw: true, Ascending: true, Ranking: Ordinal}, {Mode: Sum, Ranking: Dense, Periods: []Period{Rolling(time.Hour), Monthly}},
		} {
			r := newBoard(t, rdb, opts)
			ctx := t.Context()
			cost := func(f func() error) func() []int {
				return func() []int {
					for before := r.Stats().Elsewhen; ; before = r.Stats().Elsewhen {
						counter.Reset()
						if err := f(); err != nil {
							t.Fatal(err)
						}
						if r.Stats().Elsewhen == before { // no period has ended
							break
						}
					}
					if got := counter.Commands(); len(got) != 1 || got[0] != "evalsha" {
						if !slices.Contains(got, "eval") { // a script that the server does not know yet
							t.Errorf("%+v: a call sent %v, want one script", opts, got)
						}
					}
					return []int{counter.RoundTrips()}
				}
			}
			measured := map[string]func() []int{
				"Redis.Submit": cost(func() error {
					_, err := r.Submit(ctx, Score{Member: "a", Value: 1, OpID: "1"}, Score{Member: "b", Value: 1})
					return err
				}),
				"Redis.Get":     cost(func() error { _, err := r.Get(ctx, "a", "b", "c"); return err }),
				"Redis.Range":   cost(func() error { _, err := r.Range(ctx, 1, 25); return err }),
				"Redis.Around":  cost(func() error { _, err := r.Around(ctx, "a", 5); return err }),
				"Redis.Between": cost(func() error { _, err := r.Between(ctx, -5, 5, 0, 25); return err }),
				"Redis.RankOf":  cost(func() error { _, err := r.RankOf(ctx, 3); return err }),
				"Redis.ScoreAt": cost(func() error { _, err := r.ScoreAt(ctx, 90); return err }),
				"Redis.Remove":  cost(func() error { _, err := r.Remove(ctx, "nobody"); return err }),
				"Redis.All": cost(func() error {
					for _, err := range r.All(ctx) {
						if err != nil {
							return err
						}
					}
					return nil
				}),
			}
			submits(t, r, Score{Member: "a"})
			for _, measure := range measured { // every node knows the scripts
				measure()
			}
			redistest.CheckCosts(t, []string{"Redis"}, measured, func() {})
		}
	})
}

// All makes one trip for 500 entries, and one more if there may be others.
func TestAllCosts(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	rdb := s.Client(t)
	r := newBoard(t, rdb, Options{})
	counter := redistest.Count(t, rdb)
	n := 0
	for _, test := range []struct{ members, trips int }{{allPage - 1, 1}, {allPage, 2}, {2 * allPage, 3}} {
		for ; n < test.members; n++ {
			submits(t, r, Score{Member: fmt.Sprint(n)})
		}
		if _, err := r.Range(t.Context(), 0, 0); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the script is known the second time
			counter.Reset()
			got := 0
			for _, err := range r.All(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got++
			}
			if got != n {
				t.Errorf("All has %d entries, want %d", got, n)
			}
		}
		if got := counter.RoundTrips(); got != test.trips {
			t.Errorf("All of %d made %d trips, want %d", n, got, test.trips)
		}
	}
}

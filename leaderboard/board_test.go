package leaderboard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// boards runs a test on a board in Redis, on every topology, and on one in memory.
func boards(t *testing.T, opts Options, f func(t *testing.T, b Board)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		m, err := NewMemory(&opts)
		if err != nil {
			t.Fatal(err)
		}
		f(t, m)
	})
	redistest.Each(t, func(t *testing.T, s *redistest.Server) { f(t, newBoard(t, s.Client(t), opts)) })
}

// What a submission returns, in each mode.
func TestResults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opts   Options
		scores []Score
		want   []Result
	}{
		{
			Options{},
			[]Score{{Member: "a", Value: 5}, {Member: "b", Value: 7}, {Member: "a", Value: 5}, {Member: "a", Value: 4}, {Member: "a", Value: 9}},
			[]Result{{0, 5, true, 1, 0, 1}, {0, 7, true, 1, 0, 2}, {5, 5, false, 2, 2, 2}, {5, 5, false, 2, 2, 2}, {5, 9, true, 1, 2, 2}},
		},
		{
			Options{Ascending: true},
			[]Score{{Member: "a", Value: 5}, {Member: "b", Value: 7}, {Member: "b", Value: 8}, {Member: "b", Value: -1}},
			[]Result{{0, 5, true, 1, 0, 1}, {0, 7, true, 2, 0, 2}, {7, 7, false, 2, 2, 2}, {7, -1, true, 1, 2, 2}},
		},
		{
			Options{Mode: Last, Ranking: Dense},
			[]Score{{Member: "a", Value: 5}, {Member: "b", Value: 5}, {Member: "c", Value: 3}, {Member: "a", Value: 3}, {Member: "b", Value: 1}},
			[]Result{{0, 5, true, 1, 0, 1}, {0, 5, true, 1, 0, 2}, {0, 3, true, 2, 0, 3}, {5, 3, true, 2, 1, 3}, {5, 1, true, 2, 1, 3}},
		},
		{
			Options{Mode: Sum},
			[]Score{{Member: "a", Value: 5, OpID: "1"}, {Member: "a", Value: 5, OpID: "1"}, {Member: "a", Value: 5, OpID: "2"}, {Member: "a", Value: -11}, {Member: "a"}},
			[]Result{{0, 5, true, 1, 0, 1}, {5, 5, false, 1, 1, 1}, {5, 10, true, 1, 1, 1}, {10, -1, true, 1, 1, 1}, {-1, -1, false, 1, 1, 1}},
		},
		{
			Options{Cap: 2, Mode: Last},
			[]Score{{Member: "a", Value: 5}, {Member: "b", Value: 4}, {Member: "c", Value: 3}, {Member: "d", Value: 6}, {Member: "a", Value: 1}, {Member: "d", Value: 0}},
			[]Result{{0, 5, true, 1, 0, 1}, {0, 4, true, 2, 0, 2}, {0, 3, false, 0, 0, 2}, {0, 6, true, 1, 0, 2}, {5, 1, true, 2, 2, 2}, {6, 0, true, 2, 1, 2}},
		},
	} {
		boards(t, test.opts, func(t *testing.T, b Board) {
			for i, score := range test.scores {
				if got := submits(t, b, score)[0]; got != test.want[i] {
					t.Errorf("%+v: Submit(%+v) = %+v, want %+v", test.opts, score, got, test.want[i])
				}
			}
		})
	}
}

// Who falls off a board with a Cap.
func TestFallsOff(t *testing.T) {
	t.Parallel()
	boards(t, Options{Cap: 2, Mode: Last, Ranking: Dense, Meta: 5}, func(t *testing.T, b Board) {
		submits(t, b, Score{Member: "a", Value: 3, Meta: []byte("a")}, Score{Member: "b", Value: 2, Meta: []byte("b")})
		if got, want := submits(t, b, Score{Member: "c", Value: 2, Meta: []byte("c")})[0], (Result{New: 2, Total: 2}); got != want {
			t.Errorf("Submit of one that is not good enough = %+v, want %+v", got, want)
		}
		shows(t, b, "2: 1 a=3(a) 2 b=2(b)")
		submits(t, b, Score{Member: "c", Value: 4, Meta: []byte("c")})
		shows(t, b, "2: 1 c=4(c) 2 a=3(a)")
		submits(t, b, Score{Member: "b", Value: 9}) // the earlier metadata is gone
		shows(t, b, "2: 1 b=9 2 c=4(c)")
	})
}

// The member is in the middle, or one before it.
func TestAroundMiddle(t *testing.T) {
	t.Parallel()
	boards(t, Options{}, func(t *testing.T, b Board) {
		for i, member := range []string{"a", "b", "c", "d", "e"} {
			submits(t, b, Score{Member: member, Value: int64(-i)})
		}
		for n, want := range []string{"5:", "5: 3 c=-2", "5: 3 c=-2 4 d=-3", "5: 2 b=-1 3 c=-2 4 d=-3", "5: 2 b=-1 3 c=-2 4 d=-3 5 e=-4", "5: 1 a=0 2 b=-1 3 c=-2 4 d=-3 5 e=-4"} {
			if p, err := b.Around(t.Context(), "c", n); err != nil || line(p) != want {
				t.Errorf("Around(c, %d) = %q, %v, want %q", n, line(p), err, want)
			}
		}
	})
}

// A Cap that is set later is reached step by step.
func TestCapSetLater(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{})
		var scores []Score
		for i := range 250 {
			scores = append(scores, Score{Member: fmt.Sprint(i), Value: int64(i)})
		}
		submits(t, r, scores...)
		capped := newBoard(t, s.Client(t), Options{Prefix: r.o.Prefix, Cap: 10})
		for _, want := range []int{150, 50, 10} {
			if got := submits(t, capped, Score{Member: "249", Value: 249}); got[0].Total != want || got[0].Rank != 1 {
				t.Errorf("Submit = %+v, want %d left", got[0], want)
			}
		}
		if p, err := capped.Range(t.Context(), 9, 5); err != nil || len(p.Entries) != 1 || p.Entries[0].Value != 240 {
			t.Errorf("the last is %+v, %v, want that with 240", p, err)
		}
	})
}

// Of equals the first is first, whatever the signs and directions; the time of one who is
// better later begins anew.
func TestEarliestFirst(t *testing.T) {
	t.Parallel()
	for _, ascending := range []bool{false, true} {
		for _, value := range []int64{-1000, -1, 0, 1, 1000} {
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				// A small MaxScore leaves bits for a time of µs.
				r := newBoard(t, s.Client(t), Options{MaxScore: 1000, Ascending: ascending, Periods: []Period{decade}, Mode: Last})
				members := []string{"d", "a", "c", "b"}
				for _, member := range members {
					submits(t, r, Score{Member: member, Value: value})
				}
				submits(t, r, Score{Member: "c", Value: value / 2}, Score{Member: "b", Value: value})
				submits(t, r, Score{Member: "c", Value: value})
				want := []string{"d", "a", "b", "c"}
				if value/2 == value {
					want = members
				}
				p, err := r.Range(t.Context(), 0, 4)
				var got []string
				for _, e := range p.Entries {
					got = append(got, e.Member)
				}
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("ascending %v, %d: the order is %q, %v, want %q", ascending, value, got, err, want)
				}
			})
		}
	}
}

// A value beyond MaxScore, or a sum, stores nothing of the call.
func TestScoreRange(t *testing.T) {
	t.Parallel()
	for _, max := range []int64{0, 7, maxScore} {
		for _, ascending := range []bool{false, true} {
			boards(t, Options{Mode: Sum, MaxScore: max, Ascending: ascending, Periods: []Period{AllTime, Rolling(time.Hour)}}, func(t *testing.T, b Board) {
				largest := max
				if largest == 0 {
					largest = defaultMax
				}
				submits(t, b, Score{Member: "a", Value: largest}, Score{Member: "b", Value: -largest})
				for _, wrong := range [][]Score{
					{{Member: "c", Value: 1}, {Member: "c", Value: largest + 1}},
					{{Member: "c", Value: 1}, {Member: "a", Value: 1}},
					{{Member: "c", Value: 1}, {Member: "b", Value: -1}},
					{{Member: "c", Value: largest}, {Member: "c", Value: 1}},
					{{Member: "c", Value: -largest - 1}},
				} {
					_, err := b.Submit(t.Context(), wrong...)
					wants(t, fmt.Sprintf("Submit(%+v)", wrong), err, ErrScoreRange)
				}
				p, err := b.Get(t.Context(), "a", "b", "c")
				if err != nil || p.Total != 2 || p.Entries[0].Value+p.Entries[1].Value != 0 || max > 0 && p.Entries[0].Value*p.Entries[0].Value != max*max && max < 1<<31 {
					t.Errorf("there are %+v, %v, want only the largest and the smallest", p, err)
				}
			})
		}
	}
}

// What is wrong with a call is said before it is sent.
func TestBadCalls(t *testing.T) {
	t.Parallel()
	boards(t, Options{Meta: 2}, func(t *testing.T, b Board) {
		many := make([]string, most+1)
		ctx := t.Context()
		calls := map[string]error{}
		_, calls["Meta"] = b.Submit(ctx, Score{Meta: []byte("xxx")})
		_, calls["scores"] = b.Submit(ctx, make([]Score, most+1)...)
		_, calls["members"] = b.Get(ctx, many...)
		_, calls["offset"] = b.Range(ctx, -1, 1)
		_, calls["n"] = b.Range(ctx, 0, -1)
		_, calls["rows"] = b.Range(ctx, 0, most+1)
		_, calls["around"] = b.Around(ctx, "a", -1)
		if r, ok := b.(*Redis); ok {
			_, calls["remove"] = r.Remove(ctx, many...)
			_, calls["between"] = r.Between(ctx, 0, 1, -1, 0)
			_, calls["rank"] = r.RankOf(ctx, defaultMax+1)
			_, calls["percentile"] = r.ScoreAt(ctx, 100.1)
		}
		for name, err := range calls {
			if err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v, want what is wrong", name, err)
			}
		}
		if results, err := b.Submit(ctx); len(results) != 0 || err != nil {
			t.Errorf("Submit of nothing = %+v, %v", results, err)
		}
		if p, err := b.Get(ctx); len(p.Entries) != 0 || err != nil {
			t.Errorf("Get of nobody = %+v, %v", p, err)
		}
		shows(t, b, "0:")
	})
}

// The largest calls there are.
func TestLargestCalls(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		if s.Topology() == redistest.Miniredis && !redistest.IsLong() {
			t.Skip("sorts all for each")
		}
		r := newBoard(t, s.Client(t), Options{Meta: 5, Mode: Sum, Ranking: Dense, Periods: []Period{Rolling(time.Hour), decade}})
		scores, members := make([]Score, most), make([]string, most)
		for i := range scores {
			members[i] = fmt.Sprint(i)
			scores[i] = Score{Member: members[i], Value: int64(i), Meta: []byte("m"), OpID: members[i]}
		}
		for range 2 {
			if got := submits(t, r, scores...); len(got) != most {
				t.Errorf("%d results", len(got))
			}
		}
		for name, f := range map[string]func() (Page, error){
			"Range":  func() (Page, error) { return r.Range(t.Context(), 0, most) },
			"Get":    func() (Page, error) { return r.Get(t.Context(), members...) },
			"Around": func() (Page, error) { return r.Around(t.Context(), "500", most) },
		} {
			p, err := f()
			if err != nil || len(p.Entries) != most || string(p.Entries[most-1].Meta) != "m" || p.Entries[0].Value != most-1 {
				t.Errorf("%s has %d entries, %v", name, len(p.Entries), err)
			}
		}
		if n, err := r.Remove(t.Context(), members...); n != most || err != nil {
			t.Errorf("Remove = %d, %v", n, err)
		}
		if left := s.Keys(t, r.o.Prefix); len(left) != 2 { // the op ids and the mark
			t.Errorf("the keys %q are left", left)
		}
	})
}

// An existing sorted set is a board with Raw, with whatever is in it.
func TestRaw(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for _, name := range []string{redistest.Prefix(t), "{" + redistest.Prefix(t) + "}:scores", redistest.Prefix(t) + "{tag}{x}"} {
			infinite := "inf"
			if s.Topology() == redistest.Miniredis { // which counts those from (inf on
				infinite = "1e300"
			}
			s.Do(t, "zadd", name, "1.5", "half", "-3", "b", "-3", "a", infinite, "most", "-"+infinite, "least", "9007199254740991", "large")
			r, err := New(rdb, name, &Options{Raw: true, Meta: 5, Timeout: 20 * time.Second, Prefix: redistest.Prefix(t)})
			if err != nil {
				t.Fatal(err)
			}
			shows(t, r, "6: 1 most=9223372036854775807 2 large=9007199254740991 3 half=1 4 b=-3 4 a=-3 6 least=-9223372036854775808")
			submits(t, r, Score{Member: "one", Value: 1, Meta: []byte("x")}, Score{Member: "half", Value: 1})
			if p, err := r.Get(t.Context(), "one", "half"); err != nil || line(p) != "7: 3 half=1 4 one=1(x)" {
				t.Errorf("Get = %q, %v", line(p), err)
			}
			if got := s.Do(t, "zscore", name, "one"); fmt.Sprint(got) != "1" {
				t.Errorf("the score in the sorted set is %v, want 1", got)
			}
		}
		if _, err := New(rdb, "{}x", &Options{Raw: true}); err == nil {
			t.Error("New of a name without a tag to share = nil, want an error")
		}
	})
}

// What somebody else has put under a board's keys is an error, or some value, but no
// panic and no wrong outcome.
func TestForeign(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Periods: []Period{Rolling(time.Hour)}, Ranking: Dense, Meta: 5})
		of := r.keysOf(nil, r.o.periods[0], r.o.periods[0].at(0))
		s.Do(t, "zadd", of[0], "1", "a", "0", "b", "inf", "c")
		s.Do(t, "hset", of[4], "a", "what is that", "b", "1795791380986000:")
		s.Do(t, "zadd", of[3], "1", "a")
		if _, err := r.Range(t.Context(), 0, 10); errors.Is(err, ErrUnavailable) {
			t.Errorf("Range = %v", err)
		}
		if n, err := r.Remove(t.Context(), "a", "b", "c"); err != nil || n != 2 { // a was retired
			t.Errorf("Remove = %d, %v", n, err)
		}
		s.Do(t, "del", of[0], of[3], of[4])
		s.Do(t, "set", of[0], "x")
		_, err := r.Submit(t.Context(), Score{Member: "a"})
		if err == nil || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnavailable) {
			t.Errorf("Submit where a string is = %v", err)
		}
	})
}

// Many submit at once while others read: the results of each member follow each other, and
// no page mixes two moments.
func TestTogether(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		const writers, calls = 6, 30
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Ranking: Dense, Periods: []Period{AllTime, Daily}})
		for i := range writers {
			submits(t, r, Score{Member: fmt.Sprint(i)})
		}
		done := make(chan struct{})
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					p, err := r.Range(t.Context(), 0, writers)
					if err != nil || p.Total != writers {
						t.Errorf("Range = %+v, %v", p, err)
						return
					}
					if err := ranked(Dense, p.Entries); err != nil {
						t.Error(err)
					}
					var sum int64
					for _, e := range p.Entries {
						sum += e.Value
					}
					if sum != 0 {
						t.Errorf("the page %q adds up to %d, want 0: all of a call or nothing", line(p), sum)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		var mu sync.Mutex
		steps := make(map[string]map[int64]int) // how often a value was left, less how often it was reached
		redistest.Together(writers, func(i int) {
			rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for range calls { // takes from another
				from, to, n := fmt.Sprint((i+1+rng.IntN(writers-1))%writers), fmt.Sprint(i), 1+rng.Int64N(5)
				results, err := r.Submit(t.Context(), Score{Member: from, Value: -n}, Score{Member: to, Value: n})
				if err != nil {
					t.Errorf("Submit = %v", err)
					return
				}
				if results[0].New != results[0].Old-n || results[1].New != results[1].Old+n {
					t.Errorf("Submit of %d = %+v", n, results)
				}
				mu.Lock()
				for j, member := range []string{from, to} {
					if steps[member] == nil {
						steps[member] = make(map[int64]int)
					}
					steps[member][results[j].Old]++
					steps[member][results[j].New]--
				}
				mu.Unlock()
			}
		})
		close(done)
		readers.Wait()
		// The steps of a member make one way from 0 to where it is.
		p, err := r.Range(t.Context(), 0, writers)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			steps[e.Member][0]--
			steps[e.Member][e.Value]++
			for value, n := range steps[e.Member] {
				if n != 0 {
					t.Errorf("%q has left %d %d times more often than it came there", e.Member, value, n)
				}
			}
		}
	})
}

// All passes over none whose score does not change, and repeats none, while others come
// and go, also the one that the last page ended with.
func TestAllWhileOthersMove(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{{}, {Raw: true}, {Raw: true, Ascending: true}} {
		redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
			if s.Topology() == redistest.Miniredis && !redistest.IsLong() {
				t.Skip("sorts all for each")
			}
			r := newBoard(t, s.Client(t), opts)
			const stay = 1300
			var scores []Score
			for i := range stay {
				scores = append(scores, Score{Member: fmt.Sprintf("%04d", i), Value: int64(i % 3)}) // many equals
			}
			submits(t, r, scores[:most]...)
			submits(t, r, scores[most:]...)
			seen := make(map[string]int)
			n := 0
			for e, err := range r.All(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				seen[e.Member]++
				if n++; n%allPage == 0 { // the last of a page: it goes, and others come on both sides
					if _, err := r.Remove(t.Context(), e.Member); err != nil {
						t.Fatal(err)
					}
					submits(t, r, Score{Member: fmt.Sprint("a", n), Value: 9}, Score{Member: fmt.Sprint("b", n), Value: -9})
				}
			}
			for i := range stay {
				if got := seen[scores[i].Member]; got != 1 {
					t.Errorf("%+v: %s came %d times", opts, scores[i].Member, got)
				}
			}
		})
	}
}

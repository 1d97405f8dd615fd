package leaderboard

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// ledger is what was submitted to a board in mode Sum, on which each submission has a
// member to itself or is one of many to a shared one.
type ledger struct {
	acked   map[string]int64
	unknown map[string]int64
}

func newLedger() *ledger { return &ledger{make(map[string]int64), make(map[string]int64)} }

// submit submits once, and notes what became of it. It reports whether that is known.
func (l *ledger) submit(t *testing.T, r *Redis, score Score) bool {
	t.Helper()
	_, err := r.Submit(t.Context(), score)
	switch {
	case err == nil:
		l.acked[score.Member] += score.Value
	case errors.Is(err, ErrUnknownOutcome):
		l.unknown[score.Member] += score.Value
	case !errors.Is(err, ErrUnavailable):
		t.Errorf("Submit = %v", err)
	}
	return err == nil
}

// check compares all of a board with what was submitted: nothing is doubled, and nothing
// that was acknowledged is missing but for lost, which a failover may lose. The ranks are
// those of what is there.
func (l *ledger) check(t *testing.T, r *Redis, lost bool) {
	t.Helper()
	page, err := r.Range(t.Context(), 0, most)
	if err != nil {
		t.Fatalf("Range = %v", err)
	}
	for _, e := range page.Entries {
		least := l.acked[e.Member]
		if lost {
			least = 0
		}
		if top := l.acked[e.Member] + l.unknown[e.Member]; e.Value < least || e.Value > top {
			t.Errorf("%q has %d, want from %d to %d", e.Member, e.Value, least, top)
		}
	}
	for member := range l.acked {
		there := slices.ContainsFunc(page.Entries, func(e Entry) bool { return e.Member == member })
		if !there && !lost {
			t.Errorf("%q is missing", member)
		}
	}
	if err := ranked(r.o.Ranking, page.Entries); err != nil {
		t.Error(err)
	}
	for _, e := range page.Entries {
		if p, err := r.Get(t.Context(), e.Member); err != nil || len(p.Entries) != 1 || p.Entries[0].Rank != e.Rank || p.Total != page.Total {
			t.Errorf("Get(%q) = %q, %v, want rank %d of %d", e.Member, line(p), err, e.Rank, page.Total)
		}
	}
}

// moved are boards whose slot moves, or whose master does: that of one script for one
// score, and that with all the keys there are.
func moved(t *testing.T, s *redistest.Server) []*Redis {
	return []*Redis{
		newBoard(t, s.Client(t), Options{Timeout: 300 * time.Millisecond}),
		newBoard(t, s.Client(t), Options{Mode: Last, Periods: []Period{decade, AllTime}, Timeout: 300 * time.Millisecond}),
		newBoard(t, s.Client(t), Options{Mode: Sum, Ranking: Dense, Meta: 5, Periods: []Period{Rolling(time.Hour), decade}, Timeout: 300 * time.Millisecond}),
	}
}

// A board's slot moves while scores are submitted to it. What cannot be done says so;
// afterwards all is there, once, and with its ranks.
func TestMigration(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for i, r := range moved(t, s) {
			l := newLedger()
			for n := range 20 {
				score := Score{Member: fmt.Sprint("before", n), Value: int64(n % 7), OpID: fmt.Sprint("before", n)}
				redistest.Eventually(t, "a score is stored", func() bool { return l.submit(t, r, score) })
			}
			keys := allKeys(r)
			m := s.MigrateSlot(t, keys[2])
			for step, move := range [][]string{nil, keys[2:3], keys[1:], keys} { // of which there may be one only
				m.Move(t, move...)
				for try := range 2 {
					l.submit(t, r, Score{Member: fmt.Sprint("during", step), Value: 1 + int64(try)})
					_, err := r.Range(t.Context(), 0, 5)
					if err != nil && !errors.Is(err, ErrUnavailable) {
						t.Errorf("board %d, step %d: Range while the slot moves = %v", i, step, err)
					}
				}
			}
			m.Finish(t)
			redistest.Eventually(t, "the board is there again", func() bool { return l.submit(t, r, Score{Member: "after", Value: 1, OpID: "after"}) })
			if r.o.Mode == Sum {
				l.check(t, r, false)
				if got, err := r.Submit(t.Context(), Score{Member: "before3", Value: 3, OpID: "before3"}); err != nil || got[0].New != 3 {
					t.Errorf("an OpID of before = %+v, %v, want that it is known", got, err)
				}
				if st := r.Stats(); st.Duplicates == 0 {
					t.Errorf("Stats is %+v", st)
				}
				continue
			}
			// Best and Last have what was there.
			page, err := r.Range(t.Context(), 0, most)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 20 {
				member := fmt.Sprint("before", n)
				if !slices.ContainsFunc(page.Entries, func(e Entry) bool { return e.Member == member && e.Value == int64(n%7) }) {
					t.Errorf("board %d: %q is not as it was", i, member)
				}
			}
			if err := ranked(r.o.Ranking, page.Entries); err != nil {
				t.Error(err)
			}
		}
	})
}

// The master fails over in good order, and then dies, while scores are submitted: a board
// is there again soon, has nothing twice, and right ranks. What had not got to the
// replica may be lost.
func TestFailover(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		boards := moved(t, s)
		ledgers := make([]*ledger, len(boards))
		n := 0
		some := func() (all bool) {
			all = true
			n++
			for i, r := range boards {
				id := fmt.Sprint(n)
				all = ledgers[i].submit(t, r, Score{Member: fmt.Sprint(n % 9), Value: int64(n%5) + 1}) && all
				// With an OpID as often as it takes, also across the failover.
				ok := false
				for try := 0; try < 3 && !ok; try++ {
					_, err := r.Submit(t.Context(), Score{Member: "named", Value: 1, OpID: id})
					ok = err == nil
					if err != nil && !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) {
						t.Errorf("Submit = %v", err)
					}
				}
				ledgers[i].unknown["named"]++ // once at most
				all = all && ok
			}
			return all
		}
		for i := range ledgers {
			ledgers[i] = newLedger()
		}
		redistest.Eventually(t, "scores are stored", some)
		for range 20 {
			some()
		}
		s.Failover(t)
		redistest.Eventually(t, "scores are stored after a failover", some)
		s.KillMasterOf(t, boards[2].key("h"))
		for range 5 {
			some()
		}
		redistest.Eventually(t, "scores are stored after the master's death", some)
		for range 20 {
			some()
		}
		redistest.Eventually(t, "all boards are read", func() bool {
			for _, r := range boards {
				if _, err := r.Range(t.Context(), 0, 5); err != nil {
					return false
				}
			}
			return true
		})
		for i, r := range boards {
			if r.o.Mode == Sum {
				ledgers[i].check(t, r, true)
				continue
			}
			page, err := r.Range(t.Context(), 0, most)
			if err != nil {
				t.Fatal(err)
			}
			if err := ranked(r.o.Ranking, page.Entries); err != nil || len(page.Entries) < 9 {
				t.Errorf("board %d is %q, %v", i, line(page), err)
			}
			for _, e := range page.Entries {
				if e.Value < 1 || e.Value > 5 {
					t.Errorf("board %d: %q has %d, which nobody submitted", i, e.Member, e.Value)
				}
			}
		}
	})
}

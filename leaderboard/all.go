package leaderboard

import (
	"cmp"
	"context"
	"iter"

	"github.com/freshet-go/freshet/internal/exec"
)

// allPage is how many entries All reads at once.
const allPage = 500

// All returns all entries, best first, of the period that is current when it begins. It
// reads them as they are needed, each page of one moment: a member whose score does not
// change meanwhile comes exactly once, one whose score does may come again or not at all.
// After an error, which comes without an entry, it ends.
//
// Cost: 1 round trip for every five hundred entries, O(log N) and these.
// Atomic: each page.
// Errors: ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		from := r
		var done, last row // what was yielded last, and where to go on
		for {
			rows, of, err := from.after(ctx, last)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if r.period().ends() {
				from = &Redis{board: r.board, view: view{of: r.period(), fixed: true, at: of.start}}
			}
			for _, row := range rows {
				// If the last one has moved, those of its score come from their first on.
				if done.text != "" && r.o.compare(row, done) <= 0 {
					continue
				}
				if !yield(row.Entry, nil) {
					return
				}
				done = row
			}
			if len(rows) < allPage {
				return
			}
			last = rows[len(rows)-1]
		}
	}
}

// after reads the rows after one, or the first if that has no score.
func (r *Redis) after(ctx context.Context, last row) ([]row, span, error) {
	reply, err := r.read(ctx, "all", func(s *readers) *exec.Script { return s.after }, allPage, last.text, last.Member)
	if err != nil {
		return nil, span{}, err
	}
	rows, ok := r.rows(reply.rest)
	if !ok {
		return nil, span{}, r.failed("all", errReply)
	}
	return rows, reply.of, nil
}

// row is an entry and its score in the sorted set.
type row struct {
	Entry
	score float64
	text  string // as Redis writes it
}

// compare orders rows as the sorted set is read.
func (s *settings) compare(a, b row) int {
	order := cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.Member, b.Member))
	if s.Raw && !s.Ascending {
		return -order
	}
	return order
}

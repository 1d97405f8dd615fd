package leaderboard

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

var _ Board = (*Memory)(nil)

// Memory is a board in this process that does what [*Redis] does in the most obvious way,
// at the cost of sorting all members for each call: for tests, and for small boards of
// programs that are one process. Of the periods it keeps the current ones. It is safe for
// concurrent use.
type Memory struct {
	o     *settings
	clock func() int64 // µs

	mu     sync.Mutex
	high   int64            // the latest time
	ops    map[string]int64 // when they were submitted
	boards []*memoryBoard
}

// NewMemory returns a board without Redis.
func NewMemory(opts *Options) (*Memory, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	m := &Memory{o: o, clock: func() int64 { return time.Now().UnixMicro() }, ops: make(map[string]int64)}
	for _, p := range o.periods {
		m.boards = append(m.boards, &memoryBoard{o: o, p: p})
	}
	return m, nil
}

// begin lets the time go on.
func (m *Memory) begin() (now int64) {
	m.high = max(m.high, m.clock())
	for _, b := range m.boards {
		b.begin(m.high)
	}
	for op, us := range m.ops {
		if us <= m.high-time.Hour.Microseconds() {
			delete(m.ops, op)
		}
	}
	return m.high
}

// fits reports whether no sum is out of range.
func (m *Memory) fits(scores []Score) bool {
	for _, b := range m.boards {
		sums := make(map[string]int64)
		known := make(map[string]bool)
		for i := range scores {
			s := &scores[i]
			if _, ok := m.ops[s.OpID]; ok || known[s.OpID] {
				continue
			}
			known[s.OpID] = s.OpID != ""
			sum, ok := sums[s.Member]
			if at := b.members[s.Member]; !ok && at != nil {
				sum = at.c
			}
			if sum += b.o.canonical(s.Value); sum > m.o.MaxScore || sum < -m.o.MaxScore {
				return false
			}
			sums[s.Member] = sum
		}
	}
	return true
}

// Submit submits up to 1,000 scores to all periods.
//
// Errors: ErrScoreRange; the context's.
func (m *Memory) Submit(ctx context.Context, scores ...Score) ([]Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.o.checkScores(scores); err != nil || len(scores) == 0 {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.begin()
	if m.o.Mode == Sum && !m.fits(scores) {
		return nil, ErrScoreRange
	}
	results := make([]Result, len(scores))
	first := m.boards[0]
	for i := range scores {
		s := &scores[i]
		before, was := first.find(s.Member)
		after, is := before, was
		_, known := m.ops[s.OpID]
		if !known {
			for _, b := range m.boards {
				b.submit(now, s)
			}
			after, is = first.find(s.Member)
			if s.OpID != "" {
				m.ops[s.OpID] = now
			}
		}
		results[i] = Result{Old: before.Value, New: after.Value, PrevRank: before.Rank, Rank: after.Rank, Total: len(first.members)}
		results[i].Changed = was != is || before.Value != after.Value
		if !is && !known {
			results[i].New = fallen(m.o, before, was, s)
		}
	}
	return results, nil
}

// fallen is the value with which a member fell off a board with a Cap.
func fallen(o *settings, before Entry, was bool, s *Score) int64 {
	switch {
	case was && o.Mode == Sum:
		return before.Value + s.Value
	case was && o.Mode == Best && o.canonical(before.Value) <= o.canonical(s.Value):
		return before.Value
	}
	return s.Value
}

// read calls f with the first period's entries.
func (m *Memory) read(ctx context.Context, f func(all []Entry) (Page, error)) (Page, error) {
	if err := ctx.Err(); err != nil {
		return Page{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begin()
	return f(m.boards[0].entries())
}

// Get returns the entries of up to 1,000 members, best first.
//
// Errors: the context's.
func (m *Memory) Get(ctx context.Context, members ...string) (Page, error) {
	if err := checkMembers(members); err != nil {
		return Page{}, err
	}
	return m.read(ctx, func(all []Entry) (Page, error) {
		p := Page{Entries: []Entry{}, Total: len(all)}
		for _, e := range all {
			if slices.Contains(members, e.Member) {
				p.Entries = append(p.Entries, e)
			}
		}
		return p, nil
	})
}

// Range returns up to 1,000 entries from a place on.
//
// Errors: the context's.
func (m *Memory) Range(ctx context.Context, offset, n int) (Page, error) {
	if err := checkPage(offset, n); err != nil {
		return Page{}, err
	}
	return m.read(ctx, func(all []Entry) (Page, error) { return cut(all, offset, n), nil })
}

// Around returns up to 1,000 entries around a member's.
//
// Errors: ErrNotFound; the context's.
func (m *Memory) Around(ctx context.Context, member string, n int) (Page, error) {
	if err := checkPage(0, n); err != nil {
		return Page{}, err
	}
	return m.read(ctx, func(all []Entry) (Page, error) {
		at := slices.IndexFunc(all, func(e Entry) bool { return e.Member == member })
		if at < 0 {
			return Page{}, ErrNotFound
		}
		before := int(math.Floor(float64(n-1) / 2))
		return cut(all, max(0, min(at-before, len(all)-n)), n), nil
	})
}

func cut(all []Entry, offset, n int) Page {
	from := min(offset, len(all))
	return Page{slices.Clone(all[from:min(from+n, len(all))]), len(all)}
}

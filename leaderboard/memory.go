package leaderboard

import (
	"bytes"
	"cmp"
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

// memoryBoard is one period.
type memoryBoard struct {
	o       *settings
	p       *period
	is      span
	members map[string]*standing
}

// standing is how a member stands.
type standing struct {
	member string
	c, us  int64 // canonical value, and since when
	meta   []byte
	all    []submission // in a rolling window
}

type submission struct{ us, c int64 }

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

func (b *memoryBoard) begin(now int64) {
	if is := b.p.at(now); b.members == nil || is != b.is {
		b.is, b.members = is, make(map[string]*standing)
	}
	if b.p.kind != rolling {
		return
	}
	for member, s := range b.members {
		s.all = slices.DeleteFunc(s.all, func(one submission) bool {
			return one.us/b.p.width()+buckets <= now/b.p.width()
		})
		if len(s.all) == 0 {
			delete(b.members, member)
			continue
		}
		b.evaluate(s)
	}
}

// evaluate finds out how a member stands in a rolling window.
func (b *memoryBoard) evaluate(s *standing) {
	last := s.all[len(s.all)-1]
	switch b.o.Mode {
	case Best:
		best := slices.MinFunc(s.all, func(a, b submission) int { return cmp.Compare(a.c, b.c) })
		s.c, s.us = best.c, best.us
	case Last:
		s.c, s.us = last.c, last.us
	case Sum:
		s.c, s.us = 0, last.us
		for _, one := range s.all {
			s.c += one.c
		}
		s.c = max(-b.o.MaxScore, min(b.o.MaxScore, s.c))
	}
}

// tie is the time by which equals are ordered.
func (b *memoryBoard) tie(us int64) int64 {
	if b.o.Raw {
		return 0
	}
	return max(0, min(b.o.pack.times()-1, (us-b.p.base(b.is))/b.p.unit))
}

// sorted is all members, best first.
func (b *memoryBoard) sorted() []*standing {
	all := make([]*standing, 0, len(b.members))
	for _, s := range b.members {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y *standing) int {
		byMember := cmp.Compare(x.member, y.member)
		if b.o.Raw && !b.o.Ascending {
			byMember = -byMember
		}
		return cmp.Or(cmp.Compare(x.c, y.c), cmp.Compare(b.tie(x.us), b.tie(y.us)), byMember)
	})
	return all
}

// entries is all entries, best first.
func (b *memoryBoard) entries() []Entry {
	all := b.sorted()
	entries := make([]Entry, len(all))
	for i, s := range all {
		rank := i + 1
		if i > 0 && b.o.Ranking != Ordinal {
			rank = entries[i-1].Rank
			switch {
			case s.c == all[i-1].c:
			case b.o.Ranking == Dense:
				rank++
			default:
				rank = i + 1
			}
		}
		entries[i] = Entry{s.member, b.o.canonical(s.c), rank, bytes.Clone(s.meta)}
	}
	return entries
}

func (b *memoryBoard) find(member string) (Entry, bool) {
	entries := b.entries()
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Member == member })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// submit stores a score.
func (b *memoryBoard) submit(now int64, score *Score) {
	c := b.o.canonical(score.Value)
	s := b.members[score.Member]
	isNew := s == nil
	if isNew {
		s = &standing{member: score.Member}
		b.members[score.Member] = s
	}
	taken := true
	switch {
	case b.p.kind == rolling:
		taken = b.roll(s, submission{now, c})
	case b.o.Mode == Best && !isNew && s.c <= c:
		taken = false
	case b.o.Mode == Sum && !isNew:
		if c != 0 {
			s.c, s.us = s.c+c, now
		}
	case isNew || s.c != c:
		s.c, s.us = c, now
	}
	if taken && score.Meta != nil {
		s.meta = bytes.Clone(score.Meta)
		if len(s.meta) == 0 {
			s.meta = nil
		}
	}
	if b.o.Cap > 0 && len(b.members) > b.o.Cap {
		for _, s := range b.sorted()[b.o.Cap:] {
			delete(b.members, s.member)
		}
	}
}

// roll adds to a rolling window, and reports whether that makes a difference to it.
func (b *memoryBoard) roll(s *standing, one submission) (taken bool) {
	sameBucket := func(other submission) bool { return other.us/b.p.width() == one.us/b.p.width() }
	switch b.o.Mode {
	case Best:
		taken = !slices.ContainsFunc(s.all, func(other submission) bool { return sameBucket(other) && other.c <= one.c })
	case Last:
		s.all, taken = nil, true
	case Sum:
		if one.c == 0 && len(s.all) > 0 {
			return true
		}
		taken = true
	}
	s.all = append(s.all, one)
	b.evaluate(s)
	return taken
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

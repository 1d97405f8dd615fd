package leaderboard

import (
	"bytes"
	"cmp"
	"slices"
)

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

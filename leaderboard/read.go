package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/freshet-go/freshet/internal/exec"
)

// Get returns the entries of up to 1,000 members, best first.
//
// Cost: 1 round trip, O(log N) for each.
// Atomic: yes.
// Errors: ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) Get(ctx context.Context, members ...string) (Page, error) {
	if err := checkMembers(members); err != nil {
		return Page{}, err
	}
	members = slices.Compact(slices.Sorted(slices.Values(members)))
	args := make([]any, len(members))
	for i, member := range members {
		args[i] = member
	}
	reply, err := r.read(ctx, "get", func(s *readers) *exec.Script { return s.get }, args...)
	if err != nil {
		return Page{}, err
	}
	p, ok := r.found(members, reply.rest)
	if !ok {
		return Page{}, r.failed("get", errReply)
	}
	p.Total = reply.total
	return p, nil
}

// found reads a reply of get.lua, and orders it.
func (r *Redis) found(members []string, reply []any) (Page, bool) {
	if len(reply) != 3 {
		return Page{}, false
	}
	scores, _ := reply[0].([]any)
	ranks, _ := reply[1].([]any)
	metas, _ := reply[2].([]any)
	if len(scores) != len(members) || len(ranks) != len(members) {
		return Page{}, false
	}
	rows := make([]row, 0, len(members))
	for i, member := range members {
		if scores[i] == nil {
			continue
		}
		value, score, ok := r.o.value(scores[i])
		rank, isInt := ranks[i].(int64)
		if !ok || !isInt {
			return Page{}, false
		}
		rows = append(rows, row{Entry: Entry{member, value, int(rank), meta(metas, i)}, score: score})
	}
	slices.SortFunc(rows, r.o.compare)
	return Page{Entries: entriesOf(rows)}, true
}

// Range returns up to 1,000 entries from a place on. The top of the board is Range(ctx,
// 0, n).
//
// Cost: 1 round trip, O(log N + n).
// Atomic: yes.
// Errors: ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) Range(ctx context.Context, offset, n int) (Page, error) {
	if err := checkPage(offset, n); err != nil {
		return Page{}, err
	}
	return r.page(ctx, "range", func(s *readers) *exec.Script { return s.rows }, offset, n)
}

// Around returns up to 1,000 entries around a member's, min(n, Total) of them. Of an even n
// the member has one more after it than before.
//
// Cost: 1 round trip, O(log N + n).
// Atomic: yes.
// Errors: ErrNotFound; ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) Around(ctx context.Context, member string, n int) (Page, error) {
	if err := checkPage(0, n); err != nil {
		return Page{}, err
	}
	return r.page(ctx, "around", func(s *readers) *exec.Script { return s.around }, member, n)
}

// Between returns up to 1,000 entries of the values from lo to hi, both included, from the
// offset-th of them on. The page's Total is how many there are of them.
//
// Cost: 1 round trip, O(log N + n), whatever the offset.
// Atomic: yes.
// Errors: ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) Between(ctx context.Context, lo, hi int64, offset, n int) (Page, error) {
	if err := checkPage(offset, n); err != nil {
		return Page{}, err
	}
	lo, hi = max(lo, -r.o.MaxScore), min(hi, r.o.MaxScore)
	if lo > hi {
		lo, hi = 1, 0
	}
	best, worst := r.o.canonical(hi), r.o.canonical(lo)
	if r.o.Ascending {
		best, worst = worst, best
	}
	return r.page(ctx, "between", func(s *readers) *exec.Script { return s.between }, best, worst, offset, n)
}

// RankOf returns the rank that a newcomer would have who submits value now: with Ordinal
// after those who have it already.
//
// Cost: 1 round trip, O(log N).
// Atomic: yes.
// Errors: ErrScoreRange; ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) RankOf(ctx context.Context, value int64) (int, error) {
	if value > r.o.MaxScore || value < -r.o.MaxScore {
		return 0, ErrScoreRange
	}
	reply, err := r.read(ctx, "rank of", func(s *readers) *exec.Script { return s.rankOf }, r.o.canonical(value))
	if err != nil {
		return 0, err
	}
	rank, ok := one(reply.rest)
	if !ok {
		return 0, r.failed("rank of", errReply)
	}
	return int(rank), nil
}

// ScoreAt returns the value at a percentile, from 0 for the last to 100 for the first: as
// many per cent of the others are behind it. Between two members it is interpolated, and
// rounded.
//
// Cost: 1 round trip, O(log N).
// Atomic: yes.
// Errors: ErrNotFound if nobody is on the board; ErrUnavailable; a server error that
// forbids it; the context's.
func (r *Redis) ScoreAt(ctx context.Context, percentile float64) (int64, error) {
	if !(percentile >= 0 && percentile <= 100) {
		return 0, errors.New("leaderboard: the percentile is not between 0 and 100")
	}
	ahead := strconv.FormatFloat(100-percentile, 'g', 17, 64)
	reply, err := r.read(ctx, "score at", func(s *readers) *exec.Script { return s.scoreAt }, ahead)
	if err != nil {
		return 0, err
	}
	if reply.total == 0 {
		return 0, ErrNotFound
	}
	value, ok := r.interpolate(reply.rest)
	if !ok {
		return 0, r.failed("score at", errReply)
	}
	return value, nil
}

// interpolate reads a reply of score_at.lua.
func (r *Redis) interpolate(reply []any) (int64, bool) {
	if len(reply) != 2 {
		return 0, false
	}
	text, _ := reply[0].(string)
	at, err := strconv.ParseFloat(text, 64)
	rows, _ := reply[1].([]any)
	if err != nil || len(rows) < 2 {
		return 0, false
	}
	value, _, ok := r.o.value(rows[1])
	if !ok || len(rows) < 4 {
		return value, ok
	}
	next, _, ok := r.o.value(rows[3])
	return between(value, next, at-math.Floor(at)), ok
}

// between is the value at a part of the way from one to the next.
func between(value, next int64, part float64) int64 {
	way := float64(next) - float64(value)
	if math.Abs(way) < 1<<62 {
		return value + int64(math.Round(part*way))
	}
	return whole(math.Round((1-part)*float64(value) + part*float64(next))) // of a set with Raw
}

func checkPage(offset, n int) error {
	switch {
	case offset < 0:
		return errors.New("leaderboard: the offset is negative")
	case n < 0:
		return errors.New("leaderboard: a negative number of entries")
	case n > most:
		return fmt.Errorf("leaderboard: more than %d entries", most)
	}
	return nil
}

func checkMembers(members []string) error {
	if len(members) > most {
		return fmt.Errorf("leaderboard: more than %d members", most)
	}
	return nil
}

// reading is the reply to a script that reads.
type reading struct {
	of    span
	us    int64
	total int
	rest  []any
}

// read runs a script that reads the period that is meant.
func (r *Redis) read(ctx context.Context, op string, script func(*readers) *exec.Script, args ...any) (reading, error) {
	if r.view.err != nil {
		return reading{}, r.view.err
	}
	b := r.x.Budget()
	now := r.now()
	for range tries {
		at := r.place(r.period(), now)
		keys, all := r.begin()
		keys = r.keysOf(keys, at.p, at.is)
		all = append(all, at.current.start, at.current.end, at.p.width(), at.p.base(at.is), at.p.unit, r.o.MaxScore)
		scripts := &r.scripts.calendar
		if at.p.kind == rolling {
			scripts = &r.scripts.rolling
		}
		cmd := script(scripts).Cmd(keys, append(all, args...)...).Idempotent()
		if err := r.x.Do(ctx, b, cmd); err != nil {
			return reading{}, r.failed(op, err)
		}
		outcome, us, rest, err := r.answer(cmd)
		if err != nil {
			return reading{}, r.failed(op, err)
		}
		if outcome != outcomeDone {
			r.n.elsewhen.Add(1)
			now = us
			continue
		}
		if len(rest) < 2 || !r.setLag(rest[0], at.p) {
			return reading{}, r.failed(op, errReply)
		}
		total, ok := rest[1].(int64)
		if !ok {
			return reading{}, r.failed(op, errReply)
		}
		r.n.reads.Add(1)
		return reading{at.is, us, int(total), rest[2:]}, nil
	}
	return reading{}, r.failed(op, errClock)
}

// page runs a script that replies rows.
func (r *Redis) page(ctx context.Context, op string, script func(*readers) *exec.Script, args ...any) (Page, error) {
	reply, err := r.read(ctx, op, script, args...)
	if err != nil {
		return Page{}, err
	}
	if len(reply.rest) == 0 {
		return Page{}, ErrNotFound
	}
	rows, ok := r.rows(reply.rest)
	if !ok {
		return Page{}, r.failed(op, errReply)
	}
	return Page{entriesOf(rows), reply.total}, nil
}

// rows reads the rows of a page. The ranks follow from that of the first.
func (r *Redis) rows(reply []any) ([]row, bool) {
	if len(reply) != 4 {
		return nil, false
	}
	rank, ok := reply[0].(int64)
	start, isInt := reply[1].(int64)
	list, _ := reply[2].([]any)
	metas, _ := reply[3].([]any)
	if !ok || !isInt || len(list)%2 != 0 {
		return nil, false
	}
	rows := make([]row, len(list)/2)
	for i := range rows {
		member, ok := list[2*i].(string)
		text, isText := list[2*i+1].(string)
		value, score, isNumber := r.o.value(list[2*i+1])
		if !ok || !isText || !isNumber {
			return nil, false
		}
		same := i > 0 && value == rows[i-1].Value && (!r.o.Raw || score == rows[i-1].score)
		switch {
		case i == 0, same && r.o.Ranking != Ordinal:
		case r.o.Ranking == Dense:
			rank++
		default:
			rank = start + int64(i) + 1
		}
		rows[i] = row{Entry{member, value, int(rank), meta(metas, i)}, score, text}
	}
	return rows, true
}

func entriesOf(rows []row) []Entry {
	entries := make([]Entry, len(rows))
	for i := range rows {
		entries[i] = rows[i].Entry
	}
	return entries
}

// meta is the i-th of a reply that has the metadata, if it has any.
func meta(metas []any, i int) []byte {
	if i >= len(metas) {
		return nil
	}
	if s, ok := metas[i].(string); ok {
		return []byte(s)
	}
	return nil
}

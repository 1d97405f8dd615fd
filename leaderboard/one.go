package leaderboard

import (
	"slices"
	"strconv"

	"github.com/freshet-go/freshet/internal/exec"
)

// alone reports whether a submission is as one.lua wants it.
func (r *Redis) alone(places []place, scores []Score) bool {
	return r.scripts.one != nil && len(scores) == 1 && scores[0].OpID == "" && scores[0].Meta == nil &&
		!slices.ContainsFunc(places, func(at place) bool { return at.p.kind == rolling })
}

// loneSubmission is a call of one.lua. A late one goes where the first did.
func (r *Redis) loneSubmission(places []place, late bool, s *Score) *exec.Cmd {
	c := r.o.canonical(s.Value)
	smallest := strconv.FormatFloat(r.o.pack.pack(c, 0), 'g', -1, 64)
	keys, args := r.begin()
	args = append(args, r.o.life(), s.Member, c, smallest)
	for _, at := range places {
		open := r.until(at, late)
		keys = append(keys, r.keysOf(nil, at.p, at.is)[0])
		args = append(args, open.start, open.end, r.o.dies(at.p, at.is), at.p.base(at.is), at.p.unit)
	}
	return r.scripts.one.Cmd(keys, args...)
}

// loneResult reads what one.lua replies.
func (r *Redis) loneResult(reply []any) ([]Result, error) {
	if len(reply) != 6 {
		return nil, r.failed("submit", errReply)
	}
	var result Result
	before, _ := reply[1].(string)
	was := before != ""
	if was {
		var ok bool
		if result.Old, _, ok = r.o.value(before); !ok {
			return nil, r.failed("submit", errReply)
		}
	}
	now, _, ok := r.o.value(reply[2])
	var n [3]int64
	for i := range n {
		var isInt bool
		n[i], isInt = reply[3+i].(int64)
		ok = ok && isInt
	}
	if !ok {
		return nil, r.failed("submit", errReply)
	}
	result.New, result.Changed = now, !was || now != result.Old
	result.Rank, result.PrevRank, result.Total = int(n[0]), int(n[1]), int(n[2])
	r.n.submitted.Add(1)
	if result.Changed {
		r.n.changed.Add(1)
	}
	return []Result{result}, nil
}

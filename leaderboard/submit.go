package leaderboard

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/freshet-go/freshet/internal/exec"
)

// most is the largest number of scores, members or rows of one call, which is one script.
const most = 1000

// Submit submits up to 1,000 scores to all periods, or to that of a view.
//
// In mode Best, or if all have OpIDs, a submission whose reply is lost is sent again, to
// the same periods. In the other modes it is not, and may have been stored.
//
// Cost: 1 round trip, O(log N) for each score and period. A second one if what is thought
// to be the server's time is in another period than that.
// Atomic: yes.
// Errors: ErrScoreRange; ErrSealed on views of past periods; ErrUnavailable;
// ErrUnknownOutcome if it may have been stored; a server error that forbids it; the
// context's.
func (r *Redis) Submit(ctx context.Context, scores ...Score) ([]Result, error) {
	if r.view.err != nil {
		return nil, r.view.err
	}
	if err := r.o.checkScores(scores); err != nil || len(scores) == 0 {
		return nil, err
	}
	again := r.o.Mode == Best || named(scores)
	b := r.x.Budget()
	now := r.now()
	places := r.places(now)
	alone := r.alone(places, scores)
	var lost error // the error of an attempt that may have been executed
	for range tries {
		var cmd *exec.Cmd
		if alone {
			cmd = r.loneSubmission(places, lost != nil, &scores[0])
		} else {
			cmd = r.submission(places, lost != nil, scores)
		}
		err := r.x.Do(ctx, b, cmd)
		if exec.KindOf(err) == exec.UnknownOutcome {
			lost = err
			if again && b.Left() > 0 && ctx.Err() == nil {
				continue
			}
		}
		if err != nil {
			return nil, r.failed("submit", cmp.Or(lost, err))
		}
		outcome, us, rest, err := r.answer(cmd)
		switch {
		case err != nil:
			return nil, r.failed("submit", err)
		case outcome == outcomeOutOfRange:
			return nil, ErrScoreRange
		case outcome == outcomeDone && alone:
			return r.loneResult(rest)
		case outcome == outcomeDone:
			return r.results(scores, rest)
		case lost != nil: // the period has ended meanwhile
			return nil, r.failed("submit", lost)
		}
		if err := r.closed(places, us); err != nil {
			return nil, err
		}
		r.n.elsewhen.Add(1)
		places = r.places(us)
	}
	return nil, r.failed("submit", cmp.Or(lost, error(errClock)))
}

// named reports whether all have OpIDs.
func named(scores []Score) bool {
	for i := range scores {
		if scores[i].OpID == "" {
			return false
		}
	}
	return true
}

func (s *settings) checkScores(scores []Score) error {
	if len(scores) > most {
		return fmt.Errorf("leaderboard: more than %d scores", most)
	}
	for i := range scores {
		switch v := scores[i].Value; {
		case v > s.MaxScore || v < -s.MaxScore:
			return ErrScoreRange
		case len(scores[i].Meta) > s.Meta:
			return fmt.Errorf("leaderboard: Meta of more than the %d bytes of Options.Meta", s.Meta)
		}
	}
	return nil
}

// closed is the error of a submission that was too late, or too early, for a view's
// period. Nil means that at that time it is another one.
func (r *Redis) closed(places []place, us int64) error {
	at := places[0]
	switch {
	case us < at.current.start || us >= at.current.end:
		return nil
	case us < at.open.start:
		return errBegun
	case us >= at.open.end:
		r.n.sealed.Add(1)
		return ErrSealed
	}
	return nil
}

// submission is a call of submit.lua. A late one goes where the first did.
func (r *Redis) submission(places []place, late bool, scores []Score) *exec.Cmd {
	keys, args := r.begin()
	keys = append(keys, r.key("o"))
	args = append(args, r.o.Cap, r.o.MaxScore, r.o.life(), len(scores), len(places))
	for _, at := range places {
		open := r.until(at, late)
		keys = r.keysOf(keys, at.p, at.is)
		args = append(args, open.start, open.end, r.o.dies(at.p, at.is), at.p.width(), at.p.base(at.is), at.p.unit)
	}
	for i := range scores {
		s := &scores[i]
		op, has := "", 0
		if s.OpID != "" {
			op = r.view.name + ":" + s.OpID
		}
		if s.Meta != nil {
			has = 1
		}
		args = append(args, s.Member, r.o.canonical(s.Value), op, has, string(s.Meta))
	}
	return r.scripts.submit.Cmd(keys, args...)
}

// until is when a submission may be executed.
func (r *Redis) until(at place, late bool) span {
	if late {
		return r.graced(at.is)
	}
	return at.open
}

// results reads what became of each score, after the lag.
func (r *Redis) results(scores []Score, reply []any) ([]Result, error) {
	if len(reply) != 1+len(scores) || !r.setLag(reply[0], r.periods()...) {
		return nil, r.failed("submit", errReply)
	}
	results := make([]Result, len(scores))
	for i := range results {
		text, _ := reply[1+i].(string)
		known, ok := r.o.result(text, &results[i])
		if !ok {
			return nil, r.failed("submit", errReply)
		}
		if known {
			r.n.duplicates.Add(1)
		} else {
			r.n.submitted.Add(1)
		}
		if results[i].Changed {
			r.n.changed.Add(1)
		}
	}
	return results, nil
}

// result reads what became of one; see submit.lua.
func (s *settings) result(text string, into *Result) (known, ok bool) {
	words := strings.Split(text, " ")
	if len(words) != 7 {
		return false, false
	}
	var n [5]int64
	for i := range n {
		if n[i], ok = integer(words[2+i]); !ok {
			return false, false
		}
	}
	old, isOld := s.canonicalValue(words[0])
	now, isNew := s.canonicalValue(words[1])
	*into = Result{Old: old, New: now, Changed: n[0] == 1, Rank: int(n[2]), PrevRank: int(n[3]), Total: int(n[4])}
	return n[1] == 1, isOld && isNew
}

// Remove removes up to 1,000 members from the current one of each period, or from that of a
// view, with their metadata, and returns how many were there in any; without those that
// were removed by an attempt whose reply was lost.
//
// Cost: 1 round trip, O(log N) for each member and period. A second one as for Submit.
// Atomic: yes.
// Errors: ErrUnavailable, and they may be gone; a server error that forbids it; the
// context's.
func (r *Redis) Remove(ctx context.Context, members ...string) (int, error) {
	if r.view.err != nil {
		return 0, r.view.err
	}
	if err := checkMembers(members); err != nil || len(members) == 0 {
		return 0, err
	}
	b := r.x.Budget()
	now := r.now()
	for range tries {
		keys, args := r.begin()
		places := r.places(now)
		args = append(args, len(places))
		for _, at := range places {
			keys = r.keysOf(keys, at.p, at.is)
			args = append(args, at.current.start, at.current.end, at.p.width(), at.p.base(at.is), at.p.unit)
		}
		for _, member := range members {
			args = append(args, member)
		}
		cmd := r.scripts.remove.Cmd(keys, args...).Idempotent()
		if err := r.x.Do(ctx, b, cmd); err != nil {
			return 0, r.failed("remove", err)
		}
		outcome, us, rest, err := r.answer(cmd)
		if err == nil && outcome == outcomeDone {
			n, ok := one(rest)
			if !ok {
				return 0, r.failed("remove", errReply)
			}
			r.n.removed.Add(uint64(n))
			return int(n), nil
		}
		if err != nil {
			return 0, r.failed("remove", err)
		}
		r.n.elsewhen.Add(1)
		now = us
	}
	return 0, r.failed("remove", errClock)
}

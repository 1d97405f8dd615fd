package leaderboard

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

var errReply = errors.New("a script replied something else than expected")

// answer reads the beginning of a reply: the server's time in µs and the outcome.
func (r *Redis) answer(cmd *exec.Cmd) (outcome, us int64, rest []any, err error) {
	reply, _ := cmd.Val().([]any)
	if len(reply) < 2 {
		return 0, 0, nil, errReply
	}
	text, _ := reply[0].(string)
	us, ok := integer(text)
	if !ok {
		return 0, 0, nil, errReply
	}
	r.x.Observe(cmd, time.UnixMicro(us))
	outcome, ok = reply[1].(int64)
	if !ok || outcome < 0 || outcome > outcomeOutOfRange {
		return 0, 0, nil, errReply
	}
	return outcome, us, reply[2:], nil
}

// setLag takes over how many members are still to be retired, if that is of a window.
func (r *Redis) setLag(reply any, of ...*period) bool {
	n, ok := reply.(int64)
	if ok && slices.ContainsFunc(of, func(p *period) bool { return p.kind == rolling }) {
		r.n.lag.Store(uint64(max(n, 0)))
	}
	return ok
}

// one is the only number of a reply.
func one(reply []any) (n int64, ok bool) {
	if len(reply) != 1 {
		return 0, false
	}
	n, ok = reply[0].(int64)
	return n, ok && n >= 0
}

func integer(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// value reads a score of the sorted set.
func (s *settings) value(score any) (n int64, f float64, ok bool) {
	text, _ := score.(string)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) {
		return 0, 0, false
	}
	if !s.Raw {
		c, _ := s.pack.unpack(f)
		return s.canonical(c), f, true
	}
	return whole(f), f, true
}

// whole is a plain score as a value, whoever has set it.
func whole(f float64) int64 {
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// canonicalValue reads a canonical value in the reply of a script.
func (s *settings) canonicalValue(text string) (n int64, ok bool) {
	f, err := strconv.ParseFloat(text, 64)
	if !s.Ascending {
		f = -f
	}
	return whole(f), err == nil && !math.IsNaN(f)
}

// failed counts an error and makes it the package's.
func (r *Redis) failed(op string, err error) error {
	switch exec.KindOf(err) {
	case exec.UnknownOutcome:
		r.n.unknown.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnknownOutcome, op, err)
	case exec.Unavailable:
		r.n.unavailable.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
	}
	return fmt.Errorf("leaderboard: %s: %w", op, err)
}

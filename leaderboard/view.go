package leaderboard

import (
	"errors"
	"slices"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// view is which of the board's periods are meant.
type view struct {
	of   *period // the only one; nil: all, and the first to read
	name string  // its part of op ids
	at   int64   // a time in it, µs, if fixed
	back int     // else how many before the current one

	fixed bool
	err   error // of every call
}

var (
	errPeriod = errors.New("leaderboard: In: not one of Options.Periods")
	errEnds   = errors.New("leaderboard: At and Previous: the period has no end")
	errBack   = errors.New("leaderboard: Previous: a negative number")
	errBegun  = errors.New("leaderboard: the period has not begun")
)

// In returns a view of one of the board's periods, to which alone it submits. It is an
// error of every call on it if p is not one of them.
func (r *Redis) In(p Period) *Redis {
	i := slices.Index(r.o.Periods, p)
	if i < 0 {
		return r.with(view{err: errPeriod})
	}
	return r.with(view{of: r.o.periods[i], name: "in " + string(p)})
}

// At returns a view of the one that t is in of the board's first period, or of the view's,
// to which alone it submits: until its end and Grace, by the server's clock. It is an error
// of every call on it if the period has no end.
//
// A game that ended at t is in the right period whenever its result comes:
//
//	_, err := board.In(leaderboard.Daily).At(t).Submit(ctx, score)
func (r *Redis) At(t time.Time) *Redis {
	return r.bounded(view{at: t.UnixMicro(), fixed: true})
}

// Previous returns a view of the n-th before the current one of the board's first period,
// or of the view's, by the server's clock. It is an error of every call on it if the period
// has no end.
func (r *Redis) Previous(n int) *Redis {
	if n < 0 {
		return r.with(view{err: errBack})
	}
	return r.bounded(view{back: n})
}

// bounded completes a view of a period that ends.
func (r *Redis) bounded(v view) *Redis {
	p := r.period()
	switch {
	case r.view.err != nil:
		return r
	case !p.ends():
		return r.with(view{err: errEnds})
	}
	v.of = p
	v.name = "in " + string(r.o.Periods[slices.Index(r.o.periods, p)])
	return r.with(v)
}

func (r *Redis) with(v view) *Redis {
	if r.view.err != nil {
		return r
	}
	return &Redis{board: r.board, view: v}
}

// period is the one that is read.
func (r *Redis) period() *period {
	if r.view.of != nil {
		return r.view.of
	}
	return r.o.periods[0]
}

// periods are those that are submitted to.
func (r *Redis) periods() []*period {
	if r.view.of != nil {
		return []*period{r.view.of}
	}
	return r.o.periods
}

// place is one of a period.
type place struct {
	p       *period
	is      span // the one that is meant
	current span // if the time is in here
	open    span // when it may be submitted to
}

// place is the one of p that is meant at a time in µs.
func (r *Redis) place(p *period, now int64) place {
	current := p.at(now)
	at := place{p, current, current, current}
	switch {
	case r.view.fixed:
		at.is, at.current = p.at(r.view.at), span{0, eternity}
		at.open = r.graced(at.is)
	case r.view.back > 0:
		at.is = p.previous(current, r.view.back)
		at.open = span{current.start, max(current.start, min(current.end, r.graced(at.is).end))}
	}
	return at
}

// places are those of all periods that are submitted to.
func (r *Redis) places(now int64) []place {
	places := make([]place, 0, maxPeriods)
	for _, p := range r.periods() {
		places = append(places, r.place(p, now))
	}
	return places
}

// graced is when scores may be submitted to a span on a view of it.
func (r *Redis) graced(s span) span {
	if s.end == eternity {
		return s
	}
	return span{s.start, s.end + r.o.Grace.Microseconds()}
}

// now estimates the server's time in µs. As long as nothing is known of it, it is this
// machine's.
func (r *Redis) now() int64 {
	earliest, latest, ok := r.x.ServerTime(r.key("h"))
	if !ok {
		return time.Now().UnixMicro()
	}
	return earliest.Add(latest.Sub(earliest) / 2).UnixMicro()
}

// tries bounds how often a call is sent because the server's clock is elsewhere.
const tries = 4

var errClock = &exec.Error{Kind: exec.Unavailable, Err: errors.New("the server's clock is being set")}

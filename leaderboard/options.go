package leaderboard

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// Mode is what becomes of a member's earlier score.
type Mode uint8

const (
	Best Mode = iota // the better one counts
	Last             // the last one counts
	Sum              // they are added up
)

// Ranking is how members of equal value are ranked.
type Ranking uint8

const (
	Competition Ranking = iota // 1, 2, 2, 4: how many are better, and 1
	Dense                      // 1, 2, 2, 3: how many better values there are, and 1
	Ordinal                    // 1, 2, 3, 4: the place
)

// Options are the settings of a board. In every field zero is the default; in those that
// say so a negative value turns the thing off. Processes that share a board give it the
// same ones. Ascending, the bits that MaxScore leaves, Location, WeekStart, and whether
// Ranking is Dense are in the names of its keys: a board that is given others begins anew.
type Options struct {
	// Prefix begins every Redis key of the board. It is not empty and has no spaces or
	// braces. Zero: "leaderboard". Change it to keep applications on one server apart.
	Prefix string

	// Timeout bounds the time that one call waits for Redis, all its commands taken
	// together. Zero: 1 second. Negative: unbounded.
	Timeout time.Duration

	// Grace is for how long after the end of a period scores may still be submitted to
	// it, on a view of it: see [Redis.At]. It is at most the length of the shortest
	// period. Zero or negative: not at all. Set it where games end before midnight, and
	// their results come after it.
	Grace time.Duration

	// Retain is how long a period stays readable after its end and Grace. Zero: as long
	// as it was. Negative: not at all. Change it to show older ones.
	Retain time.Duration

	// Ascending ranks the smallest value first. False: the largest. Set it for times and
	// strokes.
	Ascending bool

	// Raw keeps plain scores, in a sorted set whose key is the board's name, so that
	// whatever else reads and writes that still can, and one that exists becomes a board.
	// Equals are then ordered by member, backwards unless Ascending, as Redis does. What
	// of a score that was there is not an integer is cut off when it is returned. It has
	// no Periods and is not Dense. False: equals are ordered by time.
	Raw bool

	// Mode is what becomes of a member's earlier score. Zero: Best.
	Mode Mode

	// Ranking is how members of equal value are ranked. Zero: Competition. Dense keeps
	// another sorted set, of the distinct values.
	Ranking Ranking

	// Periods are those that every submit goes to, in one step; reads are of the first
	// and those of the others on views, see [Redis.In]. There are at most 8. Zero:
	// AllTime.
	Periods []Period

	// Location is where midnight is. Zero: UTC.
	Location *time.Location

	// WeekStart is the first day of a week. Zero: Sunday.
	WeekStart time.Weekday

	// MaxScore bounds the values on both sides of 0. Zero: 2,145,386,495, or
	// 9,007,199,254,740,991 with Raw. It is at most 4,503,599,627,370,495 without. Every
	// bit more leaves one less to order equals by time, whose unit doubles; a smaller one
	// makes that finer: see [Redis.TieUnit].
	MaxScore int64

	// Cap is how many members are kept, the best; who falls off is forgotten. Zero or
	// negative: all. Of those that are too many when it is set at most 100 go with each
	// score.
	Cap int

	// Meta is how many bytes of metadata a score may have. Zero or negative: none.
	Meta int
}

const (
	defaultPrefix  = "leaderboard"
	defaultTimeout = time.Second
	unbounded      = 290 * 365 * day // nearly the longest Duration
	maxPeriods     = 8
)

// settings are options with the defaults filled in.
type settings struct {
	Options
	keys    rkey.Space
	pack    packing
	periods []*period
	timed   bool // one of them ends or moves
}

func newSettings(opts *Options) (*settings, error) {
	var s settings
	if opts != nil {
		s.Options = *opts
	}
	if s.Prefix == "" {
		s.Prefix = defaultPrefix
	}
	var err error
	if s.keys, err = rkey.New(s.Prefix); err != nil {
		return nil, fmt.Errorf("leaderboard: Options.Prefix %w", err)
	}
	switch {
	case s.Timeout == 0:
		s.Timeout = defaultTimeout
	case s.Timeout < 0:
		s.Timeout = unbounded
	}
	if s.Location == nil {
		s.Location = time.UTC
	}
	s.Grace, s.Cap, s.Meta = max(s.Grace, 0), max(s.Cap, 0), max(s.Meta, 0)
	if err := s.check(); err != nil {
		return nil, err
	}
	s.pack = packingFor(s.MaxScore)
	if err := s.setPeriods(); err != nil {
		return nil, err
	}
	return &s, nil
}

// check fills in MaxScore, and says which field is wrong.
func (s *settings) check() error {
	switch {
	case s.Mode > Sum:
		return errors.New("leaderboard: Options.Mode is unknown")
	case s.Ranking > Ordinal:
		return errors.New("leaderboard: Options.Ranking is unknown")
	case s.WeekStart < time.Sunday || s.WeekStart > time.Saturday:
		return errors.New("leaderboard: Options.WeekStart is not a day of the week")
	case s.Raw && len(s.Periods) > 0:
		return errors.New("leaderboard: Options.Periods are not for Raw")
	case s.Raw && s.Ranking == Dense:
		return errors.New("leaderboard: Options.Ranking Dense is not for Raw")
	case s.MaxScore < 0:
		return errors.New("leaderboard: Options.MaxScore is negative")
	case s.Raw && s.MaxScore > maxRaw, !s.Raw && s.MaxScore > maxScore:
		return errors.New("leaderboard: Options.MaxScore is more than a sorted set can order")
	case s.Retain > maxPeriod:
		return errors.New("leaderboard: Options.Retain is more than 10 years")
	}
	switch {
	case s.MaxScore > 0:
	case s.Raw:
		s.MaxScore = maxRaw
	default:
		s.MaxScore = defaultMax
	}
	return nil
}

func (s *settings) setPeriods() error {
	if len(s.Periods) == 0 {
		s.Periods = []Period{AllTime}
	}
	if len(s.Periods) > maxPeriods {
		return fmt.Errorf("leaderboard: Options.Periods are more than %d", maxPeriods)
	}
	s.Periods = slices.Clone(s.Periods)
	for i, name := range s.Periods {
		p, err := newPeriod(name, &s.Options, s.pack)
		if err != nil {
			return fmt.Errorf("leaderboard: Options.Periods[%d] %w", i, err)
		}
		if slices.ContainsFunc(s.periods, func(other *period) bool { return other.kind == p.kind && other.length == p.length }) {
			return fmt.Errorf("leaderboard: Options.Periods[%d] is there twice", i)
		}
		if p.ends() {
			if s.Grace > p.longest() {
				return fmt.Errorf("leaderboard: Options.Grace is longer than Periods[%d]", i)
			}
		}
		s.timed = s.timed || p.kind != endless
		s.periods = append(s.periods, p)
	}
	return nil
}

// retain is how long after its end and Grace a period stays readable.
func (s *settings) retain(p *period) time.Duration {
	if s.Retain == 0 {
		return p.longest()
	}
	return max(s.Retain, 0)
}

// dies is when the keys of a span expire, in ms; 0 is never.
func (s *settings) dies(p *period, of span) int64 {
	if !p.ends() {
		return 0
	}
	return of.end/1000 + (s.Grace + s.retain(p)).Milliseconds()
}

// life is how long after a submit the high-water mark is of use, in ms.
func (s *settings) life() int64 {
	var life time.Duration
	for _, p := range s.periods {
		switch {
		case p.ends():
			life = max(life, p.longest()+s.Grace+s.retain(p)+day)
		case p.kind == rolling:
			life = max(life, 2*p.length+day)
		}
	}
	return life.Milliseconds()
}

// canonical is a value of which the smaller is the better, and the reverse.
func (s *settings) canonical(value int64) int64 {
	if s.Ascending {
		return value
	}
	return -value
}

package counter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

// SeriesOptions are the settings of a [Series]. In every field zero is the default; in those
// that say so a negative value turns the thing off.
type SeriesOptions struct {
	// Prefix begins every Redis key, as [Options.Prefix] does. Zero: "counter".
	Prefix string

	// Timeout bounds the time that one call waits for Redis. Zero: 1 second. Negative:
	// unbounded.
	Timeout time.Duration

	// Minutes is how long the counts of single minutes are kept. Zero: 24 hours. Negative:
	// there are none. 60 of them are one key, which is kept until the last is so old.
	Minutes time.Duration

	// Hours is how long the counts of hours are kept. Zero: 31 days. Negative: there are
	// none. 24 of them are one key.
	Hours time.Duration

	// Days is how long the counts of days are kept. Zero: 400 days. Negative: there are none.
	// 30 of them are one key.
	Days time.Duration
}

// A Series counts in buckets of time: in the minute, the hour and the day at which something
// is counted, by the server's clock and in UTC. Each kind of bucket is kept for its own time.
// A day is the sum of its hours, and an hour of its minutes. It is safe for concurrent use
// and needs no closing.
type Series struct {
	link
	keys rkey.Space
	res  []resolution // from days to minutes
	n    struct{ added, ranged atomic.Uint64 }
}

// A resolution is a kind of bucket. A span of them is one key. All times are in s.
type resolution struct {
	name   string
	bucket int64
	span   int64
	keep   int64
}

// A Point is what was counted in a step of time that begins at Time.
type Point struct {
	Time time.Time
	N    int64
}

// maxPoints bounds how many a Range returns, and maxSpans how many keys it reads.
const maxPoints, maxSpans = 10_000, 1000

// NewSeries returns a series in rdb. It does no I/O, never closes rdb, and refuses the
// clients that [New] refuses.
func NewSeries(rdb redis.UniversalClient, opts *SeriesOptions) (*Series, error) {
	var o SeriesOptions
	if opts != nil {
		o = *opts
	}
	s := &Series{}
	for _, r := range []struct {
		option, name string
		bucket       time.Duration
		perSpan      int64
		keep         time.Duration
		usual        time.Duration
	}{
		// The largest come first, whose counts overflow first.
		{"Days", "d", 24 * time.Hour, 30, o.Days, 400 * 24 * time.Hour},
		{"Hours", "h", time.Hour, 24, o.Hours, 31 * 24 * time.Hour},
		{"Minutes", "m", time.Minute, 60, o.Minutes, 24 * time.Hour},
	} {
		switch {
		case r.keep < 0:
			continue
		case r.keep == 0:
			r.keep = r.usual
		case r.keep < r.bucket || r.keep > never:
			return nil, fmt.Errorf("counter: SeriesOptions.%s is less than one of them or more than 100 years", r.option)
		}
		bucket := int64(r.bucket / time.Second)
		s.res = append(s.res, resolution{r.name, bucket, bucket * r.perSpan, int64((r.keep + time.Second - 1) / time.Second)})
	}
	if len(s.res) == 0 {
		return nil, errors.New("counter: SeriesOptions turn off minutes, hours and days")
	}
	var err error
	if s.x, s.keys, err = connect(rdb, "SeriesOptions", &o.Prefix, &o.Timeout); err != nil {
		return nil, err
	}
	return s, nil
}

// key returns the key of a span.
func (s *Series) key(r resolution, span int64, key string) string {
	return s.keys.Key(r.name+"."+strconv.FormatInt(span, 10), key)
}

// Add counts n, which may be negative, in the buckets of now. It is sent once.
//
// Cost: 1 round trip, 6 keys, O(1); 2 where a server's clock is not known well enough, at
// the end of an hour at most.
// Atomic: yes, with the expiries.
// Errors: ErrUnavailable, also while a cluster moves the slot of key; ErrUnknownOutcome; a
// server error if a count would overflow, something else is under a key, or it is
// forbidden; the context's.
func (s *Series) Add(ctx context.Context, key string, n int64) error {
	if n == math.MinInt64 { // which cannot be taken back
		return errors.New("counter: n is too small")
	}
	b := s.x.Budget()
	now := time.Now()
	if earliest, _, ok := s.x.ServerTime(s.key(s.res[0], 0, key)); ok {
		now = earliest
	}
	for range 3 {
		keys := make([]string, 0, 2*len(s.res))
		args := append(make([]any, 0, 1+4*len(s.res)), n)
		for _, r := range s.res {
			span := now.Unix() / r.span
			keys = append(keys, s.key(r, span, key), s.key(r, span+1, key))
			args = append(args, span, r.span, r.bucket, r.keep)
		}
		cmd := tallyScript.Cmd(keys, args...)
		if err := s.x.Do(ctx, b, cmd); err != nil {
			return s.failed("add", err)
		}
		reply, _ := cmd.Val().([]any)
		if len(reply) != 2 {
			return s.failed("add", errReply)
		}
		us, ok := s.observe(cmd, reply[0])
		if !ok {
			return s.failed("add", errReply)
		}
		if reply[1] == int64(outcomeDone) {
			s.n.added.Add(1)
			return nil
		}
		now = time.UnixMicro(us)
	}
	return s.failed("add", &exec.Error{Kind: exec.Unavailable, Err: errors.New("the server's clock is being set")})
}

// Range returns what was counted from from until before to, in steps of step: a whole number
// of minutes, of which there may be 10,000. from is rounded down to a minute, and what begins
// before to is in it as a whole. The counts
// are those of the largest buckets of which from and step are a multiple; so a day that
// begins at another time than midnight UTC is added up from hours or minutes, as long as
// these are kept. Where nothing was counted, or it is not kept any more, is zero.
//
// Cost: 1 round trip, 1 key for each hour of minutes, day of hours or month of days that
// it touches; a thousand keys at most.
// Atomic: per key.
// Errors: an error if there are no such steps, or no buckets for them; ErrUnavailable; a
// server error that forbids it; the context's.
func (s *Series) Range(ctx context.Context, key string, from, to time.Time, step time.Duration) ([]Point, error) {
	if step < time.Minute || step%time.Minute != 0 {
		return nil, errors.New("counter: the step is not a whole number of minutes")
	}
	first := from.Unix() - mod(from.Unix(), 60)
	end := to.Unix()
	if to.Nanosecond() > 0 {
		end++
	}
	if end <= first {
		return nil, nil
	}
	each := int64(step / time.Second)
	n := (end - first + each - 1) / each
	if n < 1 || n > maxPoints {
		return nil, errors.New("counter: there would be more than 10,000 steps")
	}
	r, ok := s.resolution(first, each)
	if !ok {
		return nil, errors.New("counter: there are no buckets for such steps")
	}
	counts, err := s.read(ctx, r, key, first, end)
	if err != nil {
		return nil, s.failed("range", err)
	}
	points := make([]Point, n)
	for i := range points {
		points[i].Time = time.Unix(first+int64(i)*each, 0).In(from.Location())
	}
	for start, count := range counts {
		if start >= first && start < end {
			points[(start-first)/each].N += count
		}
	}
	s.n.ranged.Add(1)
	return points, nil
}

// resolution returns the largest buckets that begin at first and every so often after it.
func (s *Series) resolution(first, each int64) (resolution, bool) {
	for _, r := range s.res {
		if each%r.bucket == 0 && mod(first, r.bucket) == 0 {
			return r, true
		}
	}
	return resolution{}, false
}

// read returns the counts of the spans that touch what is from first until before end, by
// the time when each begins.
func (s *Series) read(ctx context.Context, r resolution, key string, first, end int64) (map[int64]int64, error) {
	span, last := (first-mod(first, r.span))/r.span, (end-1)/r.span
	if last-span >= maxSpans {
		return nil, errors.New("it would read more than 1,000 keys")
	}
	var cmds []*exec.Cmd
	for i := span; i <= last; i++ {
		k := s.key(r, i, key)
		cmds = append(cmds, exec.Command(k, "hgetall", k).Idempotent())
	}
	_ = s.x.DoAll(ctx, s.x.Budget(), cmds) // each has its own
	counts := make(map[int64]int64)
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return nil, err
		}
		err := eachField(cmd.Val(), func(field, value any) error {
			bucket, err := number(field)
			if err != nil {
				return err
			}
			counts[(span+int64(i))*r.span+bucket*r.bucket], err = number(value)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// eachField calls f for what HGETALL replies: a list in RESP2, a map in RESP3.
func eachField(reply any, f func(field, value any) error) error {
	switch reply := reply.(type) {
	case []any:
		if len(reply)%2 != 0 {
			return errReply
		}
		for i := 0; i < len(reply); i += 2 {
			if err := f(reply[i], reply[i+1]); err != nil {
				return err
			}
		}
	case map[any]any:
		for field, value := range reply {
			if err := f(field, value); err != nil {
				return err
			}
		}
	default:
		return errReply
	}
	return nil
}

// mod is a modulo n, not negative.
func mod(a, n int64) int64 { return (a%n + n) % n }

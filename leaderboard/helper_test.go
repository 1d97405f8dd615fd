package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// some is one topology of each kind, and all of them if FRESHET_LONG is set.
func some() []redistest.Topology {
	on := []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}
	if redistest.IsLong() {
		on = append(on, redistest.RESP2, redistest.Sentinel)
	}
	return on
}

// decade is a period of which none ends while a test runs, but in February of 2030.
var decade = Every(maxPeriod)

// newBoard returns a board. Its Timeout is long unless the test sets it: a busy machine is
// not what most tests are about.
func newBoard(t testing.TB, rdb redis.UniversalClient, opts Options) *Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	name := "board"
	if opts.Raw {
		name = opts.Prefix + ":raw"
	}
	r, err := New(rdb, name, &opts)
	if err != nil {
		t.Fatalf("New(%+v) = %v", opts, err)
	}
	return r
}

// submits submits, and fails the test if that fails.
func submits(t testing.TB, b Board, scores ...Score) []Result {
	t.Helper()
	results, err := b.Submit(t.Context(), scores...)
	if err != nil {
		t.Fatalf("Submit = %v", err)
	}
	return results
}

// wants fails the test unless an error is what it should be; nil wants none.
func wants(t testing.TB, call string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s = %v, want %v", call, err, want)
	}
}

// line is a page in words: 'total: rank member=value …'.
func line(p Page) string {
	s := fmt.Sprint(p.Total, ":")
	for _, e := range p.Entries {
		s += fmt.Sprintf(" %d %s=%d", e.Rank, e.Member, e.Value)
		if e.Meta != nil {
			s += fmt.Sprintf("(%s)", e.Meta)
		}
	}
	return s
}

// shows fails the test unless a board's first 1,000 entries are as line says.
func shows(t testing.TB, b Board, want string) {
	t.Helper()
	p, err := b.Range(t.Context(), 0, most)
	if got := line(p); err != nil || got != want {
		t.Errorf("the board is %q, %v, want %q", got, err, want)
	}
}

// stopwatch keeps the time that the latest reply of a script carried.
type stopwatch struct{ us atomic.Int64 }

func (h *stopwatch) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *stopwatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if c, ok := cmd.(interface{ Val() any }); ok && err == nil {
			if reply, ok := c.Val().([]any); ok && len(reply) > 0 {
				if text, ok := reply[0].(string); ok {
					if us, err := strconv.ParseInt(text, 10, 64); err == nil {
						h.us.Store(us)
					}
				}
			}
		}
		return err
	}
}

func (h *stopwatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// timed returns a client, and what tells the time of its latest reply.
func timed(t testing.TB, s *redistest.Server) (redis.UniversalClient, *stopwatch) {
	rdb, w := s.Client(t), new(stopwatch)
	rdb.AddHook(w)
	return rdb, w
}

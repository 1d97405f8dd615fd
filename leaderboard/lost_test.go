package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// losing loses replies to scripts at random, of commands that were executed or not.
type losing struct {
	mu  sync.Mutex
	rng *rand.Rand
	n   atomic.Int64
}

func (h *losing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *losing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.mu.Lock()
		what := h.rng.IntN(8)
		h.mu.Unlock()
		if !strings.HasPrefix(cmd.Name(), "evalsha") || what > 2 {
			return next(ctx, cmd)
		}
		if what < 2 {
			if err := next(ctx, cmd); err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
				return err
			}
		}
		h.n.Add(1)
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

func (h *losing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Many replies are lost, in each mode, with op ids and without: what was acknowledged is
// there once, what is unknown at most once, and nothing else.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	n := 100
	if redistest.IsLong() {
		n = 900 // more than 10,000 faults in all
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		for _, test := range []struct {
			mode  Mode
			named bool
		}{{Best, false}, {Sum, false}, {Sum, true}, {Last, false}, {Last, true}} {
			rdb := s.Client(t)
			direct := newBoard(t, s.Client(t), Options{Mode: test.mode, Periods: []Period{AllTime, decade, Rolling(time.Hour)}})
			opts := direct.o.Options
			opts.Location = nil
			r := newBoard(t, rdb, opts)
			submits(t, r, Score{Member: "first", Value: 1})
			seed := rand.Uint64()
			hook := &losing{rng: rand.New(rand.NewPCG(seed, 1))}
			rdb.AddHook(hook)
			type outcome struct{ acked, unknown int64 }
			members := make([]outcome, 5)
			for i := 0; i < n; i++ {
				m := i % len(members)
				score := Score{Member: fmt.Sprint(m), Value: int64(i + 1)}
				if test.mode == Sum {
					score.Value = 1
				}
				if test.named {
					score.OpID = fmt.Sprint(i)
				}
				_, err := r.Submit(t.Context(), score)
				switch {
				case err == nil:
					if members[m].acked += score.Value; test.mode != Sum {
						members[m] = outcome{acked: score.Value}
					}
				case errors.Is(err, ErrUnknownOutcome):
					if members[m].unknown += score.Value; test.mode != Sum {
						members[m].unknown = score.Value
					}
				case errors.Is(err, ErrUnavailable): // after so many Redis seems to be away
					i--
					time.Sleep(time.Millisecond)
				default:
					t.Fatalf("Submit = %v", err)
				}
			}
			if hook.n.Load() < int64(n/8) { // of about n/2
				t.Errorf("%d replies were lost of %d", hook.n.Load(), n)
			}
			t.Logf("mode %d, named %v: %d replies lost, %d outcomes unknown", test.mode, test.named, hook.n.Load(), r.Stats().Unknown)
			for _, p := range direct.o.Periods {
				for m, want := range members {
					page, err := direct.In(p).Get(t.Context(), fmt.Sprint(m))
					if err != nil {
						t.Fatal(err)
					}
					var got int64
					if len(page.Entries) > 0 {
						got = page.Entries[0].Value
					}
					ok := got >= want.acked && got <= want.acked+want.unknown
					if test.mode != Sum {
						ok = got == want.acked || got == want.unknown || got > want.acked && got < want.unknown
					}
					if !ok {
						t.Errorf("mode %d, named %v, seed %d: %q has %d, want %d and at most %d unknown", test.mode, test.named, seed, p, got, want.acked, want.unknown)
					}
				}
			}
			_ = rdb.Close()
		}
	})
}

// A reply is lost on the way, by go-redis with its default retries: a Sum is added once.
func TestLostOnTheWire(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		for _, test := range []struct {
			name string
			opts Options
			op   string
			want error
		}{
			{"best", Options{}, "", nil},
			{"sum", Options{Mode: Sum}, "", ErrUnknownOutcome},
			{"sum with an id", Options{Mode: Sum}, "op", nil},
			{"last", Options{Mode: Last}, "", ErrUnknownOutcome},
			{"last with an id", Options{Mode: Last}, "op", nil},
		} {
			test.opts.Prefix = redistest.Prefix(t)
			p := s.Proxy(t)
			r := newBoard(t, p.Client(t), test.opts)
			direct := newBoard(t, s.Client(t), test.opts)
			submits(t, r, Score{Member: "a", OpID: "known"}) // the scripts are known
			submits(t, r, Score{Member: "a", Value: 1})
			p.DropRepliesTo(redistest.Command("evalsha"), 1)
			got, err := r.Submit(t.Context(), Score{Member: "b", Value: 5, OpID: test.op})
			p.DropRepliesTo(nil, 0)
			if !errors.Is(err, test.want) || test.want == nil && (err != nil || got[0].New != 5 || got[0].Rank != 1) {
				t.Errorf("%s with a lost reply = %+v, %v, want %v", test.name, got, err, test.want)
			}
			shows(t, direct, "2: 1 b=5 2 a=1")
			// Reads are repeated.
			p.DropRepliesTo(redistest.Command("evalsha", "eval"), 1)
			if page, err := r.Range(t.Context(), 0, 5); err != nil || page.Total != 2 {
				t.Errorf("Range with a lost reply = %+v, %v", page, err)
			}
			p.DropRepliesTo(redistest.Command("evalsha", "eval"), 1)
			if _, err := r.Remove(t.Context(), "a"); err != nil {
				t.Errorf("Remove with a lost reply = %v", err)
			}
			p.DropRepliesTo(nil, 0)
			shows(t, direct, "1: 1 b=5")
			if st := r.Stats(); st.Unknown > 1 || (st.Unknown == 1) != (test.want != nil) {
				t.Errorf("%s: Stats is %+v", test.name, st)
			}
		}
	})
}

// A server that hangs, is away, or comes back: calls end in time and say what they know.
func TestAway(t *testing.T) {
	redistest.EachPrivate(t, redistest.Quick(redistest.Miniredis, redistest.Standalone, redistest.Sentinel, redistest.Cluster), func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Timeout: 200 * time.Millisecond})
		redistest.Eventually(t, "a score is stored", func() bool {
			_, err := r.Submit(t.Context(), Score{Member: "a", Value: 1, OpID: "1"})
			return err == nil
		})
		s.PauseMasterOf(t, r.key("h"))
		var sent int64
		redistest.Eventually(t, "a submission is on its way to the hung server", func() bool {
			sent++
			begun := time.Now()
			_, err := r.Submit(t.Context(), Score{Member: "a", Value: 1})
			if !errors.Is(err, ErrUnknownOutcome) { // a machine so busy that 200 ms are over before
				wants(t, "Submit to a hung server", err, ErrUnavailable)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("a call with 200 ms took %v", took)
			}
			return errors.Is(err, ErrUnknownOutcome)
		})
		_, err := r.Range(t.Context(), 0, 5)
		wants(t, "Range of a hung server", err, ErrUnavailable)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = r.Submit(ctx, Score{Member: "a", Value: 1})
		wants(t, "Submit with a context that has ended", err, context.Canceled)
		s.Resume(t)
		redistest.Eventually(t, "the board is there again", func() bool {
			p, err := r.Range(t.Context(), 0, 5)
			return err == nil && p.Total == 1 && p.Entries[0].Value <= 1+sent
		})
	})
}

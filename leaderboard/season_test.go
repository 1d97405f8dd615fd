package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/redistest"
)

// believe makes a board believe that the server's clock says something else.
func believe(t testing.TB, r *Redis, us int64) {
	t.Helper()
	cmd := exec.Command(r.key("h"), "exists", r.key("h"))
	if err := r.x.Do(t.Context(), r.x.Budget(), cmd); err != nil {
		t.Fatalf("EXISTS = %v", err)
	}
	r.x.Observe(cmd, time.UnixMicro(us))
}

// Processes whose clocks are an hour off, in both directions, submit while periods end:
// each score is in the period of the server's time, and in no other.
func TestSkewedClocks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		const clients, scores = 6, 40
		prefix := redistest.Prefix(t)
		opts := Options{Prefix: prefix, Periods: []Period{Every(time.Second), Daily, AllTime}, Retain: time.Hour}
		var when [clients][scores]int64
		var elsewhen atomic.Uint64
		redistest.Together(clients, func(i int) {
			rdb, clock := timed(t, s)
			r := newBoard(t, rdb, opts)
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range scores {
				off := []time.Duration{-time.Hour, time.Hour, -900 * time.Millisecond, 900 * time.Millisecond}[rng.IntN(4)]
				believe(t, r, time.Now().Add(off).UnixMicro())
				for {
					_, err := r.Submit(t.Context(), Score{Member: fmt.Sprint(i, "-", n), Value: 1})
					if errors.Is(err, ErrUnavailable) { // a machine so busy that a second is over with each try
						continue
					}
					if err != nil {
						t.Errorf("Submit = %v", err)
					}
					break
				}
				when[i][n] = clock.us.Load()
				time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond) // to meet some ends
			}
			elsewhen.Add(r.Stats().Elsewhen)
		})
		rdb := s.Client(t)
		r := newBoard(t, rdb, opts)
		first := r.o.periods[0]
		in := make(map[string][]string) // the keys that have a member
		for _, key := range s.Keys(t, prefix+":z.d32.e1s.") {
			members, err := rdb.ZRange(t.Context(), key, 0, -1).Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, member := range members {
				in[member] = append(in[member], key)
			}
		}
		for i := range when {
			for n, us := range when[i] {
				got := in[fmt.Sprint(i, "-", n)]
				if want := r.keysOf(nil, first, first.at(us))[:1]; !slices.Equal(got, want) {
					t.Errorf("a score of %d is in %q, want %q", us, got, want)
				}
			}
		}
		if elsewhen.Load() == 0 {
			t.Error("nobody was wrong about the period")
		}
	})
}

// A period of the past takes scores until its Grace is over, stays readable for Retain,
// and then is gone with all its keys.
func TestGraceAndRetain(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{
			Periods: []Period{Every(time.Hour), AllTime}, Grace: 10 * time.Minute, Retain: 30 * time.Minute,
			Ranking: Dense, Meta: 10,
		})
		now := time.Now()
		begin := now.Truncate(time.Hour).Add(time.Hour)
		time.Sleep(begin.Sub(now))
		late := r.At(begin)
		submits(t, r, Score{Member: "a", Value: 1, Meta: []byte("x")})
		time.Sleep(time.Hour + 10*time.Minute - time.Microsecond)
		shows(t, r, "0:")
		shows(t, r.In(AllTime), "1: 1 a=1(x)")
		shows(t, r.Previous(1), "1: 1 a=1(x)")
		if got := submits(t, late, Score{Member: "b", Value: 2}); got[0].Rank != 1 || got[0].Total != 2 {
			t.Errorf("a late Submit = %+v", got)
		}
		submits(t, r.Previous(1), Score{Member: "c", Value: 2})
		shows(t, r.In(AllTime), "1: 1 a=1(x)") // views are of one period
		time.Sleep(time.Microsecond)
		for name, view := range map[string]*Redis{"At": late, "Previous": r.Previous(1)} {
			_, err := view.Submit(t.Context(), Score{Member: "d", Value: 3})
			wants(t, name+".Submit after the Grace", err, ErrSealed)
		}
		shows(t, late, "3: 1 b=2 1 c=2 2 a=1(x)")
		time.Sleep(30*time.Minute - time.Millisecond)
		shows(t, r.Previous(1), "3: 1 b=2 1 c=2 2 a=1(x)")
		time.Sleep(2 * time.Millisecond)
		shows(t, late, "0:")
		_, err := r.At(time.Now().Add(2*time.Hour)).Submit(t.Context(), Score{Member: "d"})
		wants(t, "Submit to a period of the future", err, errBegun)
		for _, key := range s.Keys(t, r.o.Prefix) {
			if strings.Contains(key, ".e1h0m0s.") {
				t.Errorf("the key %q is still there", key)
			}
		}
		if got := r.Stats().Sealed; got != 2 {
			t.Errorf("Stats has %d sealed, want 2", got)
		}
	})
}

// Every key of a period that ends has an expiry, and the right one; those of AllTime none.
func TestExpiry(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, mode := range []Mode{Best, Last, Sum} {
			r := newBoard(t, s.Client(t), Options{
				Mode: mode, Periods: []Period{AllTime, decade, Rolling(time.Hour)}, Ranking: Dense, Meta: 5, Grace: time.Hour, Retain: 2 * time.Hour,
			})
			submits(t, r, Score{Member: "a", Value: 1, Meta: []byte("x"), OpID: "1"}, Score{Member: "b", Value: 1})
			submits(t, r, Score{Member: "a", Value: 2})
			one := newBoard(t, s.Client(t), Options{Mode: mode, Periods: []Period{decade, AllTime}})
			submits(t, one, Score{Member: "a", Value: 1})
			for i, want := range []int64{-2, 1, 1, -2, -1, -2} { // there is none, it has an expiry, or it has not
				ttl, _ := s.Do(t, "pttl", allKeys(one)[i]).(int64)
				if mode != Sum && min(ttl, 1) != want {
					t.Errorf("the key %q expires in %d ms", allKeys(one)[i], ttl)
				}
			}
			all := s.Keys(t, r.o.Prefix)
			if len(all) != 3+3+5+2 {
				t.Errorf("there are %d keys: %q", len(all), all)
			}
			for _, key := range all {
				ttl, _ := s.Do(t, "pttl", key).(int64)
				left := time.Duration(ttl) * time.Millisecond
				end := time.UnixMicro(r.o.periods[1].at(time.Now().UnixMicro()).end)
				want := time.Until(end) + 3*time.Hour
				switch {
				case strings.Contains(key, ".a:{"):
					want = -1
				case strings.Contains(key, ".r1h0m0s:{"):
					want = time.Hour + 150*time.Second + time.Minute
				case strings.HasPrefix(key, r.o.Prefix+":o:"):
					want = time.Hour
				case strings.HasPrefix(key, r.o.Prefix+":h:"):
					want = maxPeriod + 3*time.Hour + day
				}
				if off := want - left; off < -time.Second || off > time.Minute || want < 0 != (ttl == -1) {
					t.Errorf("the key %q expires in %v, want %v", key, left, want)
				}
			}
		}
	})
}

// The server's clock is set back, or one with another clock takes over: what has ended
// stays so.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb, clock := timed(t, s)
		r := newBoard(t, rdb, Options{Periods: []Period{Every(time.Hour)}})
		// As if it had been an hour ahead when somebody submitted.
		ahead := time.Now().Add(time.Hour).UnixMicro()
		s.Do(t, "set", r.key("h"), ahead)
		submits(t, r, Score{Member: "a", Value: 1})
		if got := clock.us.Load(); got != ahead {
			t.Errorf("the time is %d, want that of the high-water mark, %d", got, ahead)
		}
		shows(t, r.At(time.UnixMicro(ahead)), "1: 1 a=1")
		shows(t, r, "1: 1 a=1")
		_, err := r.At(time.UnixMicro(ahead).Add(-time.Hour)).Submit(t.Context(), Score{Member: "b"})
		wants(t, "Submit to what had ended", err, ErrSealed)
		// Two days ahead is an error that has been corrected, and so are other bytes.
		for _, foreign := range []any{time.Now().Add(48 * time.Hour).UnixMicro(), "x", "inf", "nan", "-1"} {
			s.Do(t, "set", r.key("h"), foreign)
			submits(t, r, Score{Member: "c", Value: 1})
			if off := time.Duration(clock.us.Load()-time.Now().UnixMicro()) * time.Microsecond; off.Abs() > time.Minute {
				t.Errorf("with the mark %v the time is off by %v", foreign, off)
			}
			mark, err := strconv.ParseInt(fmt.Sprint(s.Do(t, "get", r.key("h"))), 10, 64)
			if late := clock.us.Load() - mark; err != nil || late < 0 || late >= 1_000_000 {
				t.Errorf("the mark is %d, %v after a submit at %d", mark, err, clock.us.Load())
			}
		}
	})
}

// A refusal of a score that is late leaves its mark too: the period that was said to be
// sealed stays so.
func TestSealedStaysSealed(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{{}, {Cap: 9}} { // one.lua and submit.lua
		s := redistest.Private(t, redistest.Miniredis)
		now := time.Now().Truncate(time.Hour)
		s.Mini().SetTime(now.Add(time.Minute))
		opts.Periods, opts.Prefix = []Period{Every(time.Hour)}, redistest.Prefix(t)
		r := newBoard(t, s.Client(t), opts)
		submits(t, r, Score{Member: "a", Value: 1})
		season := r.At(now)
		s.Mini().SetTime(now.Add(61 * time.Minute))
		for range 2 {
			_, err := season.Submit(t.Context(), Score{Member: "b", Value: 1})
			wants(t, "Submit", err, ErrSealed)
			s.Mini().SetTime(now.Add(59 * time.Minute))
		}
		shows(t, season, "1: 1 a=1")
		// So does the first score of the next one, however soon it comes after one before.
		edge := now.Add(5 * time.Hour)
		for _, after := range []time.Duration{-100 * time.Millisecond, 100 * time.Millisecond} {
			s.Mini().SetTime(edge.Add(after))
			other := newBoard(t, s.Client(t), opts)
			if _, err := other.Range(t.Context(), 0, 1); err != nil { // it knows the time
				t.Fatal(err)
			}
			before := other.Stats().Elsewhen
			submits(t, other, Score{Member: "a", Value: 1})
			if n := other.Stats().Elsewhen - before; n != 0 {
				t.Errorf("%d calls were sent again", n)
			}
		}
		s.Mini().SetTime(edge.Add(-200 * time.Millisecond))
		_, err := r.At(edge.Add(-time.Minute)).Submit(t.Context(), Score{Member: "b", Value: 1})
		wants(t, "Submit to the one before", err, ErrSealed)
	}
}

// In the first moment of a season equals have equal ranks too.
func TestSeasonBegins(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{{}, {Mode: Last, Ascending: true}, {Mode: Sum}, {Cap: 9}} {
		s := redistest.Private(t, redistest.Miniredis)
		s.Mini().SetTime(time.Now().Truncate(time.Hour))
		opts.Periods = []Period{Every(time.Hour)}
		r := newBoard(t, s.Client(t), opts)
		for _, member := range []string{"a", "b", "c"} {
			if got := submits(t, r, Score{Member: member, Value: 5})[0]; got.Rank != 1 || got.PrevRank != 0 {
				t.Errorf("%+v: Submit = %+v, want rank 1", opts, got)
			}
		}
		if got := submits(t, r, Score{Member: "c", Value: 6})[0]; got.PrevRank != 1 || got.Old != 5 {
			t.Errorf("%+v: Submit = %+v, want rank 1 before", opts, got)
		}
	}
}

// moving loses the reply to a script, after it was executed or before, and lets the
// clock go on meanwhile.
type moving struct {
	executed bool
	then     func()
	armed    atomic.Int64
}

func (h *moving) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *moving) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !strings.HasPrefix(cmd.Name(), "evalsha") || h.armed.Add(-1) < 0 {
			return next(ctx, cmd)
		}
		if h.executed {
			_ = next(ctx, cmd)
		}
		h.then()
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

func (h *moving) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The reply is lost as a period ends: what is sent again is for that period, not for the
// next.
func TestLostAcrossTheEdge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		mode     Mode
		op       string
		grace    time.Duration
		executed bool
		want     error
		first    string
	}{
		{"stored", Best, "", time.Minute, true, nil, "1: 1 a=5"},
		{"not stored", Best, "", time.Minute, false, nil, "1: 1 a=5"},
		{"stored, no grace", Best, "", 0, true, ErrUnknownOutcome, "1: 1 a=5"},
		{"not stored, no grace", Best, "", 0, false, ErrUnknownOutcome, "0:"},
		{"sum stored", Sum, "op", time.Minute, true, nil, "1: 1 a=5"},
		{"sum stored, no grace", Sum, "op", 0, true, nil, "1: 1 a=5"},
		{"sum not stored", Sum, "op", time.Minute, false, nil, "1: 1 a=5"},
		{"sum without id", Sum, "", time.Minute, true, ErrUnknownOutcome, "1: 1 a=5"},
		{"sum without id, not stored", Sum, "", time.Minute, false, ErrUnknownOutcome, "0:"},
		{"last stored", Last, "op", 0, true, nil, "1: 1 a=5"},
		{"last without id", Last, "", time.Minute, true, ErrUnknownOutcome, "1: 1 a=5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Private(t, redistest.Miniredis)
			edge := time.Now().Truncate(time.Hour)
			s.Mini().SetTime(edge.Add(-time.Second))
			rdb := s.Client(t)
			r := newBoard(t, rdb, Options{Mode: test.mode, Periods: []Period{Every(time.Hour), AllTime}, Grace: test.grace})
			shows(t, r, "0:")
			hook := &moving{executed: test.executed, then: func() { s.Mini().SetTime(edge.Add(time.Second)) }}
			rdb.AddHook(hook)
			hook.armed.Store(1)
			if test.executed { // the script is known, so that it is executed
				hook.armed.Store(0)
				submits(t, newBoard(t, rdb, Options{Mode: test.mode, Periods: r.o.Periods, Grace: test.grace}), Score{Member: "x", OpID: test.op})
				hook.armed.Store(1)
			}
			_, err := r.Submit(t.Context(), Score{Member: "a", Value: 5, OpID: test.op})
			wants(t, "Submit", err, test.want)
			shows(t, r.At(edge.Add(-time.Second)), test.first)
			shows(t, r.At(edge), "0:")
			shows(t, r.In(AllTime), test.first)
		})
	}
}

// The clock is set all the time: a call gives up.
func TestClockBeingSet(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	rdb := s.Client(t)
	r := newBoard(t, rdb, Options{Periods: []Period{Every(time.Hour)}})
	n := 0
	now := time.Now()
	rdb.AddHook(before{func() {
		n++
		s.Mini().SetTime(now.Add(time.Duration(n) * 2 * time.Hour))
	}})
	_, err := r.Submit(t.Context(), Score{Member: "a"})
	wants(t, "Submit", err, ErrUnavailable)
	_, err = r.Range(t.Context(), 0, 1)
	wants(t, "Range", err, ErrUnavailable)
	_, err = r.Remove(t.Context(), "a")
	wants(t, "Remove", err, ErrUnavailable)
}

// before does something before each script.
type before struct{ f func() }

func (h before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			h.f()
		}
		return next(ctx, cmd)
	}
}

func (h before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Views of what is no period are errors of every call.
func TestWrongViews(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	r := newBoard(t, s.Client(t), Options{Periods: []Period{AllTime, Daily}})
	for name, test := range map[string]struct {
		view *Redis
		want error
	}{
		"In":                     {r.In(Weekly), errPeriod},
		"In.At":                  {r.In(Weekly).At(time.Now()), errPeriod},
		"In.In":                  {r.In(Weekly).In(Daily), errPeriod},
		"At of AllTime":          {r.At(time.Now()), errEnds},
		"Previous of AllTime":    {r.Previous(1), errEnds},
		"Previous of the future": {r.In(Daily).Previous(-1), errBack},
	} {
		_, err := test.view.Submit(t.Context(), Score{Member: "a"})
		_, err2 := test.view.Get(t.Context(), "a")
		_, err3 := test.view.Remove(t.Context(), "a")
		var err4 error
		for _, err4 = range test.view.All(t.Context()) {
		}
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, test.want) {
				t.Errorf("a call on %s = %v, want %v", name, err, test.want)
			}
		}
	}
	shows(t, r.In(Daily).Previous(0), "0:")
}

package leaderboard

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// allKeys are those of all current periods, of the op ids and of the mark.
func allKeys(r *Redis) []string {
	of := []string{r.key("o"), r.key("h")}
	for _, p := range r.o.periods {
		of = r.keysOf(of, p, p.at(time.Now().UnixMicro()))
	}
	return of
}

// stored is all that is under some keys.
func stored(t *testing.T, s *redistest.Server, rdb redis.UniversalClient, of []string) map[string]string {
	t.Helper()
	send := func(how func(key string) []any) (replies []string) {
		cmds, _ := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for _, key := range of {
				p.Do(t.Context(), how(key)...)
			}
			return nil
		})
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
				t.Fatalf("%v = %v", cmd.Args(), err)
			}
			replies = append(replies, fmt.Sprint(cmd.(*redis.Cmd).Val()))
		}
		return replies
	}
	kinds, all := make(map[string]string), make(map[string]string)
	for i, kind := range send(func(key string) []any { return []any{"type", key} }) {
		kinds[of[i]] = kind
	}
	for i, what := range send(func(key string) []any {
		switch kinds[key] {
		case "zset":
			return []any{"zrange", key, 0, -1, "withscores"}
		case "hash":
			return []any{"hgetall", key}
		case "list":
			return []any{"lrange", key, 0, -1}
		}
		return []any{"get", key}
	}) {
		all[of[i]] = kinds[of[i]] + what
	}
	if s.Topology() == redistest.Miniredis { // whose clock goes on by itself
		return all
	}
	for i, at := range send(func(key string) []any { return []any{"pexpiretime", key} }) {
		all[of[i]] += at
	}
	return all
}

// A key of a board is of another type: what would change it stores nothing at all.
func TestForeignTypes(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		window := Rolling(time.Hour)
		rdb := s.Client(t)
		r := newBoard(t, rdb, Options{Periods: []Period{AllTime, window}, Ranking: Dense, Meta: 5, Mode: Last})
		of := allKeys(r)
		for _, key := range of {
			if err := rdb.Del(t.Context(), of...).Err(); err != nil {
				t.Fatal(err)
			}
			submits(t, r, Score{Member: "a", Value: 1, Meta: []byte("m")}, Score{Member: "b", Value: 2})
			_, err := rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				p.ZAdd(t.Context(), of[8], redis.Z{Score: 1, Member: "a"}) // something to retire
				p.Del(t.Context(), key)
				return p.RPush(t.Context(), key, "x").Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			before := stored(t, s, rdb, of)
			same := func(call string, err error) {
				t.Helper()
				if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
					t.Errorf("%s with a list at %q = %v", call, key, err)
				}
				if after := stored(t, s, rdb, of); !maps.Equal(before, after) {
					t.Errorf("%s with a list at %q: there was %q, and is %q", call, key, before, after)
				}
			}
			_, err = r.Submit(t.Context(), Score{Member: "a", Value: 5, Meta: []byte("x"), OpID: "1"})
			same("Submit", err)
			if key == r.key("o") {
				continue
			}
			_, err = r.Remove(t.Context(), "b")
			same("Remove", err)
			if strings.Contains(key, ".r1h") {
				_, err = r.In(window).Range(t.Context(), 0, 1)
				same("Range", err)
			}
		}
	})
}

// A server without memory refuses a submission as a whole, and still answers, also what
// has something to retire.
func TestOutOfMemory(t *testing.T) {
	redistest.EachPrivate(t, redistest.Quick(redistest.Standalone), func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for _, mode := range []Mode{Best, Last, Sum} {
			r := newBoard(t, rdb, Options{Periods: []Period{Rolling(time.Hour), AllTime}, Ranking: Dense, Meta: 5, Mode: mode, Cap: 3})
			of := r.keysOf(nil, r.o.periods[0], span{})
			submits(t, r, Score{Member: "a", Value: 1, Meta: []byte("m")}, Score{Member: "b", Value: 2}, Score{Member: "c", Value: 3})
			for _, score := range []Score{{Member: "d", Value: 9, Meta: []byte("x"), OpID: "1"}, {Member: "a", Value: 9, Meta: []byte{}}, {Member: "d", Value: -9}} {
				before := stored(t, s, rdb, allKeys(r))
				s.Do(t, "config", "set", "maxmemory", "1")
				_, err := r.Submit(t.Context(), score)
				s.Do(t, "config", "set", "maxmemory", "0")
				if !redis.IsOOMError(err) || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnavailable) {
					t.Errorf("Submit(%+v) without memory = %v", score, err)
				}
				if after := stored(t, s, rdb, allKeys(r)); !maps.Equal(before, after) {
					t.Errorf("there was %q, and is %q", before, after)
				}
			}
			// Of a there is something left, b has expired.
			now := time.Now().UnixMicro()
			s.Do(t, "zadd", of[3], "1", "a", "1", "b")
			s.Do(t, "hset", of[4], "b", "1:1", "a", fmt.Sprintf("1:1;%d:-1", now))
			s.Do(t, "config", "set", "maxmemory", "1")
			shows(t, r, "2: 1 c=3 2 a=1(m)")
			n, err := r.Remove(t.Context(), "c")
			s.Do(t, "config", "set", "maxmemory", "0")
			if n != 1 || err != nil {
				t.Errorf("Remove without memory = %d, %v", n, err)
			}
			shows(t, r, "1: 1 a=1(m)")
			// A script that retires something may write whatever else it has to.
			s.Do(t, "zadd", of[3], "1", "a")
			s.Do(t, "hset", of[4], "a", "1:1")
			s.Do(t, "config", "set", "maxmemory", "1")
			submits(t, r, Score{Member: "e", Value: 7, Meta: []byte("m"), OpID: "2"})
			s.Do(t, "config", "set", "maxmemory", "0")
			shows(t, r, "1: 1 e=7(m)")
		}
		r := newBoard(t, rdb, Options{Periods: []Period{AllTime, decade}})
		submits(t, r, Score{Member: "a", Value: 1}, Score{Member: "b", Value: 2})
		submits(t, r, Score{Member: "a", Value: 1}) // which is another script
		before := stored(t, s, rdb, allKeys(r))
		s.Do(t, "config", "set", "maxmemory", "1")
		_, err := r.Submit(t.Context(), Score{Member: "a", Value: 9})
		s.Do(t, "config", "set", "maxmemory", "0")
		if after := stored(t, s, rdb, allKeys(r)); !redis.IsOOMError(err) || !maps.Equal(before, after) {
			t.Errorf("Submit without memory = %v; there was %q, and is %q", err, before, after)
		}
	})
}

// The scores of a period are of another type: a submission of one score stores nothing in
// the others.
func TestForeignScores(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for foreign := range 2 {
			r := newBoard(t, rdb, Options{Periods: []Period{AllTime, decade}, Mode: Last})
			submits(t, r, Score{Member: "a", Value: 1})
			of := allKeys(r)
			s.Do(t, "del", of[2+2*foreign])
			s.Do(t, "rpush", of[2+2*foreign], "x")
			before := stored(t, s, rdb, of)
			_, err := r.Submit(t.Context(), Score{Member: "a", Value: 5})
			if after := stored(t, s, rdb, of); err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) || !maps.Equal(before, after) {
				t.Errorf("Submit with a list at %q = %v; there was %q, and is %q", of[2+2*foreign], err, before, after)
			}
		}
	})
}

// Scores that somebody else has set are returned as if they were integers.
func TestRawResults(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		add := func(key string, scores ...any) {
			if err := rdb.Do(t.Context(), append([]any{"zadd", key}, scores...)...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			mode      Mode
			score     string
			submitted int64
			want      Result
		}{
			{Best, "1.5", 1, Result{1, 1, false, 1, 1, 1}},
			{Best, "1.5", 2, Result{1, 2, true, 1, 1, 1}},
			{Best, "1e300", 2, Result{math.MaxInt64, math.MaxInt64, false, 1, 1, 1}},
			{Best, "inf", 2, Result{math.MaxInt64, math.MaxInt64, false, 1, 1, 1}},
			{Best, "-inf", 2, Result{math.MinInt64, 2, true, 1, 1, 1}},
			{Last, "inf", 2, Result{math.MaxInt64, 2, true, 1, 1, 1}},
			{Sum, "-1.5", 4, Result{-1, 2, true, 1, 1, 1}},
		} {
			if strings.Contains(test.score, "inf") && s.Topology() == redistest.Miniredis {
				continue // which counts those from (inf on
			}
			for _, ascending := range []bool{false, true} {
				if ascending && test.mode == Best {
					continue
				}
				r := newBoard(t, rdb, Options{Raw: true, Mode: test.mode, Ascending: ascending})
				add(r.name, test.score, "a")
				if got := submits(t, r, Score{Member: "a", Value: test.submitted})[0]; got != test.want {
					t.Errorf("mode %d: Submit(%d) to %s = %+v, want %+v", test.mode, test.submitted, test.score, got, test.want)
				}
			}
		}
		r := newBoard(t, rdb, Options{Raw: true, Mode: Sum})
		add(r.name, "inf", "a", "-inf", "b")
		for _, member := range []string{"a", "b"} {
			_, err := r.Submit(t.Context(), Score{Member: member, Value: 1})
			wants(t, "Submit of what cannot be added", err, ErrScoreRange)
		}
	})
}

// Between what somebody else has set there are percentiles too, in order.
func TestRawPercentiles(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		for _, ascending := range []bool{false, true} {
			r := newBoard(t, s.Client(t), Options{Raw: true, Ascending: ascending})
			s.Do(t, "zadd", r.name, "inf", "a", "-inf", "b")
			want := []int64{math.MinInt64, math.MinInt64 / 2, 0, math.MaxInt64/2 + 1, math.MaxInt64}
			if ascending {
				slices.Reverse(want)
			}
			for i, want := range want {
				if got, err := r.ScoreAt(t.Context(), float64(25*i)); got != want || err != nil {
					t.Errorf("ascending %v: ScoreAt(%d) = %d, %v, want %d", ascending, 25*i, got, err, want)
				}
			}
		}
	})
}

// An empty board answers everything.
func TestEmpty(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		for _, opts := range []Options{{}, {Ascending: true, Ranking: Dense}, {Raw: true, Ranking: Ordinal}, {Periods: []Period{Rolling(time.Hour)}}} {
			r := newBoard(t, rdb, opts)
			for _, percentile := range []float64{0, 1e-300, 50, 99.9, 100} {
				_, err := r.ScoreAt(t.Context(), percentile)
				wants(t, fmt.Sprintf("%+v: ScoreAt(%v)", opts, percentile), err, ErrNotFound)
			}
			_, err := r.Around(t.Context(), "a", 5)
			wants(t, "Around", err, ErrNotFound)
			if rank, err := r.RankOf(t.Context(), 0); rank != 1 || err != nil {
				t.Errorf("%+v: RankOf = %d, %v, want 1", opts, rank, err)
			}
			if p, err := r.Between(t.Context(), -5, 5, 0, 5); p.Total != 0 || len(p.Entries) != 0 || err != nil {
				t.Errorf("%+v: Between = %+v, %v", opts, p, err)
			}
			for e, err := range r.All(t.Context()) {
				t.Errorf("%+v: All has %+v, %v", opts, e, err)
			}
			shows(t, r, "0:")
		}
	})
}

// The largest offsets there are, and values between which there is nothing.
func TestFarPages(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, ascending := range []bool{false, true} {
			r := newBoard(t, s.Client(t), Options{Raw: true, Ascending: ascending})
			s.Do(t, "zadd", r.name, "0.5", "half", "3", "three")
			for _, offset := range []int{2, 1e9, math.MaxInt - 1, math.MaxInt} {
				for _, n := range []int{0, 1, most} {
					if p, err := r.Range(t.Context(), offset, n); err != nil || p.Total != 2 || len(p.Entries) != 0 {
						t.Errorf("Range(%d, %d) = %+v, %v", offset, n, p, err)
					}
					if p, err := r.Between(t.Context(), 1, 5, offset, n); err != nil || p.Total != 1 || len(p.Entries) != 0 {
						t.Errorf("Between(1, 5, %d, %d) = %+v, %v", offset, n, p, err)
					}
				}
			}
			for _, none := range [][2]int64{{1, 0}, {5, -5}, {math.MaxInt64, math.MinInt64}, {4, 9}} {
				if p, err := r.Between(t.Context(), none[0], none[1], 0, 5); err != nil || p.Total != 0 || len(p.Entries) != 0 {
					t.Errorf("Between(%d, %d) = %+v, %v, want nothing", none[0], none[1], p, err)
				}
			}
			if w := ask(Handler(r, nil), "GET", "/page?offset=9223372036854775807"); w.Code != 200 {
				t.Errorf("the page from %d on = %d %s", math.MaxInt, w.Code, w.Body)
			}
		}
	})
}

// An OpID is that of another submission after an hour, and not before.
func TestOpIDForAnHour(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum})
		score := Score{Member: "a", Value: 1, OpID: "1"}
		submits(t, r, score)
		time.Sleep(59 * time.Minute)
		submits(t, r, score, Score{Member: "b", Value: 1, OpID: "2"})
		shows(t, r, "2: 1 a=1 1 b=1")
		time.Sleep(2 * time.Minute)
		submits(t, r, score, score)
		shows(t, r, "2: 1 a=2 2 b=1")
		time.Sleep(58*time.Minute + 30*time.Second)
		submits(t, r, score)
		shows(t, r, "2: 1 a=2 2 b=1")
		submits(t, r, Score{Member: "b", OpID: "3"})
		if n := s.Do(t, "zcard", r.key("o")); n != int64(2) { // that of an hour and a half ago has gone
			t.Errorf("%v op ids are remembered, want 2", n)
		}
	})
}

// Whoever has expired is not removed, also if nobody has noticed it yet.
func TestRemoveExpired(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Hour)}, Ranking: Dense})
		submits(t, r, Score{Member: "a", Value: 1}, Score{Member: "b", Value: 1})
		time.Sleep(2 * time.Hour)
		submits(t, r, Score{Member: "b", Value: 1})
		time.Sleep(22*time.Hour + time.Minute)
		if n, err := r.Remove(t.Context(), "a", "b"); n != 1 || err != nil {
			t.Errorf("Remove = %d, %v, want the one that was still there", n, err)
		}
	})
}

// What is in a window when the last of a value changes or goes by a read has an expiry,
// and nothing stays behind.
func TestRetiredByReads(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		for _, gone := range []string{"", "z", "m", "d", "e", "w"} { // a key that was evicted
			r := newBoard(t, s.Client(t), Options{Mode: Sum, Periods: []Period{Rolling(24 * time.Hour)}, Ranking: Dense, Meta: 5})
			submits(t, r, Score{Member: "a", Value: 5, Meta: []byte("x")})
			time.Sleep(4 * time.Hour)
			submits(t, r, Score{Member: "a", Value: 3})
			time.Sleep(21 * time.Hour)
			if gone != "" {
				s.Do(t, "del", r.key(gone+".d32x.r24h0m0s"))
			}
			if _, err := r.Range(t.Context(), 0, 1); err != nil {
				t.Errorf("without %q: Range = %v", gone, err)
			}
			if gone == "" {
				shows(t, r, "1: 1 a=3(x)")
			}
			for _, key := range s.Keys(t, r.o.Prefix) {
				if ttl := s.Do(t, "pttl", key).(int64); ttl < 0 {
					t.Errorf("without %q: the key %q has no expiry", gone, key)
				}
			}
			if gone != "" && gone != "m" {
				continue
			}
			if rank, err := r.RankOf(t.Context(), 2); rank != 2 || err != nil {
				t.Errorf("without %q: RankOf = %d, %v, want 2", gone, rank, err)
			}
		}
	})
}

// The lag is that of the windows, whatever else is read.
func TestLagOfOthers(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{Periods: []Period{Rolling(24 * time.Hour), AllTime}})
		for i := range 3 {
			var scores []Score
			for j := range 100 {
				scores = append(scores, Score{Member: fmt.Sprint(i, j)})
			}
			submits(t, r, scores...)
		}
		time.Sleep(24*time.Hour + time.Minute)
		for _, board := range []*Redis{r, r.In(AllTime)} {
			if _, err := board.Range(t.Context(), 0, 1); err != nil || r.Stats().Lag != 250 {
				t.Errorf("the lag is %d, %v, want 250", r.Stats().Lag, err)
			}
		}
		submits(t, r.In(AllTime), Score{Member: "a"})
		if r.Stats().Lag != 250 {
			t.Errorf("the lag is %d, want 250", r.Stats().Lag)
		}
	})
}

// The clock is set back: what is in a window goes on from the time that there was, and
// expires by the right one.
func TestWindowSetBack(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{Best: "1: 1 a=7", Last: "1: 1 a=5", Sum: "1: 1 a=12"} {
		s := redistest.Private(t, redistest.Miniredis)
		edge := time.Now().Truncate(24 * time.Hour)
		r := newBoard(t, s.Client(t), Options{Mode: mode, Periods: []Period{Rolling(24 * time.Hour)}})
		s.Mini().SetTime(edge.Add(10 * time.Minute))
		submits(t, r, Score{Member: "a", Value: 7})
		s.Mini().SetTime(edge.Add(-50 * time.Minute))
		submits(t, r, Score{Member: "a", Value: 5})
		shows(t, r, want)
		s.Mini().SetTime(edge.Add(24*time.Hour - time.Minute))
		shows(t, r, want)
		s.Mini().SetTime(edge.Add(24*time.Hour + time.Minute))
		shows(t, r, "0:")
		if left := s.Keys(t, r.o.Prefix+":w"); len(left) > 0 {
			t.Errorf("the keys %q are left", left)
		}
	}
}

// However many periods one goes back, it does not take long.
func TestFarBack(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	for _, p := range []Period{Daily, Weekly, Monthly, Every(time.Second), Every(maxPeriod)} {
		r := newBoard(t, s.Client(t), Options{Periods: []Period{p}})
		for _, n := range []int{1e6, math.MaxInt} {
			shows(t, r.Previous(n), "0:")
			_, err := r.Previous(n).Submit(t.Context(), Score{Member: "a"})
			wants(t, fmt.Sprintf("Submit %d %q back", n, p), err, ErrSealed)
		}
		for _, at := range []time.Time{{}, time.Unix(1<<40, 0)} {
			if at.IsZero() {
				_, err := r.At(at).Submit(t.Context(), Score{Member: "a"})
				wants(t, fmt.Sprintf("Submit to %q of the year 1", p), err, ErrSealed)
			}
			shows(t, r.At(at), "0:")
		}
	}
}

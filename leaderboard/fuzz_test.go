package leaderboard

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// Whatever a member has in a window, no script fails, and what it was given since counts.
func FuzzWindow(f *testing.F) {
	for mode := range uint8(3) {
		for _, v := range []string{"", ";", "1:2", "1795791380986000:5;1795791380986000:-5", "99999999999999999999:1", "9:99999999999999999999", ":", "-1:-1", "1:1;1:1;1:1"} {
			f.Add(mode, v, "1")
		}
	}
	s := redistest.Mini(f)
	rdb := s.Client(f).(*redis.Client)
	f.Fuzz(func(t *testing.T, mode uint8, value, score string) {
		r := newBoard(t, rdb, Options{Mode: Mode(mode % 3), Ranking: Dense, Periods: []Period{Rolling(time.Hour)}})
		of := r.keysOf(nil, r.o.periods[0], span{})
		rdb.HSet(t.Context(), of[4], "a", value)
		rdb.ZAdd(t.Context(), of[3], redis.Z{Score: 1, Member: "a"})
		rdb.Do(t.Context(), "zadd", of[0], score, "a")
		if _, err := r.Range(t.Context(), 0, 10); err != nil {
			t.Fatalf("Range with %q = %v", value, err)
		}
		submits(t, r, Score{Member: "b", Value: 3})
		if p, err := r.Get(t.Context(), "b"); err != nil || len(p.Entries) != 1 || p.Entries[0].Value != 3 {
			t.Fatalf("Get with %q = %+v, %v", value, p, err)
		}
		if _, err := r.Remove(t.Context(), "a", "b"); err != nil {
			t.Fatalf("Remove with %q = %v", value, err)
		}
		if err := rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	})
}

// What a script replies is read without surprises, whatever it is.
func FuzzReply(f *testing.F) {
	f.Add("5 6 1 0 1 0 1", "1.5", int64(1), int64(0))
	f.Add("", "nan", int64(-1), int64(-1))
	f.Add("1 2", "x", int64(1<<62), int64(1<<62))
	r := newBoard(f, redistest.Mini(f).Client(f), Options{Ranking: Dense, Prefix: "p"})
	f.Fuzz(func(_ *testing.T, text, score string, a, b int64) {
		for _, v := range []any{nil, text, score, a, []any{}, []any{text, score}, []any{a, b}, []any{score, score, text, score}} {
			r.rows([]any{a, b, v, v})
			r.rows([]any{v, a, v, nil})
			r.found([]string{"x", "y"}, []any{v, []any{a, b}, v})
			r.found([]string{"x", "y"}, []any{[]any{score, score}, []any{a, v}, []any{text}})
			_, _ = r.results(make([]Score, 1), []any{a, v})
			r.interpolate([]any{v, []any{text, score}})
			one([]any{v})
			r.o.value(v)
		}
	})
}

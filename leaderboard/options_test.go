package leaderboard

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// What is wrong with a name or an option is said by New and NewMemory, with its name.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{})
	defer rdb.Close()
	for field, opts := range map[string]Options{
		"Prefix":      {Prefix: "a b"},
		"Mode":        {Mode: 3},
		"Ranking":     {Ranking: 3},
		"Dense":       {Ranking: Dense, Raw: true},
		"Periods are": {Raw: true, Periods: []Period{Daily}},
		"WeekStart":   {WeekStart: 7},
		"MaxScore is": {MaxScore: -1},
		"MaxScore":    {MaxScore: 1 << 52},
		"more than a": {MaxScore: 1 << 53, Raw: true},
		"Retain":      {Retain: 10*366*day + 1},
		"Grace":       {Grace: 25 * time.Hour, Periods: []Period{Weekly, Daily}},
		"Periods[0]":  {Periods: []Period{"hourly"}},
		"Periods[1]":  {Periods: []Period{Daily, Every(time.Millisecond)}},
		"whole":       {Periods: []Period{Every(1500 * time.Millisecond)}},
		"10 years":    {Periods: []Period{Rolling(10*366*day + time.Second)}},
		"unknown":     {Periods: []Period{"each 1h"}},
		"twice":       {Periods: []Period{Every(time.Hour), "every 60m"}},
		"than 8":      {Periods: make([]Period, 9)},
	} {
		_, err := New(rdb, "x", &opts)
		_, err2 := NewMemory(&opts)
		if err == nil || err2 == nil || !strings.Contains(err.Error(), field) || err.Error() != err2.Error() {
			t.Errorf("%s: New = %v, NewMemory = %v", field, err, err2)
		}
	}
	if _, err := New(rdb, "", nil); err == nil {
		t.Error("New without a name = nil, want an error")
	}
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	if _, err := New(ring, "x", nil); err == nil {
		t.Error("New on a Ring = nil, want an error")
	}
}

// The most that options may be, and what they are when they are left out.
func TestSettings(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{
		"Mode and Ranking": {Mode: Sum, Ranking: Ordinal},
		"WeekStart":        {WeekStart: time.Saturday},
		"MaxScore":         {MaxScore: 1<<52 - 1},
		"MaxScore of Raw":  {MaxScore: 1<<53 - 1, Raw: true},
		"Retain":           {Retain: 10 * 366 * day},
		"Grace":            {Grace: day, Periods: []Period{Weekly, Daily}},
		"Every":            {Periods: []Period{Every(time.Second)}},
		"Rolling":          {Periods: []Period{Rolling(10 * 366 * day)}},
		"Periods":          {Periods: []Period{AllTime, Daily, Weekly, Monthly, Every(day), Every(time.Hour), Rolling(day), Rolling(time.Hour)}},
	} {
		if _, err := newSettings(&opts); err != nil {
			t.Errorf("the most %s may be is an error: %v", name, err)
		}
	}
	for timeout, want := range map[time.Duration]time.Duration{0: time.Second, 1: 1, time.Minute: time.Minute, -1: unbounded} {
		if s, err := newSettings(&Options{Timeout: timeout}); err != nil || s.Timeout != want {
			t.Errorf("Timeout %v is %v, %v, want %v", timeout, s.Timeout, err, want)
		}
	}
	if unbounded < 250*365*day {
		t.Errorf("unbounded is %v", unbounded)
	}
	s, err := newSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Prefix != "leaderboard" || s.MaxScore != 2_145_386_495 || s.Location != time.UTC || len(s.Periods) != 1 || s.Periods[0] != AllTime || s.timed {
		t.Errorf("the defaults are %+v", s.Options)
	}
	if s, err = newSettings(&Options{Grace: -1, Cap: -1, Meta: -1}); err != nil || s.Grace != 0 || s.Cap != 0 || s.Meta != 0 {
		t.Errorf("Grace, Cap and Meta that are negative are %v, %d, %d, %v, want none", s.Grace, s.Cap, s.Meta, err)
	}
	if s, err = newSettings(&Options{Raw: true}); err != nil || s.MaxScore != 9_007_199_254_740_991 {
		t.Errorf("MaxScore of Raw is %d, %v", s.MaxScore, err)
	}
}

// Options are copied, and a board shares nothing with another form of it.
func TestOptionsApart(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	s.Mini().SetTime(time.Now().Truncate(24 * time.Hour).Add(12 * time.Hour)) // at noon
	rdb := s.Client(t)
	periods := []Period{Daily, AllTime}
	r := newBoard(t, rdb, Options{Periods: periods})
	periods[0] = Weekly
	submits(t, r, Score{Member: "a", Value: 1})
	shows(t, r.In(Daily), "1: 1 a=1")
	for name, opts := range map[string]Options{
		"Ascending": {Ascending: true}, "MaxScore": {MaxScore: 5}, "Dense": {Ranking: Dense},
		"Location": {Location: time.FixedZone("east", 3600)},
	} {
		opts.Prefix, opts.Periods = r.o.Prefix, []Period{Daily, AllTime}
		other := newBoard(t, rdb, opts)
		shows(t, other, "0:")
		submits(t, other, Score{Member: "b", Value: 2})
		if name != "Location" {
			shows(t, other.In(AllTime), "1: 1 b=2")
		}
	}
	shows(t, r, "1: 1 a=1")
	for _, raw := range []bool{false, true} { // names that are like another's keys
		first, err := New(rdb, "n", &Options{Raw: raw})
		if err != nil {
			t.Fatal(err)
		}
		submits(t, first, Score{Member: "a"})
		for _, name := range []string{"}", "{", "%", "n}", "{n}", "a b", "\x00", "{n}x"} {
			other, err := New(rdb, name, &Options{Raw: raw})
			if err != nil {
				if !raw {
					t.Errorf("New(%q) = %v", name, err)
				}
				continue
			}
			shows(t, other, "0:")
		}
	}
	if got := newBoard(t, rdb, Options{Periods: []Period{Weekly, Daily}}).In(Daily).TieUnit(); got != 44*time.Microsecond {
		t.Errorf("TieUnit of Daily = %v, want 44µs", got)
	}
}

// The counts of Stats.
func TestStats(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		r := newBoard(t, s.Client(t), Options{})
		submits(t, r, Score{Member: "a", Value: 2, OpID: "1"}, Score{Member: "a", Value: 1}, Score{Member: "b", Value: 1, OpID: "1"})
		shows(t, r, "1: 1 a=2")
		if n, err := r.Remove(t.Context(), "a", "b"); n != 1 || err != nil {
			t.Errorf("Remove = %d, %v, want 1", n, err)
		}
		want := Stats{Submitted: 2, Changed: 1, Duplicates: 1, Reads: 1, Removed: 1}
		if got := r.Stats(); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	})
}

package ratelimit

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// What is wrong with a limit, or an option, is said by the name of the field.
func TestInvalid(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	ok := PerSecond(1)
	for _, c := range []struct {
		limit Limit
		opts  Options
		want  string
	}{
		{Limit{}, Options{}, "limit.Quota is not positive"},
		{Limit{Quota: -1, Period: time.Second}, Options{}, "limit.Quota is not positive"},
		{Limit{Quota: 1}, Options{}, "limit.Period is not positive"},
		{Limit{Quota: 1, Period: -1}, Options{}, "limit.Period is not positive"},
		{Limit{Quota: 1, Period: 1500}, Options{}, "limit.Period is not in whole microseconds"},
		{Limit{Quota: 1, Period: 101 * 365 * 24 * time.Hour}, Options{}, "limit.Period is longer than 100 years"},
		{Limit{Quota: 1, Period: time.Second, Burst: -1}, Options{}, "limit.Burst is negative"},
		{Limit{Quota: 1, Period: 365 * 24 * time.Hour, Burst: 101}, Options{}, "limit.Burst × Period ÷ Quota is longer than 100 years"},
		{Limit{Quota: 1, Period: time.Second, Burst: math.MaxInt}, Options{}, "limit.Burst"},
		{Limit{Quota: math.MaxInt, Period: time.Second}, Options{}, "limit.Quota is more than"},
		{Limit{Quota: 1<<31 - 1, Period: 7 * time.Second}, Options{}, "limit.Quota and Period make a rate that cannot be counted exactly"},
		{Limit{Quota: 99999989, Period: time.Second}, Options{}, "limit.Burst is too large to be counted exactly"},
		{Limit{Quota: 1, Period: time.Second, Burst: 1, Algorithm: SlidingLog}, Options{}, "limit.Burst is for a TokenBucket only"},
		{Limit{Quota: 1, Period: time.Second, Location: time.UTC}, Options{}, "limit.Location is for a FixedWindow only"},
		{Limit{Quota: 1_000_001, Period: time.Second, Algorithm: SlidingLog}, Options{}, "limit.Quota is more than a million"},
		{Limit{Quota: min(1<<40, math.MaxInt), Period: time.Hour + time.Microsecond, Algorithm: SlidingWindow}, Options{}, "limit.Quota × Period is too large"},
		{Limit{Quota: 1, Period: time.Second, Algorithm: 9}, Options{}, "limit.Algorithm is unknown"},
		{Limit{Name: "a b", Quota: 1, Period: time.Second}, Options{}, "limit.Name is not printable"},
		{Limit{Name: "a:b", Quota: 1, Period: time.Second}, Options{}, "limit.Name is not printable"},
		{Limit{Name: "é", Quota: 1, Period: time.Second}, Options{}, "limit.Name is not printable"},
		{ok, Options{Also: []Limit{PerHour(1), {}}}, "Options.Also[1].Quota is not positive"},
		{ok, Options{Also: []Limit{{Name: "x", Quota: 1, Period: 1e9}, {Name: "x", Quota: 2, Period: 1e9}}}, `Options.Also[1].Name is "x", as that of another limit`},
		{ok, Options{Also: []Limit{PerHour(1), PerHour(2)}}, `Options.Also[1].Name is "test-1h"`},
		{ok, Options{Prefix: "a{"}, "Options.Prefix contains '{'"},
		{ok, Options{OnUnavailable: 3}, "Options.OnUnavailable is unknown"},
		{ok, Options{Instances: -1}, "Options.Instances is negative"},
	} {
		_, err := New(rdb, "test", c.limit, &c.opts)
		if err == nil || !strings.HasPrefix(err.Error(), "ratelimit: "+c.want) {
			t.Errorf("New(%+v, %+v) = %v, want %q", c.limit, c.opts, err, c.want)
		}
	}
	for _, name := range []string{"", "a b", "a{", `a"`, "é"} {
		if _, err := New(rdb, name, ok, nil); err == nil || !strings.HasPrefix(err.Error(), "ratelimit: name is ") {
			t.Errorf("New(name %q) = %v, want an error about the name", name, err)
		}
	}
	if _, err := New(nil, "test", ok, nil); err == nil {
		t.Error("New without a client succeeded")
	}
}

// Limits that are large in every way, but can be counted exactly.
func TestValidExtremes(t *testing.T) {
	t.Parallel()
	for _, l := range []Limit{
		{Quota: 1, Period: 100 * 365 * 24 * time.Hour},
		{Quota: 1_000_000_000, Period: time.Second},
		{Quota: 999_983, Period: 24 * time.Hour},
		{Quota: 60_000_000, Period: time.Minute, Burst: 1_000_000_000},
		{Quota: 1, Period: time.Microsecond},
		{Quota: min(1<<50, math.MaxInt), Period: time.Second, Algorithm: FixedWindow},
		{Quota: min(1<<40, math.MaxInt), Period: time.Hour, Algorithm: SlidingWindow},
		{Quota: 1_000_000, Period: 24 * time.Hour, Algorithm: SlidingLog},
	} {
		m, err := NewMemory(l, nil)
		if err != nil {
			t.Errorf("%+v: %v", l, err)
			continue
		}
		r, err := m.AllowN(t.Context(), "k", int(m.plans.own.capacity))
		if err != nil || !r.Allowed || r.Remaining > l.Quota/1000 {
			t.Errorf("%+v: AllowN(all) = %+v, %v", l, r, err)
		}
	}
}

// The names of limits, which headers show, and the keys.
func TestNames(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	r, err := New(rdb, "api", PerSecond(10), &Options{
		Also: []Limit{PerHour(1000), {Name: "daily", Quota: 1, Period: 24 * time.Hour, Algorithm: FixedWindow}, {Quota: 3, Period: 90 * time.Minute, Algorithm: SlidingLog}},
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := r.plans.own.keys(r.o.keys, "ada")
	for i, want := range []struct{ name, key string }{
		{"api", "ratelimit:api:t:{ada}"},
		{"api-1h", "ratelimit:api:t.api-1h:{ada}"},
		{"daily", "ratelimit:api:f.daily:{ada}"},
		{"api-1h30m", "ratelimit:api:l.api-1h30m:{ada}"},
	} {
		if got := r.plans.own.limits[i].Name; got != want.name {
			t.Errorf("limit %d is named %q, want %q", i, got, want.name)
		}
		if keys[i] != want.key {
			t.Errorf("the key of limit %d is %q, want %q", i, keys[i], want.key)
		}
	}
	if b := r.plans.own.limits[0].Burst; b != 10 {
		t.Errorf("the Burst in results is %d, want 10", b)
	}
}

// LimitFor is asked for every key, and its plans are kept within bounds.
func TestLimitFor(t *testing.T) {
	t.Parallel()
	m, err := NewMemory(PerSecond(1), &Options{LimitFor: func(_ context.Context, key string) ([]Limit, error) {
		switch {
		case key == "paid":
			return []Limit{PerSecond(5), PerHour(7)}, nil
		case key == "none":
			return nil, nil
		case key == "bad":
			return []Limit{{}}, nil
		case key == "down":
			return nil, context.DeadlineExceeded
		}
		return []Limit{{Quota: len(key), Period: time.Hour}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	allows(t, m, "none", 1, true)
	allows(t, m, "none", 1, false)
	allows(t, m, "paid", 5, true)
	if r := allows(t, m, "paid", 5, false); r.Limit.Quota != 7 || r.Remaining != 0 {
		t.Errorf("AllowN = %+v, want a denial of the hourly limit", r)
	}
	if _, err := m.Allow(t.Context(), "bad"); err == nil || !strings.Contains(err.Error(), "Options.LimitFor: limit.Quota") {
		t.Errorf("Allow = %v, want an error of LimitFor", err)
	}
	if _, err := m.Allow(t.Context(), "down"); err == nil || !strings.HasSuffix(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("Allow = %v, want the error of LimitFor", err)
	}
	for i := range 2 * maxPlans {
		allows(t, m, strings.Repeat("x", i+1), i+1, true)
	}
	if m.plans.n > maxPlans || len(m.plans.kept) > maxPlans {
		t.Errorf("%d plans are kept, want at most %d", m.plans.n, maxPlans)
	}
}

// Names that are valid for one process are for several, which have shares of the
// limits; and a name that was made of a Period is one for keys and headers.
func TestNamesOfShares(t *testing.T) {
	rdb := redistest.Mini(t).Client(t)
	also := []Limit{{Quota: 5, Period: 500 * time.Microsecond}, {Name: "named", Quota: 5, Period: time.Hour}}
	for _, name := range []string{"api", "api:v1"} {
		for _, instances := range []int{1, 3} {
			r, err := New(rdb, name, PerSecond(10), &Options{Also: also, Instances: instances})
			if err != nil {
				t.Errorf("New(%q) for %d instances = %v", name, instances, err)
				continue
			}
			if got, want := r.plans.own.limits[1].Name, name+"-500us"; got != want {
				t.Errorf("a limit without a name is %q, want %q", got, want)
			}
		}
	}
}

// A panic of LimitFor is the caller's, and leaves nothing behind that Close would
// wait for.
func TestLimitForPanics(t *testing.T) {
	r, err := New(redistest.Mini(t).Client(t), "test", PerSecond(1), &Options{
		LimitFor: func(context.Context, string) ([]Limit, error) { panic("no such user") },
	})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if v := recover(); v != "no such user" {
				t.Errorf("the panic is %v", v)
			}
		}()
		_, _ = r.Allow(t.Context(), "k")
	}()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Close(ended); err != nil {
		t.Errorf("Close = %v, want nil: nothing is under way", err)
	}
}

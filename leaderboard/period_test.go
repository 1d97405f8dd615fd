package leaderboard

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata" // not every machine has them
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newTestPeriod(t *testing.T, p Period, o Options) *period {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	parsed, err := newPeriod(p, &o, packingFor(defaultMax))
	if err != nil {
		t.Fatalf("newPeriod(%q) = %v", p, err)
	}
	return parsed
}

// Where a period begins and ends, in places where clocks are changed.
func TestPeriods(t *testing.T) {
	for _, test := range []struct {
		where      string
		p          Period
		week       time.Weekday
		at         string // in UTC
		start, end string
	}{
		{"UTC", Daily, 0, "2026-01-31T23:59:59Z", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"},
		{"UTC", Weekly, time.Sunday, "2026-11-28T12:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"UTC", Weekly, time.Monday, "2026-11-29T12:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"UTC", Weekly, time.Saturday, "2026-11-28T00:00:00Z", "2026-11-28T00:00:00Z", "2026-12-05T00:00:00Z"},
		{"UTC", Monthly, 0, "2024-02-29T23:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"UTC", Monthly, 0, "2026-12-31T23:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"UTC", Every(90 * time.Minute), 0, "2026-01-01T01:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"},
		{"Asia/Kolkata", Every(time.Hour), 0, "2026-01-01T01:10:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"},
		{"UTC", Every(time.Minute), 0, "1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"},
		// 23 and 25 hours.
		{"Europe/Berlin", Daily, 0, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"Europe/Berlin", Daily, 0, "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"America/New_York", Weekly, time.Sunday, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-08T05:00:00Z"},
		{"America/New_York", Monthly, 0, "2026-03-15T12:00:00Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"},
		// Midnight is skipped: 00:00 is 01:00.
		{"America/Sao_Paulo", Daily, 0, "2018-11-04T02:59:00Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", Daily, 0, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"Asia/Beirut", Daily, 0, "2022-03-26T22:30:00Z", "2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z"},
		// Midnight comes twice: at 01:00 it is 00:00 again; at 24:00 it is 23:00 again.
		{"America/Havana", Daily, 0, "2022-11-06T04:30:00Z", "2022-11-06T04:00:00Z", "2022-11-07T05:00:00Z"},
		{"America/Havana", Daily, 0, "2022-11-06T05:30:00Z", "2022-11-06T04:00:00Z", "2022-11-07T05:00:00Z"},
		{"America/Sao_Paulo", Daily, 0, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"},
		// A day that was not.
		{"Pacific/Apia", Daily, 0, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"Pacific/Apia", Daily, 0, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
	} {
		p := newTestPeriod(t, test.p, Options{Location: zone(t, test.where), WeekStart: test.week})
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		s := p.at(at.UnixMicro())
		text := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339) }
		if text(s.start) != test.start || text(s.end) != test.end {
			t.Errorf("%s of %s in %s is from %s to %s, want %s to %s", test.p, test.at, test.where, text(s.start), text(s.end), test.start, test.end)
		}
	}
}

// Periods follow each other without gap and overlap, everywhere, and times in a score
// suffice for as long again.
func TestPeriodsFollow(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for _, where := range []string{
		"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Asia/Tehran",
		"Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Africa/Cairo", "Atlantic/Azores", "Asia/Gaza",
	} {
		o := Options{Location: zone(t, where), WeekStart: time.Weekday(rng.IntN(7))}
		for _, name := range []Period{Daily, Weekly, Monthly, Every(7 * time.Hour)} {
			p := newTestPeriod(t, name, o)
			for range 500 {
				us := time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() + rng.Int64N(75*366*day.Microseconds())
				s := p.at(us)
				if us < s.start || us >= s.end {
					t.Fatalf("%s in %s: %d is in %+v", name, where, us, s)
				}
				if p.at(s.start) != s || p.at(s.end-1) != s {
					t.Fatalf("%s in %s: %+v begins in %+v and ends in %+v", name, where, s, p.at(s.start), p.at(s.end-1))
				}
				if before, after := p.previous(s, 1), p.at(s.end); before.end != s.start || after.start != s.end {
					t.Fatalf("%s in %s: %+v is between %+v and %+v", name, where, s, before, after)
				}
				length := time.Duration(s.end-s.start) * time.Microsecond
				if last := ((s.end - s.start) + p.longest().Microseconds() - 1) / p.unit; last >= packingFor(defaultMax).times() {
					t.Fatalf("%s in %s: %v and its Grace do not fit in times of %d µs", name, where, length, p.unit)
				}
			}
		}
	}
}

// The units that the documentation prints.
func TestTieUnits(t *testing.T) {
	for name, want := range map[Period]int64{
		AllTime: 1_000_000, Rolling(7 * day): 1_000_000, Monthly: 1251, Weekly: 285, Daily: 44, Every(time.Hour): 2, Every(time.Second): 1,
	} {
		if p := newTestPeriod(t, name, Options{}); p.unit != want {
			t.Errorf("the unit of %q is %d µs, want %d", name, p.unit, want)
		}
	}
	if p := newTestPeriod(t, AllTime, Options{Raw: true}); p.unit != 0 {
		t.Errorf("the unit of plain scores is %d, want none", p.unit)
	}
}

package ratelimit

import (
	"testing"
	"time"
)

// The windows of a calendar are what people expect of it, also when the clock is put
// forward or back.
func TestFixedWindowBounds(t *testing.T) {
	t.Parallel()
	day, hour := 24*time.Hour, time.Hour
	for _, c := range []struct {
		zone   string
		period time.Duration
		at     string
		start  string
		lasts  time.Duration
	}{
		{"UTC", time.Second, "2026-03-01T10:20:30.5Z", "2026-03-01T10:20:30Z", time.Second},
		{"UTC", time.Minute, "2026-03-01T10:20:59.999999Z", "2026-03-01T10:20:00Z", time.Minute},
		{"UTC", hour, "2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z", hour},
		{"UTC", day, "2026-03-01T23:59:59Z", "2026-03-01T00:00:00Z", day},
		{"UTC", 7 * day, "2026-11-27T12:00:00Z", "2026-11-23T00:00:00Z", 7 * day}, // a Monday
		{"UTC", day, "1969-12-31T12:00:00Z", "1969-12-31T00:00:00Z", day},
		{"Asia/Kolkata", hour, "2026-03-01T10:20:00+05:30", "2026-03-01T10:00:00+05:30", hour},
		{"Asia/Kolkata", day, "2026-03-01T10:20:00+05:30", "2026-03-01T00:00:00+05:30", day},
		// Summer time: 02:00 becomes 03:00, and 03:00 becomes 02:00.
		{"Europe/Berlin", day, "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", 23 * hour},
		{"Europe/Berlin", day, "2026-03-29T01:00:00+01:00", "2026-03-29T00:00:00+01:00", 23 * hour},
		{"Europe/Berlin", day, "2026-03-30T01:00:00+02:00", "2026-03-30T00:00:00+02:00", day},
		{"Europe/Berlin", day, "2026-10-25T01:00:00+02:00", "2026-10-25T00:00:00+02:00", 25 * hour},
		{"Europe/Berlin", day, "2026-10-25T23:00:00+01:00", "2026-10-25T00:00:00+02:00", 25 * hour},
		{"Europe/Berlin", 7 * day, "2026-10-25T23:00:00+01:00", "2026-10-19T00:00:00+02:00", 7*day + hour},
		{"Europe/Berlin", hour, "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+02:00", hour},
		{"Europe/Berlin", hour, "2026-10-25T02:30:00+01:00", "2026-10-25T02:00:00+01:00", hour},
		{"Europe/Berlin", hour, "2026-03-29T03:30:00+02:00", "2026-03-29T03:00:00+02:00", hour},
		{"Europe/Berlin", 6 * hour, "2026-03-29T01:00:00+01:00", "2026-03-29T00:00:00+01:00", 5 * hour},
		{"Europe/Berlin", 6 * hour, "2026-10-25T01:00:00+02:00", "2026-10-25T00:00:00+02:00", 7 * hour},
		{"Europe/Berlin", 6 * hour, "2026-03-29T07:00:00+02:00", "2026-03-29T06:00:00+02:00", 6 * hour},
		// Half an hour: 02:00 becomes 01:30, and 02:00 becomes 02:30.
		{"Australia/Lord_Howe", hour, "2026-04-05T01:45:00+11:00", "2026-04-05T01:00:00+11:00", 90 * time.Minute},
		{"Australia/Lord_Howe", hour, "2026-04-05T01:45:00+10:30", "2026-04-05T01:00:00+11:00", 90 * time.Minute},
		{"Australia/Lord_Howe", hour, "2026-10-04T02:45:00+11:00", "2026-10-04T02:30:00+11:00", 30 * time.Minute},
		// Midnight itself is left out: 00:00 becomes 01:00.
		{"Africa/Cairo", day, "2026-04-24T12:00:00+03:00", "2026-04-24T01:00:00+03:00", 23 * hour},
		// A day is left out: Friday 30 December 2011.
		{"Pacific/Apia", day, "2011-12-29T12:00:00-10:00", "2011-12-29T00:00:00-10:00", day},
		{"Pacific/Apia", day, "2011-12-31T12:00:00+14:00", "2011-12-31T00:00:00+14:00", day},
		{"Pacific/Apia", 7 * day, "2011-12-31T12:00:00+14:00", "2011-12-26T00:00:00-10:00", 6 * day},
	} {
		w := newFixedWindow(Limit{Quota: 1, Period: c.period, Location: location(t, c.zone)})
		at, err1 := time.Parse(time.RFC3339Nano, c.at)
		want, err2 := time.Parse(time.RFC3339Nano, c.start)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		start, end := w.bounds(at.UnixMicro())
		if start != want.UnixMicro() || micros(end-start) != c.lasts {
			t.Errorf("%s, %v: the window of %s is from %v and lasts %v, want %s and %v", c.zone, c.period, c.at,
				time.UnixMicro(start).In(w.location), micros(end-start), c.start, c.lasts)
		}
	}
}

// The windows follow each other without gaps, and what a script is told gives the
// same ones.
func TestFixedWindowsFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns"} {
		for _, period := range []time.Duration{7 * time.Minute, 15 * time.Minute, time.Hour, 90 * time.Minute, 5 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 1000 * time.Hour} {
			w := newFixedWindow(Limit{Quota: 1, Period: period, Location: location(t, zone)})
			us := time.Date(2011, 9, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
			until := us + 2*365*24*3600*1_000_000
			pitch := max((until-us)/period.Microseconds()/2000, 1) // look at a part of the short ones
			for us < until {
				start, end := w.bounds(us)
				if start > us || end <= us {
					t.Fatalf("%s, %v: the window of %d is from %d to %d", zone, period, us, start, end)
				}
				for _, at := range []int64{start, (start + end) / 2, end - 1} {
					if s, e := w.bounds(at); s != start || e != end {
						t.Fatalf("%s, %v: the window of %d is from %d to %d, but that of %d from %d to %d", zone, period, us, start, end, at, s, e)
					}
					p := w.params(us)
					if at < p[1] || at >= p[2] {
						t.Fatalf("%s, %v: the parameters for %d end before its window does", zone, period, us)
					}
					if s := at - (at-p[3])%p[4]; s != start || s+p[4] != end {
						t.Fatalf("%s, %v: a script would find %d to %d, want %d to %d", zone, period, s, s+p[4], start, end)
					}
					// Nor may they be wrong for any other time that they claim.
					for _, claimed := range []int64{p[1], p[2] - 1} {
						if claimed <= 0 || claimed >= exact-1 {
							continue
						}
						s, e := w.bounds(claimed)
						if from := claimed - (claimed-p[3])%p[4]; (claimed >= p[3]) && (from != s || from+p[4] != e) {
							t.Fatalf("%s, %v: for %d a script would find %d to %d, want %d to %d", zone, period, claimed, from, from+p[4], s, e)
						}
					}
				}
				next := end
				if pitch > 1 {
					next, _ = w.bounds(end + pitch*period.Microseconds())
				}
				if s, _ := w.bounds(end); s != end {
					t.Fatalf("%s, %v: after the window to %d comes one from %d", zone, period, end, s)
				}
				us = next
			}
		}
	}
}

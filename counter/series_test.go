package counter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// sums fails the test unless a Range has these points.
func sums(t testing.TB, s *Series, key string, from, to time.Time, step time.Duration, want ...int64) {
	t.Helper()
	points, err := s.Range(t.Context(), key, from, to, step)
	check(t, err)
	var got []int64
	for i, p := range points {
		if at := from.Truncate(time.Minute).Add(time.Duration(i) * step); !p.Time.Equal(at) {
			t.Errorf("point %d is at %v, want %v", i, p.Time, at)
		}
		got = append(got, p.N)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Range(%v, %v, %v) = %v, want %v", from, to, step, got, want)
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		c := newSeries(t, s.Client(t), SeriesOptions{Prefix: prefix})
		from := time.Now().UTC().Truncate(24 * time.Hour)
		for _, key := range someKeys {
			check(t, c.Add(t.Context(), key, 5))
			check(t, c.Add(t.Context(), key, -2))
			to := time.Now().Add(time.Hour)
			for _, step := range []time.Duration{time.Minute, 7 * time.Minute, time.Hour, 2 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
				points, err := c.Range(t.Context(), key, from, to, step)
				check(t, err)
				var sum int64
				for _, p := range points {
					sum += p.N
				}
				if sum != 3 {
					t.Errorf("in steps of %v there are %d, want 3", step, sum)
				}
			}
			if points, err := c.Range(t.Context(), key, from, from, time.Hour); len(points) != 0 || err != nil {
				t.Errorf("Range of nothing = %v, %v", points, err)
			}
		}
		for _, key := range keysOf(t, s, prefix) {
			if ms := s.Do(t, "pttl", key).(int64); ms <= 0 {
				t.Errorf("%q does not expire", key)
			}
		}
	})
}

// Counts at random times for weeks, in virtual time: every Range is the sum of what was
// counted in it and is kept, and a day is its hours and they are their minutes.
func TestSeriesModel(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rnd := rand.New(rand.NewPCG(7, 7))
		c := newSeries(t, s.Client(t), SeriesOptions{Minutes: 26 * time.Hour, Hours: 5 * 24 * time.Hour, Days: 20 * 24 * time.Hour})
		kept := map[time.Duration]time.Duration{time.Minute: 26 * time.Hour, time.Hour: 5 * 24 * time.Hour, 24 * time.Hour: 20 * 24 * time.Hour}
		spans := map[time.Duration]time.Duration{time.Minute: time.Hour, time.Hour: 24 * time.Hour, 24 * time.Hour: 30 * 24 * time.Hour}
		type event struct {
			at time.Time
			n  int64
		}
		var events []event
		start := time.Now()
		for i := range 500 {
			time.Sleep(time.Duration(rnd.Int64N(int64(90 * time.Minute))))
			n := rnd.Int64N(100) - 20
			check(t, c.Add(t.Context(), "k", n))
			events = append(events, event{time.Now(), n})
			if i%10 != 0 {
				continue
			}
			for bucket, keep := range kept {
				step := bucket * time.Duration(1+rnd.Int64N(5))
				from := time.Now().Add(-keep).Truncate(bucket).Add(bucket) // all of it is kept
				if bucket == time.Minute && rnd.IntN(2) == 0 {
					from = from.Add(time.Duration(rnd.IntN(3600)) * time.Second).Truncate(time.Minute)
				}
				to := time.Now().Add(time.Duration(rnd.Int64N(int64(3 * bucket)))).Add(1)
				var want []int64
				for at := from; at.Before(to); at = at.Add(step) {
					var sum int64
					for _, e := range events {
						if b := e.at.Truncate(bucket); !b.Before(at) && b.Before(at.Add(step)) && b.Before(to) {
							sum += e.n
						}
					}
					want = append(want, sum)
				}
				sums(t, c, "k", from, to, step, want...)

				// What is older than it is kept, and its span, has gone.
				old := time.Now().Add(-keep - 2*spans[bucket]).Truncate(bucket)
				r, _ := c.resolution(0, int64(bucket/time.Second))
				counts, err := c.read(t.Context(), r, "k", max(start.Unix(), old.Unix()-100*r.bucket), old.Unix()+1)
				if err != nil || len(counts) != 0 {
					t.Errorf("of the buckets of %v before %v there are %v, %v", bucket, old, counts, err)
				}
			}
		}
	})
}

// The server's clock decides, however wrong that of the client is.
func TestSeriesClock(t *testing.T) {
	t.Parallel()
	at := time.Date(2000, 1, 1, 12, 59, 59, 0, time.UTC) // bubbles begin at midnight
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour, 1000 * time.Hour, -1000 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				c := newSeries(t, s.Client(t), SeriesOptions{})
				time.Sleep(time.Until(at))
				s.Mini().SetTime(at.Add(skew))
				check(t, c.Add(t.Context(), "k", 1))
				s.Mini().SetTime(at.Add(skew + time.Second))
				check(t, c.Add(t.Context(), "k", 10))
				s.Mini().SetTime(at.Add(skew - 48*time.Hour)) // the clock is set back
				check(t, c.Add(t.Context(), "k", 100))
				hour := at.Add(skew).Truncate(time.Hour)
				sums(t, c, "k", hour, hour.Add(2*time.Hour), time.Hour, 1, 10)
				sums(t, c, "k", hour.Add(59*time.Minute), hour.Add(61*time.Minute), time.Minute, 1, 10)
				sums(t, c, "k", hour.Add(-48*time.Hour), hour.Add(-47*time.Hour), time.Hour, 100)
			})
		})
	}
}

// A day need not begin at midnight UTC.
func TestRangeOfLocalDays(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newSeries(t, s.Client(t), SeriesOptions{})
		for _, zone := range []*time.Location{time.FixedZone("east", 2*3600), time.FixedZone("india", 5*3600+1800)} {
			y, m, d := time.Now().In(zone).Date()
			midnight := time.Date(y, m, d+2, 0, 0, 0, 0, zone)
			time.Sleep(time.Until(midnight) - time.Second)
			check(t, c.Add(t.Context(), zone.String(), 1))
			time.Sleep(2 * time.Second)
			check(t, c.Add(t.Context(), zone.String(), 10))
			time.Sleep(22 * time.Hour)
			check(t, c.Add(t.Context(), zone.String(), 100))
			points, err := c.Range(t.Context(), zone.String(), midnight.AddDate(0, 0, -1), midnight.AddDate(0, 0, 1), 24*time.Hour)
			if err != nil || len(points) != 2 || points[0].N != 1 || points[1].N != 110 || points[1].Time.Location() != zone {
				t.Errorf("%v: Range = %v, %v", zone, points, err)
			}
		}
	})
}

// An error in the middle has counted in no bucket.
func TestSeriesAllOrNothing(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.RESP2, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, n := range []int64{3, -3, math.MaxInt64} {
			c := newSeries(t, s.Client(t), SeriesOptions{Prefix: redistest.Prefix(t) + strings.ReplaceAll(fmt.Sprint(n), "-", "m")})
			now := time.Now().Unix()
			for i := range int64(2) {
				s.Do(t, "set", c.key(c.res[2], now/3600+i, "k"), "not a hash") // the minutes come last
			}
			if err := c.Add(t.Context(), "k", n); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("Add = %v, want WRONGTYPE", err)
			}
			sums(t, c, "k", time.Unix(now, 0).Truncate(24*time.Hour), time.Unix(now+60, 0), 24*time.Hour, make([]int64, 1+int((now+60)/86400-now/86400))...)
			if _, err := c.Range(t.Context(), "k", time.Unix(now, 0), time.Unix(now+60, 0), time.Minute); err == nil {
				t.Error("Range of something else has no error")
			}
		}
	})
}

func TestRangeRefuses(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	c := newSeries(t, rdb, SeriesOptions{})
	days := newSeries(t, rdb, SeriesOptions{Minutes: -1, Hours: -1})
	now := time.Now().Truncate(24 * time.Hour)
	for want, err := range map[string]error{
		"whole number": second(c.Range(t.Context(), "k", now, now.Add(time.Hour), time.Second)),
		"number of m":  second(c.Range(t.Context(), "k", now, now.Add(time.Hour), 90*time.Second)),
		"of minutes":   second(c.Range(t.Context(), "k", now, now.Add(time.Hour), -time.Minute)),
		"10,000":       second(c.Range(t.Context(), "k", now, now.Add(20_000*time.Minute), time.Minute)),
		"more than 10": second(c.Range(t.Context(), "k", now, time.Unix(math.MaxInt64/2, 0), time.Minute)),
		"1,000 keys":   second(c.Range(t.Context(), "k", now.Add(time.Minute), now.Add(5000*time.Hour), time.Hour)),
		"no buckets":   second(days.Range(t.Context(), "k", now, now.Add(time.Hour), time.Hour)),
		"buckets":      second(days.Range(t.Context(), "k", now.Add(time.Hour), now.Add(48*time.Hour), 24*time.Hour)),
		"too small":    c.Add(t.Context(), "k", math.MinInt64),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

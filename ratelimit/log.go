package ratelimit

import (
	"sort"
)

// slidingLog is a SlidingLog.
type slidingLog struct{ quota, period int64 }

// maxLog keeps the times of one key, 7 bytes each, within a few MB.
const maxLog = 1_000_000

func newSlidingLog(l Limit) (*slidingLog, error) {
	if l.Quota > maxLog {
		return nil, badField{"Quota", "is more than a million, and a SlidingLog remembers each"}
	}
	return &slidingLog{int64(l.Quota), l.Period.Microseconds()}, nil
}

func (l *slidingLog) letter() string        { return "l" }
func (l *slidingLog) capacity() int64       { return l.quota }
func (l *slidingLog) params(int64) [6]int64 { return [6]int64{l.quota, l.period} }

// later knows when n may be taken, but not when others leave. So it can tell if n may be
// taken when one has left, or if it is not this limit that keeps n from being taken.
func (l *slidingLog) later(s standing, elapsed, n int64) (standing, bool) {
	return standing{room: s.room, retry: max(s.retry-elapsed, 0), reset: max(s.reset-elapsed, 0)}, s.room >= n-1
}

func (l *slidingLog) meter(other meter, _ int64) meter {
	m := &logMeter{l: l}
	if o, ok := other.(*logMeter); ok {
		m.times = o.times
	}
	return m
}

// logMeter has the times of what was taken, the oldest first.
type logMeter struct {
	l     *slidingLog
	times []int64
}

// expire forgets what has left the period.
func (m *logMeter) expire(now int64) {
	dead := sort.Search(len(m.times), func(i int) bool { return m.times[i] > now-m.l.period })
	if m.times = m.times[dead:]; len(m.times) == 0 {
		m.times = nil
	}
}

func (m *logMeter) standing(now, n int64) standing {
	m.expire(now)
	live := int64(len(m.times))
	s := standing{room: max(m.l.quota-live, 0)}
	if live > 0 {
		s.reset = m.times[live-1] + m.l.period - now
	}
	if n > m.l.quota {
		s.retry = s.reset
	} else if n > s.room {
		s.retry = m.times[live+n-m.l.quota-1] + m.l.period - now
	}
	return s
}

func (m *logMeter) add(now, n int64) {
	m.expire(now)
	if n < 0 {
		m.times = m.times[min(int(-n), len(m.times)):]
	}
	for range max(n, 0) {
		m.times = append(m.times, now)
	}
}

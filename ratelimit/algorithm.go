package ratelimit

import "time"

// algorithm is a valid Limit as it is counted, in Redis and in memory. Its numbers
// of time are in µs.
type algorithm interface {
	// letter is what the scripts know it by.
	letter() string
	// capacity is the most that can ever be taken at once.
	capacity() int64
	// params are the six that the scripts want; now is the server's time, more or less.
	params(now int64) [6]int64
	// meter returns one that goes on from another, or was never used if that is nil.
	meter(other meter, now int64) meter
	// later is a standing after some time in which nobody took anything. ok is false
	// if that cannot be told.
	later(s standing, elapsed, n int64) (after standing, ok bool)
}

// meter is what an algorithm has counted of one key, in memory.
type meter interface {
	standing(now, n int64) standing
	// add counts n, or uncounts -n. It does not ask whether there is room.
	add(now, n int64)
}

// standing is how a limit stands for somebody who asks for n.
type standing struct {
	room  int64 // the most that may be taken
	retry int64 // until n may be taken
	reset int64 // until it is as if it had never been used
	early int64 // of a bucket: by how much reset is rounded up, in 1/den µs
}

const (
	maxPeriod = 100 * 365 * 24 * time.Hour
	// Lua counts in float64, which is exact up to 2⁵³; this leaves room for a sum.
	exact = 1 << 52
)

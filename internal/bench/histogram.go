package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets that are at most 1/256 wide, relative to
// their value. Callers share one: it is small, so that measuring does not change
// how often the garbage collector runs.
type histogram struct {
	buckets [(maxShift + 2) << subBits]atomic.Uint32
}

const (
	subBits  = 8
	maxShift = 32 // 2^(32+9) ns is 36 minutes
)

func (h *histogram) record(d time.Duration) { h.buckets[bucketOf(d)].Add(1) }

// bucketOf numbers the buckets: the exponent and the eight bits after the first.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := min(max(bits.Len64(n)-subBits-1, 0), maxShift)
	mantissa := min(n>>shift, 2<<subBits-1)
	return shift<<subBits + int(mantissa)
}

// middleOf is the middle of a bucket.
func middleOf(bucket int) time.Duration {
	shift := max(bucket>>subBits-1, 0)
	mantissa := bucket - shift<<subBits
	return time.Duration(mantissa<<shift + 1<<shift/2)
}

// quantiles returns the values below which the given fractions of all lie. The
// fractions are in ascending order.
func (h *histogram) quantiles(fractions ...float64) []time.Duration {
	var total uint64
	for i := range h.buckets {
		total += uint64(h.buckets[i].Load())
	}
	values := make([]time.Duration, len(fractions))
	var seen uint64
	next := 0
	for i := range h.buckets {
		seen += uint64(h.buckets[i].Load())
		for next < len(fractions) && seen > 0 && float64(seen) >= fractions[next]*float64(total) {
			values[next] = middleOf(i)
			next++
		}
	}
	return values
}

package leaderboard

import (
	"math"
	"math/bits"
)

// A packed score is the double of a sorted set, read as the integer that its bits are:
// doubles order as these do. A canonical value c, of which the smaller is the better, and
// a time are
//
//	c × 2^bits + time + 2^52
//
// where 2^52 keeps away from the subnormal numbers, which not everything that reads a
// double reads right. A negative c is the negated double of -c-1 and the time's complement.
// Infinity bounds it: (MaxScore+1) × 2^bits ≤ 0x7FE × 2^52. See packed.lua.
type packing struct{ bits uint }

const (
	normal   = 1 << 52 // the bits of the smallest normal double
	infinity = 0x7FF << 52

	maxScore   = 1<<52 - 1 // scores are added up in doubles, also two that differ in sign
	maxRaw     = 1<<53 - 1
	mostBits   = 48
	defaultMax = 2_145_386_495 // the most that leaves 32 bits
)

// packingFor leaves as many bits to the times as scores of up to most do.
func packingFor(most int64) packing {
	return packing{min(mostBits, uint(bits.Len64((infinity-normal)/uint64(most+1)))-1)}
}

// times is how many times there are.
func (p packing) times() int64 { return 1 << p.bits }

// coarse is how many values share an exponent.
func (p packing) coarse() int64 { return 1 << (52 - p.bits) }

func (p packing) pack(c, time int64) float64 {
	if c < 0 {
		return -p.pack(-c-1, p.times()-1-time)
	}
	return math.Float64frombits(uint64(c)<<p.bits + uint64(time) + normal)
}

// unpack is the reverse. What was not packed gives some value.
func (p packing) unpack(f float64) (c, time int64) {
	if f < 0 {
		c, time = p.unpack(-f)
		return -c - 1, p.times() - 1 - time
	}
	b := math.Float64bits(f) - normal
	return int64(b >> p.bits), int64(b) & (p.times() - 1)
}

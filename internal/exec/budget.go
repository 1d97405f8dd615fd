package exec

import "time"

// A Budget is how long one call of a package may wait for Redis, summed over
// its commands. It is not for concurrent use.
type Budget struct {
	total, left time.Duration
}

// NewBudget returns a budget of d.
func NewBudget(d time.Duration) *Budget {
	return &Budget{total: d, left: d}
}

// Left is what remains.
func (b *Budget) Left() time.Duration { return max(b.left, 0) }

// blames reports whether a wait of d that ended without an answer says
// something about the node: a wait that began with the dregs of the budget does
// not.
func (b *Budget) blames(d time.Duration) bool { return d >= b.total/2 }

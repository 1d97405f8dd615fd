package pubsub

import (
	"cmp"
	"strconv"
	"strings"
)

// position is a place in a topic: after an event, or before the first.
type position struct {
	epoch string // names the run of numbers that n is one of
	n     uint64 // the event's
	tag   string // of the batch that it was published in; empty: not known, or n is 0
	id    string // of its entry in the stream; empty: there is none
	loose bool   // the id is of an entry before it
}

// String is what users see: the tag is for checks that the id makes as well.
func (p position) String() string {
	return p.epoch + "." + strconv.FormatUint(p.n, 10) + "." + p.id
}

func parsePosition(s string) (position, error) {
	epoch, rest, _ := strings.Cut(s, ".")
	number, id, ok := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(number, 10, 53)
	if !ok || err != nil || !isName(epoch) || id != "" && !isEntryID(id) {
		return position{}, ErrPosition
	}
	return position{epoch: epoch, n: n, id: id}, nil
}

// isName reports whether s may be an epoch.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == '.' || c >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// isEntryID reports whether s is the id of a stream's entry, in full.
func isEntryID(s string) bool {
	ms, seq, ok := strings.Cut(s, "-")
	if !ok {
		return false
	}
	for _, part := range []string{ms, seq} {
		if n, err := strconv.ParseUint(part, 10, 64); err != nil || strconv.FormatUint(n, 10) != part {
			return false
		}
	}
	return true
}

// idOf is the id in a position's text.
func idOf(position string) string {
	return position[strings.LastIndexByte(position, '.')+1:]
}

// splitID takes an id apart, whose parts are small enough in any stream that Redis numbers.
func splitID(id string) (ms, seq int64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseInt(first, 10, 64)
	seq, _ = strconv.ParseInt(second, 10, 64)
	return ms, seq
}

func msOf(id string) int64 {
	ms, _ := splitID(id)
	return ms
}

// compareIDs orders ids as a stream does; the empty one is before all.
func compareIDs(a, b string) int {
	aMs, aSeq := splitID(a)
	bMs, bSeq := splitID(b)
	return cmp.Or(cmp.Compare(aMs, bMs), cmp.Compare(aSeq, bSeq))
}

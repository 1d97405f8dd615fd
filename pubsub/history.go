package pubsub

import (
	"context"
	"time"
)

// entry is an event as it is in the history, with what it follows.
type entry struct {
	at      position
	prev    uint64 // the number of the event before
	prevTag string
	event   *Event // nil: what is there is none
	foreign bool   // nothing but the id is known: somebody else has added it
}

// page is a part of a topic's history.
type page struct {
	high    position // where the topic was, a moment before the entries were read
	entries []entry
	more    bool // there may be more entries after them
}

// history is where the events of replayable topics are kept.
type history interface {
	// page returns the oldest entries from an id on, of all if that is empty.
	page(ctx context.Context, topic, from string, most int) (page, error)
	// oldest returns the oldest entry, if there is one.
	oldest(ctx context.Context, topic string) (entry, bool, error)
	// back goes back over the latest entries that are older than a time, or over all if
	// that is zero. It returns the nth, or the last if there are fewer, and how many.
	back(ctx context.Context, topic string, t time.Time, n int) (entry, int, error)
}

const (
	// A page is of minPage entries at first, then of twice as many up to maxPage, as long
	// as the latest one was no larger than pageBytes. Two at least, since the first entry
	// is one that was delivered.
	minPage, maxPage, pageBytes = 16, 256, 1 << 20
)

// nextPage is how many entries to ask for after a page.
func nextPage(most int, p page) int {
	size := 0
	for _, e := range p.entries {
		if e.event != nil {
			size += e.event.size()
		}
	}
	if size > pageBytes {
		return max(2, most/2)
	}
	return min(2*most, maxPage)
}

// begin finds out where a subscription begins; now is where the topic is.
func begin(ctx context.Context, h history, topic string, o *SubscribeOptions, now position) (position, []Gap, error) {
	switch {
	case o.After != "":
		p, err := parsePosition(o.After)
		return p, nil, err
	case o.Last > 0:
		e, n, err := h.back(ctx, topic, time.Time{}, o.Last+1)
		switch {
		case err != nil:
			return now, nil, err
		case n == 0:
			return now, nil, nil
		case n > o.Last:
			return e.at, nil, nil
		}
		return e.start(), nil, nil
	case !o.Since.IsZero():
		e, n, err := h.back(ctx, topic, o.Since, 1)
		if err != nil {
			return now, nil, err
		}
		if n > 0 {
			return e.at, nil, nil
		}
		first, ok, err := h.oldest(ctx, topic)
		switch {
		case err != nil:
			return now, nil, err
		case !ok && now.n == 0:
			return now, nil, nil
		case !ok: // there were some, and nothing tells when
			return now, []Gap{{topic, Trimmed, -1}}, nil
		case first.prev > 0:
			return first.start(), []Gap{{topic, Trimmed, -1}}, nil
		}
		return first.start(), nil, nil
	}
	return now, nil, nil
}

// start is the place before the entry.
func (e *entry) start() position {
	return position{epoch: e.at.epoch, n: e.prev, tag: e.prevTag}
}

// follow goes from a place in a topic to the end of a page that was read from the entry at
// that place on. It returns what is to be delivered, and the place reached. What is in read
// was delivered before, and what is delivered is added to it. trimmed reports whether nothing is there that is older than an entry.
func follow(topic string, at position, p page, read batches, trimmed func(entry) (bool, error)) (items []item, end position, err error) {
	gap := func(reason GapReason, missed int64) {
		items = append(items, item{gap: Gap{topic, reason, missed}})
	}
	at.loose = at.loose || at.id == ""
	anchored, repeated := at.loose, false
	for i, e := range p.entries {
		if e.foreign {
			anchored = anchored || e.at.id == at.id
			at.id = e.at.id
			continue
		}
		if at.loose && e.at.epoch == at.epoch && e.at.n <= at.n { // the place is known by its number
			at.id = e.at.id
			continue
		}
		if i == 0 && e.at.id == at.id && e.at.epoch == at.epoch && e.at.n == at.n && (at.tag == "" || e.at.tag == at.tag) {
			at.tag, anchored = e.at.tag, true
			continue
		}
		switch {
		case e.at.epoch != at.epoch:
			if e.at.epoch != p.high.epoch {
				continue // of a run of numbers that is over
			}
			gap(Reset, -1)
		case e.prev == at.n && (at.tag == "" || e.prevTag == at.tag):
		case e.prev <= at.n:
			gap(Reset, -1)
			e.prev = e.at.n - 1
		case anchored: // events that were published without a history
			gap(Trimmed, int64(e.prev-at.n))
		default:
			first, err := trimmed(e)
			if err != nil {
				return nil, at, err
			}
			if first {
				gap(Trimmed, int64(e.prev-at.n))
			} else {
				gap(Reset, -1)
			}
		}
		if e.at.epoch == at.epoch && e.at.n-1 > e.prev {
			gap(Sequence, int64(e.at.n-1-e.prev))
		}
		if e.at.tag != e.prevTag { // the first of its batch
			repeated = read.has(e.at.tag)
		}
		switch {
		case repeated:
		case e.event == nil:
			gap(Sequence, 1)
		default:
			items = append(items, item{event: e.event})
		}
		read.add(e.at.tag)
		at, anchored = e.at, true
	}
	if p.more || p.high.epoch == "" { // or the topic is forgotten, and begins anew when it is used
		return items, at, nil
	}
	switch high := p.high; {
	case high.epoch != at.epoch:
		gap(Reset, -1)
		at = position{epoch: high.epoch} // to be read from its beginning
	case high.n > at.n: // not one of them is there
		gap(Trimmed, int64(high.n-at.n))
		at = high
	case high.n < at.n && !anchored, high.n == at.n && high.tag != at.tag && at.tag != "":
		gap(Reset, -1)
		at = high
	}
	return items, at, nil
}

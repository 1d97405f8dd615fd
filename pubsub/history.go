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
	// page returns the oldest entries from an id on, all if that is empty.
	page(ctx context.Context, topic, from string) (page, error)
	// oldest returns the oldest entry, if there is one.
	oldest(ctx context.Context, topic string) (entry, bool, error)
	// before returns the latest entries, at most n, that are older than a time, or of
	// all if that is zero; the oldest first.
	before(ctx context.Context, topic string, t time.Time, n int) ([]entry, error)
}

// begin finds out where a subscription begins; now is where the topic is.
func begin(ctx context.Context, h history, topic string, o *SubscribeOptions, now position) (position, []Gap, error) {
	switch {
	case o.After != "":
		p, err := parsePosition(o.After)
		return p, nil, err
	case o.Last > 0:
		latest, err := h.before(ctx, topic, time.Time{}, o.Last+1)
		switch {
		case err != nil:
			return now, nil, err
		case len(latest) == 0:
			return now, nil, nil
		case len(latest) > o.Last:
			return latest[0].at, nil, nil
		}
		return latest[0].start(), nil, nil
	case !o.Since.IsZero():
		last, err := h.before(ctx, topic, o.Since, 1)
		if err != nil {
			return now, nil, err
		}
		if len(last) > 0 {
			return last[0].at, nil, nil
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
// that place on. It returns what is to be delivered, the place reached, and whether that is
// the end of the topic for now. What is in read was delivered before, and what is delivered
// is added to it. trimmed reports whether an entry is the oldest there is.
func follow(topic string, at position, p page, read batches, trimmed func(entry) (bool, error)) (items []item, end position, err error) {
	gap := func(reason GapReason, missed int64) {
		items = append(items, item{gap: Gap{topic, reason, missed}})
	}
	anchored, repeated := at.id == "", false
	for i, e := range p.entries {
		if e.foreign {
			anchored = anchored || e.at.id == at.id
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
		case at.id == "" && e.at.n <= at.n:
			continue // the place is known by its number only
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

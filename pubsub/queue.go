package pubsub

import "slices"

// item is what waits for a handler: an event, or a gap if that is nil.
type item struct {
	event *Event
	gap   Gap
}

// queue is a subscription's buffer, in the order of delivery. Gaps between which
// there is no event become one if they are told alike, so there are few more than events.
type queue struct {
	most   int    // events
	first  []Gap  // come before all items
	items  []item // a ring that grows
	head   int    // of the ring
	n      int    // items in it
	events int    // of them
}

func (q *queue) full() bool { return q.events >= q.most }

func (q *queue) add(e *Event) {
	q.events++
	q.append(item{event: e})
}

func (q *queue) addGap(g Gap) {
	for i := q.n - 1; i >= 0; i-- {
		last := &q.items[(q.head+i)%len(q.items)]
		if last.event != nil {
			q.append(item{gap: g})
			return
		}
		if last.gap.alike(g) {
			last.gap.Missed = sumMissed(last.gap.Missed, g.Missed)
			return
		}
	}
	if q.n == 0 {
		q.first = mergeGap(q.first, g)
		return
	}
	q.append(item{gap: g})
}

func (q *queue) append(it item) {
	if q.n == len(q.items) {
		grown := make([]item, max(8, 2*q.n))
		copied := copy(grown, q.items[q.head:])
		copy(grown[copied:], q.items[:q.head])
		q.items, q.head = grown, 0
	}
	q.items[(q.head+q.n)%len(q.items)] = it
	q.n++
}

// dropOldest drops the event that has waited longest.
func (q *queue) dropOldest(topic string) {
	for q.n > 0 {
		it := q.take()
		if it.event != nil {
			q.first = mergeGap(q.first, Gap{topic, SlowConsumer, 1})
			return
		}
		q.first = mergeGap(q.first, it.gap)
	}
}

// pop takes what comes next.
func (q *queue) pop() (it item, ok bool) {
	if len(q.first) > 0 {
		it.gap = q.first[0]
		q.first = slices.Delete(q.first, 0, 1)
		return it, true
	}
	if q.n == 0 {
		return it, false
	}
	return q.take(), true
}

func (q *queue) take() item {
	it := q.items[q.head]
	q.items[q.head] = item{}
	q.head = (q.head + 1) % len(q.items)
	q.n--
	if it.event != nil {
		q.events--
	}
	if q.n == 0 && len(q.items) > 64 {
		q.items, q.head = nil, 0 // a burst is over
	}
	return it
}

// drop forgets everything, and returns how many events that were.
func (q *queue) drop() (events int) {
	events = q.events
	*q = queue{most: q.most}
	return events
}

// mergeGap adds a gap to others between which there is no event.
func mergeGap(gaps []Gap, g Gap) []Gap {
	for i := range gaps {
		if gaps[i].alike(g) {
			gaps[i].Missed = sumMissed(gaps[i].Missed, g.Missed)
			return gaps
		}
	}
	return append(gaps, g)
}

func (g Gap) alike(other Gap) bool { return g.Topic == other.Topic && g.Reason == other.Reason }

func sumMissed(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

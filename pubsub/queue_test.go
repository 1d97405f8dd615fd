package pubsub

import (
	"math/rand/v2"
	"testing"
)

// TestQueue compares with a list in which each event that is dropped is a gap of one.
func TestQueue(t *testing.T) {
	t.Parallel()
	for range 2000 {
		q := &queue{most: 1 + rand.N(10)}
		var model []item // of events, and gaps of one each
		next := uint64(0)
		for range rand.N(60) {
			switch rand.N(4) {
			case 0, 1:
				next++
				e := &Event{Seq: next}
				if q.full() {
					q.dropOldest("t")
					for i := range model {
						if model[i].event != nil {
							model[i] = item{gap: Gap{"t", SlowConsumer, 1}}
							break
						}
					}
				}
				q.add(e)
				model = append(model, item{event: e})
			case 2:
				g := Gap{"t", []GapReason{Reconnect, SlowConsumer, Reset}[rand.N(3)], 1}
				q.addGap(g)
				model = append(model, item{gap: g})
			case 3:
				it, ok := q.pop()
				if !ok {
					if len(model) != 0 {
						t.Fatalf("pop: nothing, want one of %d", len(model))
					}
					continue
				}
				left := it.gap.Missed
				// What it stands for in the model: an event, or as many gaps, before the next event.
				for i := 0; it.event == nil && left > 0; {
					if model[i].event != nil {
						t.Fatalf("a gap of %d is announced after an event that comes before it", left)
					}
					if model[i].gap.Reason == it.gap.Reason {
						model = append(model[:i], model[i+1:]...)
						left--
						continue
					}
					i++
				}
				if it.event != nil {
					if model[0].event != it.event {
						t.Fatalf("pop: event %d, want %+v", it.event.Seq, model[0])
					}
					model = model[1:]
				}
			}
			if q.events > q.most || q.n > q.most+3*(q.most+1) {
				t.Fatalf("%d events and %d items in a queue of %d", q.events, q.n, q.most)
			}
		}
	}
}

func TestSumMissed(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]int64{{1, 2, 3}, {-1, 2, -1}, {2, -1, -1}, {-1, -1, -1}, {0, 0, 0}} {
		if got := sumMissed(c[0], c[1]); got != c[2] {
			t.Errorf("sumMissed(%d, %d) = %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

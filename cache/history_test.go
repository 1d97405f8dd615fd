package cache

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// An event is something that happened to a key in a race: a load, a read or a
// void, which is what makes the value that is there void. Its times are those of
// one clock for all racers, taken before it began and after it had returned.
type event struct {
	What       string // of loads "load"
	Racer      int
	Key, Value string // a read without a value found that there is nothing
	Start, End int64
	Failed     bool // a void that returned an error
	Many       bool // a void of several keys: if it failed, not for all of them, perhaps
}

// history is what happened in a race.
type history struct {
	clock func() int64

	mu        sync.Mutex
	events    []event
	surprises []error // that no call should have returned
}

// newHistory returns a history whose clock counts events: what came first has the
// smaller number.
func newHistory() *history {
	h := &history{}
	var n int64
	h.clock = func() int64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		n++
		return n
	}
	return h
}

// begin notes an event that has not ended, and returns its place.
func (h *history) begin(e event) int {
	e.Start, e.End = h.clock(), math.MaxInt64
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.What == "load" || e.What == "set" {
		e.Value = fmt.Sprintf("%d-%d", e.Racer, len(h.events))
	}
	h.events = append(h.events, e)
	return len(h.events) - 1
}

func (h *history) value(i int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[i].Value
}

func (h *history) end(i int, finish func(*event)) {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &h.events[i]
	e.End = now
	if finish != nil {
		finish(e)
	}
}

// surprise notes an error that should not be.
func (h *history) surprise(what string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.surprises = append(h.surprises, fmt.Errorf("%s: %w", what, err))
}

func (h *history) check(serveStale bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(check(h.events, serveStale), errors.Join(h.surprises...))
}

// voids are of one key.
type voids struct {
	all    []event
	latest []event // of those up to each, the one that began last
}

func (v *voids) sort() {
	slices.SortFunc(v.all, func(a, b event) int { return cmp.Compare(a.End, b.End) })
	for i, e := range v.all {
		if i > 0 && v.latest[i-1].Start > e.Start {
			e = v.latest[i-1]
		}
		v.latest = append(v.latest, e)
	}
}

// after returns the void, of those that had returned at a moment, that began last,
// if that was after another moment.
func (v *voids) after(began, returned int64) (event, bool) {
	if v == nil {
		return event{}, false
	}
	i, _ := slices.BinarySearchFunc(v.all, returned, func(e event, t int64) int { return cmp.Compare(e.End, t) })
	if i == 0 || v.latest[i-1].Start <= began {
		return event{}, false
	}
	return v.latest[i-1], true
}

// keyHistory is what happened to one key.
type keyHistory struct {
	origins map[string]event // by value
	nothing []event          // loads that found nothing
	reads   []event
	hard    voids          // for everybody
	soft    voids          // Expires, where old values are served for a while
	failed  map[int]*voids // by racer
}

// check returns what contradicts the guarantee: a read that started after a void
// had returned, of a value whose load began before the void. A void that failed
// counts for the racer that was told so, which bypasses the key until it is done.
// A Set may take effect until it has returned, one that failed even later.
func check(events []event, serveStale bool) error {
	keys := make(map[string]*keyHistory)
	for _, e := range events {
		k := keys[e.Key]
		if k == nil {
			k = &keyHistory{origins: make(map[string]event), failed: make(map[int]*voids)}
			keys[e.Key] = k
		}
		k.add(e, serveStale)
	}
	for _, k := range keys {
		k.hard.sort()
		k.soft.sort()
		for _, v := range k.failed {
			v.sort()
		}
		for _, r := range k.reads {
			if err := k.checkRead(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *keyHistory) add(e event, serveStale bool) {
	switch e.What {
	case "load":
		if e.Value == "" {
			k.nothing = append(k.nothing, e)
		} else {
			k.origins[e.Value] = e
		}
		return
	case "set":
		o := e
		o.Start = e.End
		if e.Failed {
			o.Start = math.MaxInt64
		}
		k.origins[e.Value] = o
	case "delete", "hold", "expire":
	default:
		k.reads = append(k.reads, e)
		return
	}
	switch {
	case e.End == math.MaxInt64: // has not returned
	case e.Failed && e.Many && e.What == "expire" && serveStale: // this key may have been expired
	case e.Failed:
		if k.failed[e.Racer] == nil {
			k.failed[e.Racer] = &voids{}
		}
		k.failed[e.Racer].all = append(k.failed[e.Racer].all, e)
	case e.What == "expire" && serveStale:
		k.soft.all = append(k.soft.all, e)
	default:
		k.hard.all = append(k.hard.all, e)
	}
}

func (k *keyHistory) checkRead(r event) error {
	if r.Value != "" {
		o, ok := k.origins[r.Value]
		if !ok {
			return fmt.Errorf("%+v: nobody has loaded that", r)
		}
		return k.checkOrigin(r, o)
	}
	// Any load that found nothing may be the one.
	err := fmt.Errorf("%+v: no load has found nothing", r)
	for _, o := range k.nothing {
		if o.Start < r.End {
			if err = k.checkOrigin(r, o); err == nil {
				return nil
			}
		}
	}
	return err
}

// checkOrigin checks a read of what o brought.
func (k *keyHistory) checkOrigin(r, o event) error {
	if r.What == "refresh" && (o.What != "load" || o.Start < r.Start) {
		return fmt.Errorf("%+v: got what was not loaded anew: %+v", r, o)
	}
	if v, ok := k.hard.after(o.Start, r.Start); ok {
		return fmt.Errorf("stale: %+v got %+v, from before %+v", r, o, v)
	}
	if v, ok := k.failed[r.Racer].after(o.Start, r.Start); ok {
		return fmt.Errorf("stale: %+v got %+v, from before %+v, which is still to be done", r, o, v)
	}
	// What was stored before an Expire may be served on, but not what was stored
	// after it by a load that began before it.
	if v, ok := k.soft.after(o.Start, min(r.Start, o.End)); ok {
		return fmt.Errorf("stale: %+v got %+v, whose load was under way during %+v", r, o, v)
	}
	return nil
}

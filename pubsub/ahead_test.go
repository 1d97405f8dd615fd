package pubsub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// written is a history that a test has written.
type written struct {
	mu      sync.Mutex
	entries []entry
	first   string // the id of the oldest, if by now that is another one
	reading func() // called once, when a page has been read and is yet to be used
}

func (h *written) set(entries []entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = entries
}

func (h *written) page(_ context.Context, _, from string, most int) (p page, _ error) {
	h.mu.Lock()
	reading := h.reading
	h.reading = nil
	for _, e := range h.entries {
		p.high = e.at
		if compareIDs(e.at.id, from) >= 0 && len(p.entries) < most {
			p.entries = append(p.entries, e)
		}
	}
	h.mu.Unlock()
	if reading != nil {
		reading()
	}
	return p, nil
}

func (h *written) oldest(context.Context, string) (entry, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first != "" {
		return entry{at: position{id: h.first}}, true, nil
	}
	return h.entries[0], true, nil
}

func (h *written) back(context.Context, string, time.Time, int) (entry, int, error) {
	return entry{}, 0, nil
}

// heard is what a subscription was told.
type heard struct {
	mu    sync.Mutex
	texts []string
}

func (l *heard) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, text)
}

func (l *heard) has(t *testing.T, want string) {
	t.Helper()
	text := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Join(l.texts, " ")
	}
	redistest.Eventually(t, "it is told as much", func() bool { return len(text()) >= len(want) })
	if got := text(); got != want {
		t.Errorf("it is told %s, want %s", got, want)
	}
}

// subscribesTo has a subscription begin in a history that a test has written, after a position.
func subscribesTo(t *testing.T, h *written, now position, after string) (*Redis, *feed, *subscription, *heard) {
	t.Helper()
	s, err := newSettings(&Options{HistoryLen: 100})
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{base: newBase(s)}
	f := &feed{name: "t", batches: make(batches), history: h}
	l := &heard{}
	sub := newSubscription(t.Context(), r.base, "t", func(_ context.Context, e Event) error {
		l.add(fmt.Sprint(e.Seq))
		return nil
	}, SubscribeOptions{Buffer: 100, After: after, OnGap: func(_ context.Context, g Gap) {
		l.add(fmt.Sprintf("%v:%d", g.Reason, g.Missed))
	}})
	sub.feed = f
	r.running.Enter()
	r.enter(sub)
	f.marked(now, "x", []*ticket{{sub: sub, done: make(chan error, 1)}})
	t.Cleanup(func() {
		if err := sub.Close(context.Background()); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return r, f, sub, l
}

// arrive has entries arrive, in a frame each.
func arrive(t *testing.T, r *Redis, f *feed, entries []entry) {
	t.Helper()
	for _, e := range entries {
		fr, err := parseFrame(frameOf(fmt.Sprintf("1 e %d %s %d 1 %s %s\n", e.prev, e.prevTag, e.at.n, e.at.tag, e.at.id), Event{}))
		if err != nil {
			t.Fatal(err)
		}
		f.arrived("t", &fr, r)
	}
}

// TestAhead has a topic put back to its tenth event, as by a failover, while a subscription is
// ahead of what has arrived here: it has read five more from the history. What then has their
// numbers is other events.
func TestAhead(t *testing.T) {
	t.Parallel()
	was := chain("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")
	ten := was[9].at
	is := slices.Clone(was[:10])
	for n := uint64(11); n <= 16; n++ {
		last := is[len(is)-1].at
		at := position{epoch: "e", n: n, tag: fmt.Sprint("q:", n), id: fmt.Sprint(n+10, "-0")}
		is = append(is, entry{at: at, prev: last.n, prevTag: last.tag, event: &Event{Seq: n}})
	}
	const all = "11 12 13 14 15 Reset:-1 11 12 13 14 15 16"
	ahead := func(sub *subscription) {
		redistest.Eventually(t, "the subscription waits for what is to arrive", func() bool {
			sub.mu.Lock()
			defer sub.mu.Unlock()
			return sub.at.n == 15 && !sub.behind
		})
	}
	reconnects := func(f *feed) {
		f.down()
		f.marked(ten, "y", nil)
	}
	t.Run("a mark", func(t *testing.T) {
		h := &written{entries: was}
		_, f, sub, l := subscribesTo(t, h, ten, ten.String())
		if err := sub.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ahead(sub)
		h.set(is)
		reconnects(f)
		l.has(t, all)
	})
	t.Run("a number", func(t *testing.T) {
		h := &written{entries: was}
		r, f, sub, l := subscribesTo(t, h, ten, ten.String())
		if err := sub.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ahead(sub)
		h.set(is)
		arrive(t, r, f, is[10:])
		l.has(t, all)
	})
	t.Run("a mark while it reads", func(t *testing.T) {
		h := &written{entries: was}
		_, f, sub, l := subscribesTo(t, h, ten, ten.String())
		h.reading = func() {
			h.set(is)
			reconnects(f)
		}
		if err := sub.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.has(t, all)
	})
	again := slices.Clone(is) // the twelfth is, by who had no reply
	again[10].at.tag, again[11].prevTag = was[11].at.tag, was[11].at.tag
	t.Run("published again, not ahead", func(t *testing.T) {
		h := &written{entries: was}
		r, f, sub, l := subscribesTo(t, h, ten, "")
		if err := sub.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		arrive(t, r, f, was[10:])
		l.has(t, "11 12 13 14 15")
		h.set(again)
		reconnects(f)
		l.has(t, "11 12 13 14 15 Reset:-1 12 13 14 15 16")
	})
	t.Run("published again", func(t *testing.T) {
		h := &written{entries: was}
		_, f, sub, l := subscribesTo(t, h, ten, ten.String())
		if err := sub.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ahead(sub)
		h.set(again)
		reconnects(f)
		l.has(t, "11 12 13 14 15 Reset:-1 12 13 14 15 16")
	})
}

// TestTrimmedMeanwhile trims a history further between two looks at it: what is not there is
// still known by its number.
func TestTrimmedMeanwhile(t *testing.T) {
	t.Parallel()
	h := &written{entries: chain("7 8 9"), first: "9-0"}
	_, _, sub, l := subscribesTo(t, h, position{epoch: "e", n: 9, tag: "p:9", id: "9-0"}, "e.3.3-0")
	if err := sub.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.has(t, "Trimmed:3 7 8 9")
}

// TestFailedWhileBehind has a frame that tells of failed events arrive while a subscription
// reads of them in the history: it is told once.
func TestFailedWhileBehind(t *testing.T) {
	t.Parallel()
	h := &written{entries: chain("1 2 3 6<3")}
	three := h.entries[2].at
	r, f, sub, l := subscribesTo(t, h, three, "e.1.1-0")
	h.reading = func() {
		fr, err := parseFrame(frameOf("1 e 3 p:3 6 1 p:6 6-0\n", Event{}))
		if err != nil {
			t.Error(err)
		}
		f.arrived("t", &fr, r)
	}
	if err := sub.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	const all = "2 3 Sequence:2 6"
	l.has(t, all)
	if err := sub.Close(t.Context()); err != nil {
		t.Errorf("Close = %v", err)
	}
	l.has(t, all)
}

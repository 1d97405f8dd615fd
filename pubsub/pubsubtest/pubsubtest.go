// Package pubsubtest is a suite of tests for implementations of [pubsub.Bus]:
//
//	func TestBus(t *testing.T) {
//		features := pubsubtest.Features{Patterns: true, Shared: true}
//		pubsubtest.Run(t, func(t *testing.T) pubsub.Bus { return NewBus(…) }, features)
//	}
//
// It checks what can be seen from outside: what is delivered, to whom, in which order, and
// what is announced in its place. It cannot check what happens when connections break or a
// server stops, which an implementation has to test with faults of its own.
package pubsubtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/pubsub"
)

// Features are what a bus promises beyond the rules that hold for every one.
type Features struct {
	// Patterns: subscriptions may be to patterns.
	Patterns bool

	// Shared: the buses that newBus returns share their topics, as those of several
	// processes do.
	Shared bool

	// Replay: topics are replayable, and the latest 100 events or more are kept.
	Replay bool
}

// Run tests a bus. newBus is called at least once for each of the cases, which run side by
// side, with topics of their own; it closes what it makes by t.Cleanup.
func Run(t *testing.T, newBus func(t *testing.T) pubsub.Bus, features Features) {
	t.Helper()
	cases := append([]testCase(nil), liveCases...)
	if features.Patterns {
		cases = append(cases, patternCases...)
	}
	if features.Replay {
		cases = append(cases, replayCases...)
	} else {
		cases = append(cases, noReplayCases...)
	}
	for _, c := range cases {
		if c.shared && !features.Shared {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&suite{T: t, Bus: newBus(t), newBus: newBus, features: features, rule: c.rule})
		})
	}
}

// testCase is one rule and how it is tested.
type testCase struct {
	name, rule string
	run        func(s *suite)
	shared     bool // it needs two buses
}

// suite is a case at work: the test, the bus, and what is expected of it.
type suite struct {
	*testing.T
	pubsub.Bus
	newBus   func(t *testing.T) pubsub.Bus
	features Features
	rule     string
}

// patience bounds the wait for what must happen.
const patience = time.Minute

// broken reports that the rule of the case is broken.
func (s *suite) broken(format string, args ...any) {
	s.Helper()
	s.Errorf("%s\nthe rule: %s", fmt.Sprintf(format, args...), s.rule)
}

// stop ends a case that cannot go on.
func (s *suite) stop(format string, args ...any) {
	s.Helper()
	s.Fatalf("%s\nthe rule: %s", fmt.Sprintf(format, args...), s.rule)
}

// wants checks an error; nil wants none.
func (s *suite) wants(call string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.broken("%s = %v, want %v", call, err, want)
	}
}

// newTopic makes the name of a topic that no other case uses.
func newTopic() string { return "t" + rand.Text() }

// publish publishes events of which the given texts are the data.
func (s *suite) publish(p pubsub.Publisher, topic string, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if err := p.Publish(s.Context(), topic, pubsub.Event{Data: []byte(text)}); err != nil {
			s.stop("Publish(%q) = %v, want no error", text, err)
		}
	}
}

// numbers are the texts of n events.
func numbers(from, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprint(from+i))
	}
	return texts
}

// received is what a subscription has had: events, and gaps in between.
type received struct {
	s       *suite
	mu      sync.Mutex
	cond    *sync.Cond
	events  []pubsub.Event
	texts   []string // the events' data, and gaps as "gap:<reason>:<missed>"
	missed  int64
	held    bool // the handler waits
	inside  int  // calls of the handler and OnGap
	entered int  // events that the handler was called with
}

// subscribe subscribes to a topic, and is told what arrives. A nil h does nothing more.
func (s *suite) subscribe(b pubsub.Bus, topic string, opts pubsub.SubscribeOptions) (pubsub.Subscription, *received) {
	s.Helper()
	r := &received{s: s}
	return s.subscribeWith(r, b, topic, opts), r
}

// subscribeHeld is subscribe with a handler that waits until release.
func (s *suite) subscribeHeld(b pubsub.Bus, topic string, opts pubsub.SubscribeOptions) (pubsub.Subscription, *received) {
	s.Helper()
	r := &received{s: s, held: true}
	s.Cleanup(r.release)
	return s.subscribeWith(r, b, topic, opts), r
}

func (s *suite) subscribeWith(r *received, b pubsub.Bus, topic string, opts pubsub.SubscribeOptions) pubsub.Subscription {
	s.Helper()
	r.cond = sync.NewCond(&r.mu)
	opts.OnGap = r.gap
	sub, err := b.Subscribe(s.Context(), topic, r.event, &opts)
	if err != nil {
		s.stop("Subscribe = %v, want no error", err)
	}
	return sub
}

func (r *received) event(_ context.Context, e pubsub.Event) error {
	r.enter()
	defer r.leave()
	for r.held {
		r.cond.Wait()
	}
	r.events = append(r.events, e)
	r.texts = append(r.texts, string(e.Data))
	return nil
}

func (r *received) gap(_ context.Context, g pubsub.Gap) {
	r.enter()
	defer r.leave()
	r.missed += g.Missed
	r.texts = append(r.texts, fmt.Sprintf("gap:%v:%d", g.Reason, g.Missed))
}

func (r *received) enter() {
	r.mu.Lock()
	r.inside++
	r.entered++
	if r.inside > 1 {
		r.s.broken("the handler and OnGap were called at the same time")
	}
	r.cond.Broadcast()
}

func (r *received) leave() {
	r.inside--
	r.cond.Broadcast()
	r.mu.Unlock()
}

// release lets a handler go on that was held.
func (r *received) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	r.cond.Broadcast()
}

// until waits for a condition, for which r.mu is held.
func (r *received) until(what string, ok func() bool) {
	r.s.Helper()
	timer := time.AfterFunc(patience, func() { r.cond.Broadcast() })
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	r.mu.Lock()
	defer r.mu.Unlock()
	for !ok() {
		if !time.Now().Before(deadline) {
			r.s.stop("waited in vain for %s; there were %q", what, r.texts)
		}
		r.cond.Wait()
	}
}

// called waits until the handler was called n times.
func (r *received) called(n int) {
	r.s.Helper()
	r.until(fmt.Sprintf("%d calls", n), func() bool { return r.entered >= n })
}

// has waits until what was received is as long as it should be, and compares.
func (r *received) has(want ...string) {
	r.s.Helper()
	r.until(fmt.Sprintf("%q", want), func() bool { return len(r.texts) >= len(want) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.texts) != fmt.Sprint(want) {
		r.s.broken("received %q, want %q", r.texts, want)
	}
}

// closes closes a subscription in good time.
func (s *suite) closes(sub pubsub.Subscription) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	s.wants("Close of a subscription", sub.Close(ctx), nil)
}

// ended waits until a subscription has ended, and checks why.
func (s *suite) ended(sub pubsub.Subscription, want error) {
	s.Helper()
	select {
	case <-sub.Done():
		s.wants("Err", sub.Err(), want)
	case <-time.After(patience):
		s.stop("the subscription did not end")
	}
}

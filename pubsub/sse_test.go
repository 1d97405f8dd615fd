package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// TestSSEStream: the header, the first frame, and events of every shape.
func TestSSEStream(t *testing.T) {
	t.Parallel()
	for _, opts := range []*pubsub.Options{nil, kept(100)} {
		bus := memoryBus(t, opts)
		f := newFront(t, bus, nil)
		s := f.connect(t, "", "a")
		for name, want := range map[string]string{
			"Content-Type":      "text/event-stream",
			"Cache-Control":     "no-cache, no-transform",
			"X-Accel-Buffering": "no",
		} {
			if got := s.res.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		first := s.greeted()
		if ms, err := strconv.Atoi(s.retry); err != nil || ms < 1000 || ms > 3000 {
			t.Errorf("retry is %q, want 2 s and no more than a half off", s.retry)
		}
		if err := bus.Publish(t.Context(), "a", pubsub.Event{Type: "order.placed", Data: []byte(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
		say(t, bus, "a", "", " x ", "two\nlines", "a\r\nb\rc\n", "\n")
		s.has(`{"n":1}`, "", " x ", "two\nlines", "a\nb\nc\n", "\n")
		if got := s.events[0].name; got != "order.placed" {
			t.Errorf("the event is called %q", got)
		}
		ids := map[string]bool{first: true}
		for _, e := range s.events {
			if ids[e.lastID] {
				t.Errorf("the id %q comes twice", e.lastID)
			}
			ids[e.lastID] = true
		}
	}
}

// TestSSEInjection: nothing in an event can end a field and begin another.
func TestSSEInjection(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, kept(100))
	f := newFront(t, bus, nil)
	topic := "a\n\nevent: admin\ndata: forged"
	s := f.connect(t, "bad id", strings.NewReplacer("\n", "%0A", " ", "%20").Replace(topic))
	s.greeted()
	for _, end := range []string{"\n", "\r", "\r\n", "\n\n", "\r\r"} {
		e := pubsub.Event{
			ID: "1" + end + "id: forged", Type: "t" + end + "event: admin", Key: end + "data: forged",
			Data: []byte("x" + end + "event: admin" + end + "id: forged" + end + end + "data: forged" + end),
		}
		if err := bus.Publish(t.Context(), topic, e); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Eventually(t, "all events are there", func() bool { return s.count() >= 6 })
	for i, e := range s.events {
		if i == 0 {
			if want := `{"topic":"a\n\nevent: admin\ndata: forged","reason":"Reset","missed":-1}`; e.name != "gap" || e.data != want {
				t.Errorf("the gap is %q", e)
			}
			continue
		}
		if !strings.HasPrefix(e.name, "t ") || !strings.HasPrefix(e.data, "x\n") || strings.Contains(e.name+e.data, "\r") || strings.Contains(e.lastID, "forged") {
			t.Errorf("an event was taken for %q", e)
		}
	}
	if len(s.events) != 6 {
		t.Errorf("there are %d events: %q", len(s.events), s.events)
	}
}

// TestSSEShared: however many clients a topic has, the bus has one subscription and an event
// is encoded once.
func TestSSEShared(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, nil)
	encoded := make(chan string, 100)
	f := newFront(t, bus, &pubsub.SSEOptions{Encode: func(e pubsub.Event) (string, []byte, bool) {
		encoded <- string(e.Data)
		return "n", append([]byte("say "), e.Data...), string(e.Data) != "secret"
	}})
	var all []*source
	for i := range 20 {
		topics := []string{"a"}
		if i%2 == 1 {
			topics = []string{"b", "a", "b"}
		}
		all = append(all, f.connect(t, "", topics...))
	}
	for _, s := range all {
		s.greeted()
	}
	if got := f.Stats(); bus.Stats().Subscriptions != 2 || got.Clients != 20 || got.Topics != 2 || got.Connected != 20 {
		t.Errorf("there are %d subscriptions, %+v", bus.Stats().Subscriptions, got)
	}
	say(t, bus, "a", "1", "secret", "2")
	for _, s := range all {
		s.has("say 1", "say 2")
		if s.events[0].name != "n" {
			t.Errorf("the event is called %q", s.events[0].name)
		}
	}
	if got := len(encoded); got != 3 {
		t.Errorf("3 events were encoded %d times", got)
	}
	for _, s := range all {
		s.close()
	}
	redistest.Eventually(t, "nothing is left", func() bool {
		got := f.Stats()
		return bus.Stats().Subscriptions == 0 && got.Clients == 0 && got.Topics == 0
	})
	again := f.connect(t, "", "a")
	again.greeted()
	say(t, bus, "a", "3")
	again.has("say 3")
}

// TestSSETopics: a client with several topics goes on in each of them, also if they change.
func TestSSETopics(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, kept(1000))
	f := newFront(t, bus, nil)
	s := f.connect(t, "", "a", "b", "c")
	s.greeted()
	say(t, bus, "a", "a1", "a2")
	say(t, bus, "b", "b1")
	redistest.Eventually(t, "three events are there", func() bool { return s.count() >= 3 })
	events := s.got()[:3]
	for _, e := range events { // each of the ids is good
		say(t, bus, "c", "c")
		again := f.connect(t, e.lastID, "a", "b", "c")
		redistest.Eventually(t, "c is there", func() bool { return slices.Contains(again.all(), "c") })
		again.close()
	}
	s.close()
	say(t, bus, "a", "a3")
	say(t, bus, "b", "b2")
	say(t, bus, "d", "d1")
	again := f.connect(t, events[2].lastID, "b", "d")
	again.greeted()
	say(t, bus, "d", "d2")
	redistest.Eventually(t, "d2 and b2 are there", func() bool { return again.count() >= 2 })
	got := again.all()
	slices.Sort(got)
	if fmt.Sprint(got) != "[b2 d2]" {
		t.Errorf("with other topics there arrived %q", got)
	}
}

// TestSSERefusals: what is not let in is told why, by status.
func TestSSERefusals(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, nil)
	answer := func(s *pubsub.SSE, method, target string) *http.Response {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(method, target, nil))
		return rec.Result()
	}
	topics := func(r *http.Request) ([]string, error) {
		switch r.URL.Path {
		case "/forbidden":
			return nil, errors.New("secret reason")
		case "/late":
			return nil, context.DeadlineExceeded
		case "/empty":
			return []string{"a", ""}, nil
		case "/many":
			return count(0, 65), nil
		}
		return r.URL.Query()["topic"], nil
	}
	var told error
	for _, handler := range []func(w http.ResponseWriter, _ *http.Request, err error){nil, func(w http.ResponseWriter, _ *http.Request, err error) {
		told = err
		w.WriteHeader(http.StatusTeapot)
	}} {
		s, err := pubsub.NewSSE(bus, topics, &pubsub.SSEOptions{ErrorHandler: handler})
		if err != nil {
			t.Fatal(err)
		}
		closed, err := pubsub.NewSSE(bus, topics, &pubsub.SSEOptions{ErrorHandler: handler})
		if err != nil {
			t.Fatal(err)
		}
		closes(t, closed)
		for _, c := range []struct {
			sse            *pubsub.SSE
			method, target string
			status         int
			retry          bool
			own            bool // not of ErrorHandler
		}{
			{s, "GET", "/", 204, false, true},
			{s, "POST", "/?topic=a", 405, false, true},
			{s, "GET", "/forbidden", 403, false, false},
			{s, "GET", "/late", 503, true, false},
			{s, "GET", "/empty", 500, false, false},
			{s, "GET", "/many", 500, false, false},
			{s, "GET", "/?topic=a", 500, false, false}, // a Recorder has no deadlines
			{closed, "GET", "/?topic=a", 503, true, false},
		} {
			told = nil
			res := answer(c.sse, c.method, c.target)
			if handler != nil && !c.own {
				if res.StatusCode != http.StatusTeapot || told == nil {
					t.Errorf("%s %s: ErrorHandler was told %v, the status is %d", c.method, c.target, told, res.StatusCode)
				}
				continue
			}
			if res.StatusCode != c.status || (res.Header.Get("Retry-After") != "") != c.retry {
				t.Errorf("%s %s: status %d, want %d; Retry-After is %q", c.method, c.target, res.StatusCode, c.status, res.Header.Get("Retry-After"))
			}
			if got := body(t, res); strings.Contains(got, "secret") || strings.Contains(got, "pubsub") {
				t.Errorf("%s %s: clients are told %q", c.method, c.target, got)
			}
			if got := res.Header.Get("Content-Type"); res.StatusCode >= 400 && got != "application/problem+json" {
				t.Errorf("%s %s: the content type of an error is %q", c.method, c.target, got)
			}
		}
		closes(t, s)
	}
	for _, o := range []pubsub.SSEOptions{{Buffer: -1}, {Retry: 1}} {
		if _, err := pubsub.NewSSE(bus, topics, &o); err == nil {
			t.Errorf("NewSSE with %+v = nil error", o)
		}
	}
	if _, err := pubsub.NewSSE(nil, topics, nil); err == nil {
		t.Error("NewSSE without a bus = nil error")
	}
	if _, err := pubsub.NewSSE(bus, nil, nil); err == nil {
		t.Error("NewSSE without topics = nil error")
	}
}

// TestSSEHead: HEAD asks what GET would answer, and does not stay.
func TestSSEHead(t *testing.T) {
	t.Parallel()
	f := newFront(t, memoryBus(t, nil), nil)
	res, err := f.Client().Head(f.URL + "/?topic=a")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Errorf("the status is %d, the content type %q", res.StatusCode, got)
	}
}

// TestSSEMaxClients: one client more than there may be is refused until one has left.
func TestSSEMaxClients(t *testing.T) {
	t.Parallel()
	f := newFront(t, memoryBus(t, nil), &pubsub.SSEOptions{MaxClients: 3})
	var last *source
	for range 3 {
		last = f.connect(t, "", "a")
		last.greeted()
	}
	res := f.ask(t.Context(), t, "", "a")
	wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusServiceUnavailable || err != nil || wait < 1 || wait > 5 {
		t.Errorf("the fourth client has status %d and Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	last.close()
	redistest.Eventually(t, "it has left", func() bool { return f.Stats().Clients == 2 })
	f.connect(t, "", "a").greeted()
	if got := f.Stats(); got.Refused != 1 || got.Connected != 4 {
		t.Errorf("Stats = %+v", got)
	}
}

// TestSSEKeepAlive: there is a comment whenever nothing was sent for a while.
func TestSSEKeepAlive(t *testing.T) {
	t.Parallel()
	f := newFront(t, memoryBus(t, nil), &pubsub.SSEOptions{KeepAlive: 20 * time.Millisecond})
	s := f.connect(t, "", "a")
	redistest.Eventually(t, "there are three comments", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.comments >= 3
	})
	if s.count() != 0 {
		t.Errorf("comments are events: %q", s.all())
	}
}

// TestSSEClose: clients are sent what there is, the responses end, and nobody comes in.
func TestSSEClose(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"SSE", "bus"} {
		bus := memoryBus(t, kept(1000))
		f := newFront(t, bus, nil)
		var all []*source
		for range 10 {
			s := f.connect(t, "", "a", "b")
			s.greeted()
			all = append(all, s)
		}
		want := count(0, 200)
		say(t, bus, "a", want...)
		if what == "SSE" {
			closes(t, f.SSE)
		} else {
			closes(t, bus)
		}
		for _, s := range all {
			s.ends()
			if got := s.all(); what == "bus" && len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(want[:len(got)]) {
				t.Errorf("closing the %s: there arrived %q", what, short(got))
			}
		}
		if got := f.ask(t.Context(), t, "", "a").StatusCode; got != http.StatusServiceUnavailable {
			t.Errorf("after closing the %s the status is %d, want 503", what, got)
		}
		redistest.Eventually(t, "nobody is left", func() bool { return f.Stats().Clients == 0 && f.Stats().Topics == 0 })
	}
}

// TestSSEUnavailable: a bus that cannot subscribe is an answer, and not the end.
func TestSSEUnavailable(t *testing.T) {
	t.Parallel()
	bus := &faultyBus{Bus: memoryBus(t, nil)}
	bus.fail.Store(true)
	f := newFront(t, bus, nil)
	redistest.Together(10, func(int) {
		res := f.ask(t.Context(), t, "", "a", "b")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("the status is %d", res.StatusCode)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	})
	bus.fail.Store(false)
	s := f.connect(t, "", "a", "b")
	s.greeted()
	say(t, bus, "a", "1")
	s.has("1")
}

// TestSSERecovers: that a topic could not be subscribed to is nothing to those who ask later,
// also if somebody who was told so has not left yet.
func TestSSERecovers(t *testing.T) {
	t.Parallel()
	bus := &faultyBus{Bus: memoryBus(t, nil), gate: make(chan struct{}), gated: "a"}
	bus.fail.Store(true)
	f := newFront(t, bus, nil)
	status := make(chan int)
	go func() { status <- f.ask(t.Context(), t, "", "a", "b").StatusCode }() // it waits for a
	redistest.Eventually(t, "b has failed", func() bool { return bus.fails.Load() == 1 && f.Stats().Topics == 1 })
	bus.fail.Store(false)
	s := f.connect(t, "", "b")
	s.greeted()
	say(t, bus, "b", "1")
	s.has("1")
	close(bus.gate)
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("the status is %d, want 503", got)
	}
}

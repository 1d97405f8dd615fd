package pubsub_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// counter is a client that counts: cheaper than a source.
type counter struct {
	n     atomic.Int64
	wrong atomic.Bool // not each of the numbers, in order
}

// connectCounting connects a client to a topic whose events begin with their number and a dot.
func (f front) connectCounting(t *testing.T, topic string) *counter {
	t.Helper()
	s := f.connectHeld(t, "", topic)
	c := new(counter)
	go func() {
		defer close(s.ended)
		for lines := bufio.NewScanner(s.res.Body); lines.Scan(); {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !ok {
				continue
			}
			number, _, _ := bytes.Cut(data, []byte("."))
			if n, err := strconv.ParseInt(string(number), 10, 64); err != nil || n != c.n.Load() {
				c.wrong.Store(true)
			}
			c.n.Add(1)
		}
	}()
	return c
}

// TestSSEStalled: one client among 100 reads nothing. The other 99 get each of 5,000 events.
func TestSSEStalled(t *testing.T) {
	t.Parallel()
	const clients, events = 100, 5000
	for name, opts := range map[string]*pubsub.Options{"live": nil, "replayable": kept(events)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if opts != nil {
				redistest.Long(t)
			}
			bus := memoryBus(t, opts)
			f := newFront(t, bus, &pubsub.SSEOptions{Buffer: events, WriteTimeout: time.Hour}, tight)
			var all []*counter
			for range clients - 1 {
				all = append(all, f.connectCounting(t, "a"))
			}
			stalled := f.stall(t, "a")
			for i := range events {
				say(t, bus, "a", fmt.Sprint(i, strings.Repeat(".", 60)))
			}
			for i, c := range all {
				for had := int64(0); had < events; had = c.n.Load() {
					redistest.Eventually(t, "another event has arrived", func() bool { return c.n.Load() > had })
				}
				if n := c.n.Load(); n != events || c.wrong.Load() {
					t.Errorf("client %d has %d events, not in order: %v", i, n, c.wrong.Load())
				}
			}
			if got := f.Stats(); got.Clients != clients || got.Gaps != 0 {
				t.Errorf("Stats = %+v, want all clients and no gaps", got)
			}
			stalled.Close()
		})
	}
}

// brief is a WriteTimeout that is over soon, but not before a busy machine has sent the
// beginning of an answer.
const brief = 2 * time.Second

// TestSSECut: a client that reads nothing is cut off when it has had its time.
func TestSSECut(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*httptest.Server){
		"HTTP1": tight,
		"HTTP2": func(srv *httptest.Server) { srv.EnableHTTP2 = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := memoryBus(t, nil)
			f := newFront(t, bus, &pubsub.SSEOptions{WriteTimeout: brief}, edit)
			if name == "HTTP2" {
				f.ask(t.Context(), t, "", "a")
			} else {
				f.stall(t, "a")
			}
			for range 100 {
				say(t, bus, "a", strings.Repeat(".", 100_000))
			}
			redistest.Eventually(t, "the stalled client is gone", func() bool { return f.Stats().Clients == 0 })
			if got := f.Stats(); got.Stalled != 1 {
				t.Errorf("Stats = %+v, want one that has stalled", got)
			}
		})
	}
}

// TestSSELag: a client that lags behind further than the buffer has had what it has not had
// announced or, where there is a history, has it.
func TestSSELag(t *testing.T) {
	t.Parallel()
	const events = 2000
	for _, c := range []struct {
		name string
		opts *pubsub.Options
		lost string // why events are lost, if any are
	}{
		{"live", nil, "SlowConsumer"},
		{"replayable", kept(events), ""},
		{"trimmed", kept(20), "Trimmed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := memoryBus(t, c.opts)
			f := newFront(t, bus, &pubsub.SSEOptions{Buffer: 10, WriteTimeout: time.Minute}, tight)
			slow, slower := f.stall(t, "a"), f.stall(t, "a", "b")
			fill := strings.Repeat(".", 1000)
			for i := range events {
				say(t, bus, "a", fmt.Sprint(i, fill))
			}
			for _, s := range []*source{slow.read(), slower.read()} {
				redistest.Eventually(t, "the last event is there", func() bool {
					all := s.all()
					return len(all) > 0 && all[len(all)-1] == fmt.Sprint(events-1, fill)
				})
				got, missed, unknown := s.missed()
				if got+missed != events || unknown {
					t.Errorf("%d events have arrived and %d are announced (unknown: %v), of %d", got, missed, unknown, events)
				}
				if (missed > 0) != (c.lost != "") || !strings.Contains(fmt.Sprint(s.all()), c.lost) {
					t.Errorf("%d events are lost: %q", missed, short(s.all()))
				}
				last := -1
				for _, text := range s.all() {
					var n int
					if _, err := fmt.Sscanf(text, "%d.", &n); err == nil {
						if n <= last {
							t.Fatalf("after %d comes %d", last, n)
						}
						last = n
					}
				}
			}
			if got := f.Stats(); c.opts != nil && got.Replayed == 0 {
				t.Errorf("Stats = %+v, want that the history was read", got)
			}
			slow.Close()
		})
	}
}

// TestSSECloseStalled: Close does not wait for a client that reads nothing longer than it is
// told to, and leaves nothing behind.
func TestSSECloseStalled(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{"long": time.Hour, "none": -1} {
		t.Run(name, func(t *testing.T) {
			bus := memoryBus(t, kept(1000))
			f := newFront(t, bus, &pubsub.SSEOptions{WriteTimeout: timeout}, tight)
			well := f.connect(t, "", "a")
			f.stall(t, "a")
			for range 1000 {
				say(t, bus, "a", strings.Repeat(".", 1000))
			}
			redistest.Eventually(t, "the other one has all", func() bool { return well.count() == 1000 })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := f.SSE.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close = %v, want that it had no time", err)
			}
			well.ends()
			closes(t, f.SSE)
			if got := f.Stats(); got.Clients != 0 || got.Topics != 0 || bus.Stats().Subscriptions != 0 {
				t.Errorf("after Close there are %+v", got)
			}
		})
	}
	t.Run("short", func(t *testing.T) { // it is cut off while Close waits
		bus := memoryBus(t, kept(1000))
		f := newFront(t, bus, &pubsub.SSEOptions{WriteTimeout: brief}, tight)
		f.stall(t, "a")
		for range 1000 {
			say(t, bus, "a", strings.Repeat(".", 1000))
		}
		closes(t, f.SSE)
	})
}

// TestSSECloseOpening: Close does not wait for a bus that does not answer.
func TestSSECloseOpening(t *testing.T) {
	t.Parallel()
	bus := &faultyBus{Bus: memoryBus(t, nil), gate: make(chan struct{})}
	f := newFront(t, bus, nil)
	status := make(chan int)
	go func() { status <- f.ask(t.Context(), t, "", "a").StatusCode }()
	redistest.Eventually(t, "it waits", func() bool { return f.Stats().Topics == 1 })
	closes(t, f.SSE)
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("the status is %d, want 503", got)
	}
}

// TestSSEImpatient: that the first client goes away while the bus subscribes is nothing to
// the second.
func TestSSEImpatient(t *testing.T) {
	t.Parallel()
	bus := &faultyBus{Bus: memoryBus(t, nil), gate: make(chan struct{})}
	f := newFront(t, bus, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+"/?topic=a", nil)
		_, err := f.Client().Do(req)
		first <- err
	}()
	redistest.Eventually(t, "the first waits", func() bool { return f.Stats().Topics == 1 })
	second := make(chan *source)
	go func() { second <- f.connect(t, "", "a") }()
	redistest.Eventually(t, "both wait", func() bool { return f.Stats().Clients == 2 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first client has %v", err)
	}
	redistest.Eventually(t, "one waits", func() bool { return f.Stats().Clients == 1 })
	close(bus.gate)
	s := <-second
	s.greeted()
	say(t, bus, "a", "1")
	s.has("1")
}

// TestSSEStalledStream: where a stream of HTTP/2 is not read, the other one of the same
// connection has all.
func TestSSEStalledStream(t *testing.T) {
	t.Parallel()
	const events = 60
	bus := memoryBus(t, kept(events))
	f := newFront(t, bus, &pubsub.SSEOptions{WriteTimeout: time.Hour}, func(srv *httptest.Server) { srv.EnableHTTP2 = true })
	s := f.connect(t, "", "a")
	s.greeted()
	if s.res.ProtoMajor != 2 {
		t.Fatalf("it speaks %s", s.res.Proto)
	}
	f.ask(t.Context(), t, "", "a") // and does not read
	want := count(0, events)
	for i := range want {
		want[i] += strings.Repeat(".", 100_000)
	}
	say(t, bus, "a", want...)
	s.has(want...)
	if got := f.Stats(); got.Clients != 2 {
		t.Errorf("Stats = %+v, want two clients", got)
	}
}

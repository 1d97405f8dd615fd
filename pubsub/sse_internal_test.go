package pubsub

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A gap that was read from the history leaves a client where it was: so says the next id, if
// it is that of another topic's event.
func TestSSEGapPosition(t *testing.T) {
	t.Parallel()
	bus, err := NewMemory(&Options{HistoryLen: 10})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSSE(bus, func(*http.Request) ([]string, error) { return nil, nil }, &SSEOptions{WriteTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(s, httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	defer c.cancel()
	p := &place{c: c, pos: "here"}
	p.from = &replay{place: p}
	if err := c.take(replayed{p.from, encodeGap(Gap{"a", Trimmed, 3}, "")}); err != nil || p.pos != "here" {
		t.Errorf("after a gap the client is at %q, %v", p.pos, err)
	}
}

package pubsub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// memoryBus returns a bus that is closed with the test.
func memoryBus(t *testing.T, opts *pubsub.Options) *pubsub.Memory {
	t.Helper()
	m, err := pubsub.NewMemory(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, m) })
	return m
}

// kept are the options of a replayable bus.
func kept(n int) *pubsub.Options { return &pubsub.Options{HistoryLen: n} }

// ofQuery chooses the topics that a request asks for: a test's clients may have any.
func ofQuery(r *http.Request) ([]string, error) { return r.URL.Query()["topic"], nil }

// front is an SSE and the server in front of it.
type front struct {
	*pubsub.SSE
	*httptest.Server
}

// newFront starts a server with an SSE, which may be wrapped, and closes both with the test.
func newFront(t *testing.T, bus pubsub.Bus, opts *pubsub.SSEOptions, edits ...func(*httptest.Server)) front {
	t.Helper()
	s, err := pubsub.NewSSE(bus, ofQuery, opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(s)
	for _, edit := range edits {
		edit(srv)
	}
	if srv.EnableHTTP2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		closes(t, s)
		srv.CloseClientConnections()
		srv.Close()
	})
	return front{s, srv}
}

// sseEvent is an event as a browser has it.
type sseEvent struct{ name, data, lastID string }

// source is what EventSource is to a page, without connecting again by itself.
type source struct {
	t      *testing.T
	res    *http.Response
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	events   []sseEvent
	lastID   string
	retry    string
	comments int
}

// connect asks for topics. lastID may be empty.
func (f front) connect(t *testing.T, lastID string, topics ...string) *source {
	t.Helper()
	s := f.connectHeld(t, lastID, topics...)
	go s.read()
	return s
}

// connectHeld is connect without reading.
func (f front) connectHeld(t *testing.T, lastID string, topics ...string) *source {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	res := f.ask(ctx, t, lastID, topics...)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the status is %d, want 200", res.StatusCode)
	}
	s := &source{t: t, res: res, cancel: cancel, ended: make(chan struct{})}
	t.Cleanup(s.close)
	return s
}

// ask sends a request.
func (f front) ask(ctx context.Context, t *testing.T, lastID string, topics ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+"/?topic="+strings.Join(topics, "&topic="), nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := f.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// read takes the stream apart as the specification of server-sent events says.
func (s *source) read() {
	defer close(s.ended)
	r := bufio.NewReader(s.res.Body)
	var name, id string
	var data strings.Builder
	has := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return // and what is not complete is no event
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		s.mu.Lock()
		switch {
		case line == "":
			if id != "" {
				s.lastID = id
			}
			if has {
				s.events = append(s.events, sseEvent{name, strings.TrimSuffix(data.String(), "\n"), s.lastID})
			}
			name, has = "", false
			data.Reset()
		case field == "":
			s.comments++
		case field == "event":
			name = value
		case field == "data":
			has = true
			data.WriteString(value + "\n")
		case field == "id":
			id = value
		case field == "retry":
			s.retry = value
		default:
			s.t.Errorf("the stream has a line %q", line)
		}
		s.mu.Unlock()
	}
}

// close goes away.
func (s *source) close() {
	s.cancel()
	_ = s.res.Body.Close()
	<-s.ended
}

func (s *source) id() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastID
}

// all returns what has arrived: the data of events, and gaps as "gap:<reason>:<missed>".
func (s *source) all() (texts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.name != "gap" {
			texts = append(texts, e.data)
			continue
		}
		var g struct {
			Topic, Reason string
			Missed        int64
		}
		if err := json.Unmarshal([]byte(e.data), &g); err != nil || g.Topic == "" {
			s.t.Errorf("a gap is %q, %v", e.data, err)
		}
		texts = append(texts, fmt.Sprintf("gap:%s:%d", g.Reason, g.Missed))
	}
	return texts
}

func (s *source) got() []sseEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// greeted waits for the first id, and returns it.
func (s *source) greeted() string {
	s.t.Helper()
	redistest.Eventually(s.t, "there is an id", func() bool { return s.id() != "" })
	return s.id()
}

// has waits until as much has arrived as is wanted, and compares.
func (s *source) has(want ...string) {
	s.t.Helper()
	for had := s.count(); had < len(want); had = s.count() {
		redistest.Eventually(s.t, fmt.Sprintf("more than %d of %d events have arrived", had, len(want)), func() bool { return s.count() > had })
	}
	if got := s.all(); fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("there arrived %q, want %q", short(got), short(want))
	}
}

func short(texts []string) []string {
	if len(texts) > 40 {
		return append(texts[:20:20], append([]string{"…"}, texts[len(texts)-20:]...)...)
	}
	return texts
}

// ends waits for the end of the response.
func (s *source) ends() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		s.t.Fatal("the response does not end")
	}
}

// say publishes events of which the given texts are the data.
func say(t *testing.T, p pubsub.Publisher, topic string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := p.Publish(t.Context(), topic, pubsub.Event{Data: []byte(text)}); err != nil {
			t.Fatalf("Publish = %v", err)
		}
	}
}

// count are the texts of n events.
func count(from, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprint(from+i))
	}
	return texts
}

// body reads a short answer.
func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// faultyBus refuses to subscribe while fail is set, and waits for gate if there is one and the
// topic is gated, or all are.
type faultyBus struct {
	pubsub.Bus
	fail  atomic.Bool
	fails atomic.Int64 // how often it has
	gate  chan struct{}
	gated string
}

func (b *faultyBus) Subscribe(ctx context.Context, topic string, h pubsub.Handler, opts *pubsub.SubscribeOptions) (pubsub.Subscription, error) {
	if b.gate != nil && (b.gated == "" || b.gated == topic) {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if b.fail.Load() {
		defer b.fails.Add(1)
		return nil, fmt.Errorf("%w: a test", pubsub.ErrUnavailable)
	}
	return b.Bus.Subscribe(ctx, topic, h, opts)
}

// tight is for servers whose connections hold little that their clients have not read.
func tight(srv *httptest.Server) { srv.Listener = tightListener{srv.Listener} }

type tightListener struct{ net.Listener }

func (l tightListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return conn, err
}

// stall connects and does not read.
func (f front) stall(t *testing.T, topics ...string) *stalled {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	before := f.Stats().Connected
	if _, err := fmt.Fprintf(conn, "GET /?topic=%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Join(topics, "&topic=")); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "it is connected", func() bool { return f.Stats().Connected > before })
	return &stalled{t, conn}
}

type stalled struct {
	t *testing.T
	net.Conn
}

// read reads after all.
func (s *stalled) read() *source {
	s.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(s.Conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	src := &source{t: s.t, res: res, cancel: func() { _ = s.Conn.Close() }, ended: make(chan struct{})}
	go src.read()
	s.t.Cleanup(src.close)
	return src
}

// missed is how many events there are, and how many gaps say that there are not; unknown
// is set by one that cannot tell.
func (s *source) missed() (events, missed int, unknown bool) {
	for _, text := range s.all() {
		switch kind, n, _ := strings.Cut(strings.TrimPrefix(text, "gap:"), ":"); {
		case kind == text:
			events++
		case n == "-1":
			unknown = true
		default:
			m, err := strconv.Atoi(n)
			if err != nil {
				s.t.Errorf("a gap is %q", text)
			}
			missed += m
		}
	}
	return events, missed, unknown
}

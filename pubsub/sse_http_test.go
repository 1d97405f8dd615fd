package pubsub_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// unwrapped hides everything but what http.ResponseController finds by Unwrap.
type unwrapped struct{ w http.ResponseWriter }

func (u unwrapped) Header() http.Header         { return u.w.Header() }
func (u unwrapped) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapped) WriteHeader(status int)      { u.w.WriteHeader(status) }
func (u unwrapped) Unwrap() http.ResponseWriter { return u.w }

// opaque hides it from http.ResponseController too.
type opaque struct{ http.ResponseWriter }

// flushing is opaque but for Flush, as wrappers were before http.ResponseController.
type flushing struct{ http.ResponseWriter }

func (f flushing) Flush() { f.ResponseWriter.(http.Flusher).Flush() }

// wrap puts a wrapper around the ResponseWriter.
func wrap(with func(http.ResponseWriter) http.ResponseWriter) func(*httptest.Server) {
	return func(srv *httptest.Server) {
		next := srv.Config.Handler
		srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(with(w), r) })
	}
}

// TestSSEServers: it works with both versions of HTTP, whatever the timeouts of the server
// are, and through wrappers. Long after the timeouts the clients are still there.
func TestSSEServers(t *testing.T) {
	t.Parallel()
	// Long enough for whatever a busy machine does before the stream begins.
	const limit = 3 * time.Second
	impatient := func(srv *httptest.Server) { srv.Config.ReadTimeout, srv.Config.WriteTimeout = limit, limit }
	http2 := func(srv *httptest.Server) { srv.EnableHTTP2 = true }
	for name, c := range map[string]struct {
		timeout time.Duration // limit: it is over before the first comment
		long    bool          // until the server's timeouts are over
		edits   []func(*httptest.Server)
	}{
		"HTTP1":               {0, false, nil},
		"HTTP2":               {0, false, []func(*httptest.Server){http2}},
		"HTTP1 impatient":     {0, true, []func(*httptest.Server){impatient}},
		"HTTP2 impatient":     {0, true, []func(*httptest.Server){http2, impatient}},
		"HTTP1 short":         {limit, true, []func(*httptest.Server){impatient}},
		"HTTP2 short":         {limit, true, []func(*httptest.Server){http2, impatient}},
		"HTTP1 no deadlines":  {-1, true, []func(*httptest.Server){impatient}},
		"HTTP2 no deadlines":  {-1, true, []func(*httptest.Server){http2, impatient}},
		"HTTP1 unwrapped":     {0, false, []func(*httptest.Server){wrap(func(w http.ResponseWriter) http.ResponseWriter { return unwrapped{w} })}},
		"HTTP2 unwrapped":     {0, false, []func(*httptest.Server){wrap(func(w http.ResponseWriter) http.ResponseWriter { return unwrapped{w} }), http2}},
		"HTTP1 only flushing": {-1, false, []func(*httptest.Server){wrap(func(w http.ResponseWriter) http.ResponseWriter { return flushing{w} })}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := memoryBus(t, kept(10))
			keepAlive, comments, long := 100*time.Millisecond, 3, time.Duration(0)
			if c.timeout == limit {
				keepAlive, comments = limit*3/2, 1
			}
			if c.long {
				redistest.Long(t)
				long = limit * 5 / 4
			}
			f := newFront(t, bus, &pubsub.SSEOptions{KeepAlive: keepAlive, WriteTimeout: c.timeout}, c.edits...)
			s := f.connect(t, "", "a")
			if want := strings.HasPrefix(name, "HTTP2"); (s.res.ProtoMajor == 2) != want {
				t.Fatalf("it speaks %s", s.res.Proto)
			}
			began := time.Now()
			redistest.Eventually(t, "there are comments", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.comments >= comments && time.Since(began) > long
			})
			say(t, bus, "a", "1", "2")
			s.has("1", "2")
			closes(t, f.SSE)
			s.ends()
			// The connection may be used again, without the deadlines of the stream.
			if res := f.ask(t.Context(), t, "", "a"); res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("after Close the status is %d", res.StatusCode)
			}
		})
	}
}

// timed is a ResponseWriter that notes which deadlines it is given.
type timed struct {
	http.ResponseWriter
	mu        sync.Mutex
	deadlines []time.Time
}

func (w *timed) SetWriteDeadline(deadline time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadlines = append(w.deadlines, deadline)
	return nil
}

func (w *timed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestSSEDeadlines: what is sent has a deadline, and there is none, nor the server's, while
// nothing is.
func TestSSEDeadlines(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{time.Hour, -1} {
		w := &timed{}
		f := newFront(t, memoryBus(t, nil), &pubsub.SSEOptions{WriteTimeout: timeout}, wrap(func(rw http.ResponseWriter) http.ResponseWriter {
			w.ResponseWriter = rw
			return w
		}))
		s := f.connect(t, "", "a")
		s.greeted()
		closes(t, f.SSE)
		s.ends()
		w.mu.Lock()
		defer w.mu.Unlock()
		n := len(w.deadlines)
		if n < 3 || !w.deadlines[n-2].IsZero() { // the last is that of the end
			t.Fatalf("the deadlines are %v", w.deadlines)
		}
		for _, i := range []int{0, n - 1} {
			if got := w.deadlines[i]; got.IsZero() != (timeout < 0) || timeout > 0 && time.Until(got) < timeout/2 {
				t.Errorf("the deadlines are %v, with a timeout of %v", w.deadlines, timeout)
			}
		}
	}
}

// TestSSEOpaque: a ResponseWriter that cannot stream, or cannot set deadlines, is an error at
// once, and nothing of the stream is in the answer.
func TestSSEOpaque(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"opaque":   func(w http.ResponseWriter) http.ResponseWriter { return opaque{w} },
		"flushing": func(w http.ResponseWriter) http.ResponseWriter { return flushing{w} },
	} {
		f := newFront(t, memoryBus(t, nil), nil, wrap(with))
		res := f.ask(t.Context(), t, "", "a")
		if res.StatusCode != http.StatusInternalServerError || res.Header.Get("X-Accel-Buffering") != "" ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: the status is %d, the header %v", name, res.StatusCode, res.Header)
		}
		if got := body(t, res); !strings.HasPrefix(got, "{") {
			t.Errorf("%s: the answer is %q", name, got)
		}
	}
}

// TestSSEGoroutines: a client that has nothing to do has one goroutine, its request's, and
// its topic none. It runs alone.
func TestSSEGoroutines(t *testing.T) {
	const clients = 200
	f := newFront(t, memoryBus(t, kept(10)), nil)
	var all []*source
	for range clients {
		s := f.connect(t, "", "a")
		s.greeted()
		all = append(all, s)
	}
	ours := func() (serving, others int) {
		buf := make([]byte, 16<<20)
		for stack := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
			switch {
			case bytes.Contains(stack, []byte("pubsub.(*SSE).ServeHTTP")):
				serving++
			case bytes.Contains(stack, []byte("/pubsub.(")):
				others++
			}
		}
		return serving, others
	}
	redistest.Eventually(t, "there is one goroutine for each, and no other", func() bool {
		serving, others := ours()
		return serving == clients && others == 0
	})
	for _, s := range all {
		s.close()
	}
	redistest.Eventually(t, "there is none", func() bool {
		serving, others := ours()
		return serving+others == 0
	})
}

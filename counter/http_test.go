package counter

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestMiddleware(t *testing.T) {
	t.Parallel()
	r := newCounter(t, redistest.Mini(t).Client(t), Options{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/empty":
		case "/body":
			_, _ = io.WriteString(w, "hello")
			w.WriteHeader(http.StatusNotFound) // too late
		case "/file":
			_, _ = io.Copy(w, strings.NewReader("hello"))
		case "/flush":
			w.(http.Flusher).Flush()
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		case "/part":
			w.WriteHeader(http.StatusPartialContent)
		case "/same":
			w.WriteHeader(http.StatusNotModified)
		case "/moved":
			w.WriteHeader(http.StatusFound)
		case "/missing":
			http.NotFound(w, req)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/rewritten":
			req.URL.Path = "/other"
		case "/hijack":
			conn, rw, err := http.NewResponseController(w).Hijack()
			check(t, err)
			_, _ = rw.WriteString("HTTP/1.1 204 No Content\r\n\r\n")
			_ = rw.Flush()
			_ = conn.Close()
		}
	})
	srv := httptest.NewServer(Middleware(r, nil)(handler))
	defer srv.Close()
	views := func(path string, want int64) {
		t.Helper()
		redistest.Eventually(t, path+" is counted", func() bool { n, err := r.Get(t.Context(), path); return n == want && err == nil })
	}
	ask := func(method, path, purpose string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
		check(t, err)
		req.Header.Set("Sec-Purpose", purpose)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			if path != "/panic" {
				t.Error(err)
			}
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for path, want := range map[string]int64{
		"/empty": 1, "/body": 1, "/file": 1, "/flush": 1, "/early": 1, "/same": 1, "/rewritten": 1,
		"/part": 0, "/moved": 0, "/missing": 0, "/broken": 0, "/panic": 0, "/hijack": 0,
	} {
		ask("GET", path, "")
		if want == 0 { // it would have been counted before the next request is
			ask("GET", "/empty", "")
		}
		if path != "/empty" {
			views(path, want)
		}
	}
	has(t, r, "/other", 0)
	n, err := r.Get(t.Context(), "/empty")
	check(t, err)
	ask("POST", "/empty", "")
	ask("HEAD", "/empty", "")
	ask("GET", "/empty", "prefetch;prerender")
	ask("GET", "/empty", "")
	views("/empty", n+1)
}

// A visitor counts once, for as long as the counter remembers; those who are nobody always.
func TestMiddlewareVisitor(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newCounter(t, s.Client(t), Options{OnceFor: 30 * time.Minute})
		h := Middleware(r, &MiddlewareOptions{
			Key:     func(r *http.Request) string { return r.Header.Get("Key") },
			Visitor: func(r *http.Request) string { return r.Header.Get("Visitor") },
		})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Header.Set("Visitor", "changed") }))
		visit := func(key, visitor string) {
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			req.Header.Set("Key", key)
			req.Header.Set("Visitor", visitor)
			h.ServeHTTP(httptest.NewRecorder(), req)
		}
		for range 3 {
			visit("a", "ada")
			visit("a", "bob")
			visit("b", "ada")
			visit("c", "")
			visit("", "ada")
		}
		has(t, r, "a", 2)
		has(t, r, "b", 1)
		has(t, r, "c", 3)
		has(t, r, "", 0)
		time.Sleep(31 * time.Minute)
		visit("a", "ada")
		has(t, r, "a", 3)
	})
}

// A view counts although its client has gone, and what fails is told and does not hurt.
func TestMiddlewareErrors(t *testing.T) {
	t.Parallel()
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newCounter(t, p.Client(t), Options{Timeout: time.Second})
		var told []error
		h := Middleware(r, &MiddlewareOptions{OnError: func(err error) { told = append(told, err) }})(http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/p", nil))
		has(t, r, "/p", 1)
		p.Refuse(true)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/p", nil))
		Middleware(r, nil)(h).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/p", nil))
		if w.Code != http.StatusOK || w.Body.String() != "hello" {
			t.Errorf("the response is %d %q", w.Code, w.Body)
		}
		if err := errors.Join(told...); len(told) != 2 || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("OnError was told %v", told)
		}
		p.Refuse(false)
		time.Sleep(time.Minute)
	})
}

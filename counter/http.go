package counter

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
)

// MiddlewareOptions are what [Middleware] does. The zero value counts every view of every
// path.
type MiddlewareOptions struct {
	// Key names what is viewed; a request with the key "" is not counted. Nil: the path of
	// the URL. Set it to count the same thing under several paths, or to leave out robots.
	Key func(*http.Request) string

	// Visitor names who views it, by a session or an address say. A view by the same
	// visitor of the same key counts once as long as the counter remembers it, which is
	// [Options.OnceFor]. With the visitor "" it counts in any case. Nil: every view counts.
	Visitor func(*http.Request) string

	// OnError is told why a view could not be counted; the response does not depend on it.
	// It may be called by several goroutines at once and must not block. Nil: nothing is
	// told.
	OnError func(error)
}

// Middleware counts the views of what a handler serves: its answers to GET with a status of
// 200 to 299, but 206, or 304. What a browser fetches ahead (Sec-Purpose: prefetch) is not
// a view.
//
// A view is counted when the handler has ended, also if its client is gone by then, and the
// response ends when it has been: with a [*Redis] after a round trip, or its Timeout while
// Redis is away. A [*Buffered] seldom waits.
func Middleware(c Counter, opts *MiddlewareOptions) func(http.Handler) http.Handler {
	var o MiddlewareOptions
	if opts != nil {
		o = *opts
	}
	if o.Key == nil {
		o.Key = func(r *http.Request) string { return r.URL.Path }
	}
	return func(next http.Handler) http.Handler {
		return &counted{c, &o, next}
	}
}

// counted is a handler whose views are counted.
type counted struct {
	counter Counter
	o       *MiddlewareOptions
	next    http.Handler
}

func (h *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		h.next.ServeHTTP(w, r)
		return
	}
	// A handler may change its request.
	key, visitor := h.o.Key(r), ""
	if key == "" {
		h.next.ServeHTTP(w, r)
		return
	}
	if h.o.Visitor != nil {
		visitor = h.o.Visitor(r)
	}
	rec := &recorder{ResponseWriter: w}
	h.next.ServeHTTP(rec, r)
	if !rec.isView() {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	var err error
	if visitor == "" {
		_, err = h.counter.Add(ctx, key, 1)
	} else {
		_, _, err = h.counter.AddOnce(ctx, key, visitor, 1)
	}
	if err != nil && h.o.OnError != nil {
		h.o.OnError(err)
	}
}

// recorder remembers the status of a response.
type recorder struct {
	http.ResponseWriter
	status   int // the final one, if it was written
	hijacked bool
}

func (rec *recorder) isView() bool {
	switch {
	case rec.hijacked || rec.status == http.StatusPartialContent:
		return false
	case rec.status == 0 || rec.status == http.StatusNotModified: // the server writes 200
		return true
	}
	return rec.status >= 200 && rec.status < 300
}

// Unwrap is for [http.ResponseController].
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader lets informational responses pass: they are not the last.
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.implicit()
	return rec.ResponseWriter.Write(p)
}

// ReadFrom leaves it to the connection to send a file.
func (rec *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(rec.ResponseWriter, src)
	if n > 0 {
		rec.implicit()
	}
	return n, err
}

// implicit notes that the body began without WriteHeader.
func (rec *recorder) implicit() {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
}

// Flush is for handlers that ask for an http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }

// FlushError is for [http.ResponseController].
func (rec *recorder) FlushError() error {
	err := http.NewResponseController(rec.ResponseWriter).Flush()
	if err == nil {
		rec.implicit()
	}
	return err
}

// Hijack takes the connection over.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	rec.hijacked = rec.hijacked || err == nil
	return conn, rw, err
}

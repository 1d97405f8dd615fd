package counter

import (
	"context"
	"net/http"
	"strings"

	"github.com/freshet-go/freshet/internal/response"
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
	rec := &response.Recorder{ResponseWriter: w}
	h.next.ServeHTTP(rec, r)
	if !isView(rec) {
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

// isView reports whether a response has shown the page.
func isView(rec *response.Recorder) bool {
	switch {
	case rec.Hijacked || rec.Status == http.StatusPartialContent:
		return false
	case rec.Status == 0 || rec.Status == http.StatusNotModified: // the server writes 200
		return true
	}
	return rec.Status >= 200 && rec.Status < 300
}

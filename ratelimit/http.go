package ratelimit

import (
	"context"
	"errors"
	"net/http"

	"github.com/freshet-go/freshet/internal/response"
)

// MiddlewareOptions are what [Middleware] does. The zero value limits each client
// address to what the limiter allows.
type MiddlewareOptions struct {
	// Key names whose limit a request counts against; a request with the key ""
	// is not limited. Nil: [ClientIP] without options, which is the address of the
	// connection. Set it if there is a proxy in front, or clients have accounts.
	Key func(*http.Request) string

	// Cost is how many tokens a request takes; one that costs less than 1 is not
	// limited. Nil: 1. Set it if some requests are more work than others.
	Cost func(*http.Request) int

	// DryRun takes tokens and decides, and lets every request pass: its client
	// sees no difference. False: limits are enforced. Set it to learn from the
	// limiter's Stats, or from Done, what a new limit would do.
	DryRun bool

	// Denied answers a request that the limit denies. The header has been filled
	// in, see [Middleware], and may be changed. Nil: status 429 and an
	// application/problem+json of the type quota-exceeded.
	Denied func(http.ResponseWriter, *http.Request, Result)

	// Done is called when the handler has ended: with the request's context, which
	// no longer ends with the request, the key, how many tokens it took from Redis
	// (none if DryRun let it pass, or Redis was away), and its status, 500 if the handler panicked and 101 if it
	// hijacked the connection. Nil: nothing is done. Use it to Refund what failed.
	Done func(ctx context.Context, key string, n, status int)

	// ErrorHandler answers a request about which the limiter could not decide.
	// Nil: status 503, or 400 after [ErrExceedsBurst], and an
	// application/problem+json that does not tell the error.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Middleware passes to a handler the requests that l allows. In the header of every
// response it tells clients where they stand:
//
//	RateLimit-Policy: "default";q=100;w=60   a limit: its name, 100 in 60 seconds
//	RateLimit: "default";r=50;t=30           50 remain, for the next 30 seconds
//	X-RateLimit-Limit: 100
//	X-RateLimit-Remaining: 50
//	X-RateLimit-Reset: 30                    seconds until all of the limit is there again
//	Retry-After: 2                           of a denial: seconds
//	Cache-Control: no-store                  of a denial
//
// The first two are those of draft-ietf-httpapi-ratelimit-headers-10; of a denial t
// is Retry-After. Durations are rounded up to whole seconds. The policy of a limit
// with a Burst of its own is that many in the time in which they come back. Names
// may have the printable characters of ASCII, and others are percent-encoded.
//
// If several of these are around a handler, each adds its policy to the first two,
// and X-RateLimit is of the one of which least remains.
func Middleware(l Limiter, opts *MiddlewareOptions) func(http.Handler) http.Handler {
	var o MiddlewareOptions
	if opts != nil {
		o = *opts
	}
	if o.Key == nil {
		o.Key, _ = ClientIP(nil) // which does not fail
	}
	if o.Denied == nil {
		o.Denied = denied
	}
	if o.ErrorHandler == nil {
		o.ErrorHandler = failed
	}
	return func(next http.Handler) http.Handler {
		return &limited{l, &o, next}
	}
}

// limited is a handler behind a limiter.
type limited struct {
	limiter Limiter
	o       *MiddlewareOptions
	next    http.Handler
}

func (h *limited) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := 1
	if h.o.Cost != nil {
		n = h.o.Cost(r)
	}
	var key string
	if n >= 1 {
		key = h.o.Key(r)
	}
	if key == "" {
		h.next.ServeHTTP(w, r)
		return
	}
	res, err := h.limiter.AllowN(r.Context(), key, n)
	switch {
	case h.o.DryRun:
	case err != nil:
		h.o.ErrorHandler(w, r, err)
		return
	default:
		setHeaders(w.Header(), &res)
		if !res.Allowed {
			h.o.Denied(w, r, res)
			return
		}
	}
	if h.o.Done == nil || err != nil {
		h.next.ServeHTTP(w, r)
		return
	}
	if res.Degraded {
		res.Granted = 0 // none of Redis's, to which a Refund would go
	}
	h.serve(w, r, key, res.Granted)
}

// serve tells Done how the handler ended, also if by a panic.
func (h *limited) serve(w http.ResponseWriter, r *http.Request, key string, n int) {
	rec := &response.Recorder{ResponseWriter: w}
	status := http.StatusInternalServerError
	defer func() { h.o.Done(context.WithoutCancel(r.Context()), key, n, status) }()
	h.next.ServeHTTP(rec, r)
	switch {
	case rec.Hijacked:
		status = http.StatusSwitchingProtocols
	case rec.Status != 0:
		status = rec.Status
	default:
		status = http.StatusOK
	}
}

// denied answers a request that is over the limit.
func denied(w http.ResponseWriter, _ *http.Request, res Result) {
	response.Problem{
		Type:     quotaExceeded,
		Title:    "Request cannot be satisfied as assigned quota has been exceeded",
		Status:   http.StatusTooManyRequests,
		Violated: []string{policyName(&res.Limit)},
	}.Write(w)
}

// failed answers a request about which nothing was decided.
func failed(w http.ResponseWriter, _ *http.Request, err error) {
	p := response.Problem{
		Status: http.StatusServiceUnavailable,
		Detail: "It could not be decided whether the request is within its limit.",
	}
	if errors.Is(err, ErrExceedsBurst) {
		p = response.Problem{
			Status: http.StatusBadRequest,
			Detail: "The request costs more than its limit ever allows at once.",
		}
	}
	p.Write(w)
}

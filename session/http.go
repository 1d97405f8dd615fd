package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/response"
)

// visit is a request on its way through the handler: its context, its response, and its
// session. They are one allocation.
type visit[T any] struct {
	context.Context // of the request that came
	w               writer
	s               Session[T]
}

// Value is how [Manager.Get] finds the visit.
func (v *visit[T]) Value(key any) any {
	if m, ok := key.(*Manager[T]); ok && m == v.s.m {
		return v
	}
	return v.Context.Value(key)
}

// String says what it is, and not what is in it: the request's cookie, for example.
func (v *visit[T]) String() string { return fmt.Sprintf("%v.WithSession", v.Context) }

// Middleware gives the requests that next handles their sessions, for [Manager.Get] with
// the request's context. A request that does not ask for its session costs nothing.
//
// Whatever is to be saved is saved before the first byte of the response, which is what
// the first Write, ReadFrom, Flush or Hijack sends, or WriteHeader with a status that is
// not informational. If that fails, ErrorHandler responds instead, and what the handler
// writes is dropped. If the handler panics nothing is saved. Inside of itself it does
// nothing. Who takes the connection over with Hijack writes the response's header too, and
// has to send the Set-Cookie that is in it then. A response that depends on the session
// says Vary: Cookie, and one that sets the cookie Cache-Control: no-store.
func (m *Manager[T]) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Context().Value(m).(*visit[T]); ok && slices.Equal(r.Header["Cookie"], v.s.r.Header["Cookie"]) {
			next.ServeHTTP(w, r) // it is inside of the Middleware already
			return
		}
		v := &visit[T]{Context: r.Context()}
		v.w.ResponseWriter, v.w.session = w, v
		v.s.m, v.s.began = m, time.Now()
		r = r.WithContext(v)
		v.s.r = r
		v.w.serve(next, r)
		if !v.w.replaced {
			v.s.end()
		}
	})
}

// commit saves, and sets the cookie.
func (v *visit[T]) commit(h http.Header) error {
	s := &v.s
	s.ops.Lock()
	defer s.ops.Unlock()
	defer func() { s.sent = true }()
	if !s.loaded.Load() {
		if s.asked && !varies(h) { // that it could not be loaded depends on the cookie as well
			h.Add("Vary", "Cookie")
		}
		return nil
	}
	if err := s.save(v.Context, true); err != nil {
		s.ended = true
		if s.state != lost {
			s.undo(nil) // the client is told so: it must not be saved later with something else
		}
		return err
	}
	s.tell(h)
	return nil
}

// tell puts what the client must know into the header.
func (s *Session[T]) tell(h http.Header) {
	switch s.cookie {
	case setCookie:
		s.m.jar.set(h, &s.tok, time.Until(s.rec.Deadline))
	case clearCookie:
		s.m.jar.clear(h)
	case keepCookie:
	}
	if !varies(h) {
		h.Add("Vary", "Cookie")
	}
}

// varies reports whether the header says that the response depends on cookies.
func varies(h http.Header) bool {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Cookie") {
				return true
			}
		}
	}
	return false
}

// replace answers with the error, and with the cookie if the session has a new secret
// already: the old one is worth nothing.
func (v *visit[T]) replace(w http.ResponseWriter, err error) {
	v.s.ops.Lock()
	v.s.tell(w.Header())
	v.s.ops.Unlock()
	v.s.m.fail(w, v.s.r, err)
}

// end saves what was updated after the header had been sent.
func (s *Session[T]) end() {
	s.ops.Lock()
	defer s.ops.Unlock()
	s.ended = true
	if len(s.pending) == 0 {
		return
	}
	if err := s.save(s.r.Context(), true); err != nil {
		s.m.o.OnError(fmt.Errorf("session: save after the header: %w", err))
	}
}

// RequireLogin passes on the requests of users who have logged in, within the given time
// if that is not zero. Others, and those of whom it cannot be known, are answered by
// ErrorHandler. It must be inside of Middleware.
func (m *Manager[T]) RequireLogin(within time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			if err == nil {
				age, ok := s.loginAge()
				if ok && (within <= 0 || age <= within) {
					next.ServeHTTP(w, r)
					return
				}
				err = ErrLoginRequired
			}
			m.fail(w, r, err)
		})
	}
}

func (m *Manager[T]) fail(w http.ResponseWriter, r *http.Request, err error) {
	m.n.failed.Add(1)
	m.o.ErrorHandler(w, r, err)
}

// failed is the ErrorHandler of those who have none. The error's text is not for clients.
func failed(w http.ResponseWriter, _ *http.Request, err error) {
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
	status, detail := http.StatusInternalServerError, "Something is wrong with the session."
	switch {
	case is(ErrLoginRequired):
		status, detail = http.StatusUnauthorized, "Please log in."
	case is(ErrNotFound, ErrRevoked):
		status, detail = http.StatusUnauthorized, "The session has ended."
	case is(ErrConflict):
		status, detail = http.StatusConflict, "The session is in use by too many requests."
	case is(ErrUnavailable, ErrUnknownOutcome, context.DeadlineExceeded, context.Canceled):
		status, detail = http.StatusServiceUnavailable, "The session could not be reached."
	}
	response.Problem{Status: status, Detail: detail}.Write(w)
}

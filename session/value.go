package session

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Session is the session of one request, from [Manager.Get]. Its methods may be called by
// several goroutines at once; those that are handed a function call it while no other
// method changes the session, so that function must neither call one of these nor write
// to the response, which would wait for itself, but may call Data, User and Handle.
type Session[T any] struct {
	m      *Manager[T]
	r      *http.Request
	began  time.Time
	loaded atomic.Bool

	ops     sync.Mutex // held by what changes the session, round trips included
	state   state
	sent    bool  // the header is out: no cookie can be set
	asked   bool  // somebody wanted to know it
	ended   bool  // so is the handler: nothing that is pending will be saved
	shown   bool  // the request had a token
	tok     token // what the client has, or will get with cookie
	rec     Record
	head    envelope
	stored  []byte // the payload in rec
	payload []byte // … with the pending updates
	pending []func(*T) error
	cookie  cookieChange
	rotate  bool // RenewEvery has passed
	confirm bool // the client has shown that it has the secret of the last rotation

	mu     sync.Mutex // never held for long
	data   T
	user   string
	handle string
	login  time.Time
}

// A state is what is known of a session.
type state uint8

const (
	empty state = iota // there is none
	live               // rec is the client's
	lost               // it is not the client's, or no longer: nothing may be written
)

type cookieChange uint8

const (
	keepCookie cookieChange = iota
	setCookie
	clearCookie
)

// Data returns the data, with this request's updates. What it points to must not be
// changed; an Update does not change it either, but makes a new one.
func (s *Session[T]) Data() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// User returns who is logged in, or "".
func (s *Session[T]) User() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// Handle returns the session's public name: the [Info.Handle] of this session, or "" if
// there is nothing in the store. It is safe in logs.
func (s *Session[T]) Handle() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handle
}

// String returns the handle. It keeps what else is in s out of logs.
func (s *Session[T]) String() string { return "session " + s.Handle() }

// GoString is String for %#v.
func (s *Session[T]) GoString() string { return s.String() }

// loginAge returns how long ago the login was, and whether there was one.
func (s *Session[T]) loginAge() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.login), s.user != ""
}

// Update changes the data with fn; it is saved with the response, before the first byte of
// that, or when the handler returns if that comes later. If another request has changed
// the session meanwhile, fn is called again, for what is there then: the changes of both
// are kept. So fn must depend on its argument alone and have no other effect. If it
// returns an error, nothing is changed.
//
// Nothing is written if the data remains the same. A visitor without a session gets one,
// with a cookie. If saving fails, ErrorHandler responds in place of the handler, or
// OnError is told if the header is out already. On a stream use UpdateNow: what is updated
// after the header waits for the end of the handler.
//
// Cost: 0 round trips; saving costs 1, and 1 more for each time that another
// request was faster. Once in TouchEvery, if somebody is logged in, another one looks for
// a revocation at the same time.
//
// Errors: ErrNotFound if the session has ended since it was loaded, or the cookie's
// secret was wrong; ErrHeadersSent if it would need a cookie and the header is out, or
// the handler has returned; those of fn and of encoding.
func (s *Session[T]) Update(fn func(*T) error) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.ended {
		return ErrHeadersSent
	}
	return s.apply(fn)
}

// UpdateNow is Update, but saves at once, together with what is pending. Of several
// requests that take something out of the session exactly one finds it there: fn returns
// an error if it does not, and so does UpdateNow. It also works when the header is out.
//
// Cost: 1 round trip, and 1 more for each time that another request was faster; none if
// the data remains the same, and a check of revocation as when an Update is saved.
//
// Errors: as Update; ErrConflict if others were faster many times in a row;
// ErrUnavailable; ErrUnknownOutcome, which goes for what was pending too: it is not saved
// again.
func (s *Session[T]) UpdateNow(ctx context.Context, fn func(*T) error) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	others := s.pending
	if err := s.apply(fn); err != nil {
		return err
	}
	err := s.save(ctx, false)
	if err != nil && s.state != lost {
		if s.state == live && errors.Is(err, ErrUnknownOutcome) {
			others = nil // they may have been saved as well
		}
		s.undo(others)
	}
	return err
}

// Reload loads the session anew, with the updates that are pending. It is for streams and
// other long requests: is the session still there? It is no use of the session: that
// expires Idle after the last request, or what UpdateNow saved.
//
// Cost: 1 round trip, 0 if there is no session.
//
// Errors: ErrNotFound if it has ended, or its secret was replaced: by Login or Renew, or
// some time ago by RenewEvery; ErrUnavailable.
func (s *Session[T]) Reload(ctx context.Context) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	switch s.state {
	case empty:
		return nil
	case lost:
		return ErrNotFound
	}
	return s.reload(ctx)
}

package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Login makes the session that of user, whose credentials have been checked with what was
// read since the request began. The session gets a new secret and the old one is worth
// nothing from then on; the data is kept, and Idle and Lifetime begin anew. If another
// user was logged in, that session ends, and a new one begins without data. Call it also
// when a user shows their credentials again.
//
// It is done when Login returns; only the cookie waits for the response.
//
// Cost: 2 round trips, or 4 if another user was logged in, 2 of them at the same time;
// more if there are too many sessions, or requests that are faster.
//
// Errors: ErrHeadersSent; ErrRevoked if RevokeAll was called for the user since the
// request began, in which case the credentials are checked again or refused;
// ErrUnavailable; ErrUnknownOutcome. After an error nobody is newly logged in by this
// session; who was before may still be. After all but ErrHeadersSent the session may have
// ended.
func (s *Session[T]) Login(ctx context.Context, user string) error {
	return s.LoginSince(ctx, user, s.began)
}

// LoginSince is Login with credentials of which the first was read at t, or later: for
// logins of several steps. The zero t is when the request began that made this session,
// which all processes agree on: it is the choice if the steps leave their traces in the
// session. Any other t is as good as the clocks between which it was passed; one that
// lies in the future is taken for the zero one.
//
// Cost: as Login, 2 round trips or 4.
//
// Errors: as Login; ErrRevoked if RevokeAll was called since t.
func (s *Session[T]) LoginSince(ctx context.Context, user string, t time.Time) error {
	switch {
	case user == "":
		return errors.New("session: login: the user is empty")
	case len(user) > maxUser:
		return fmt.Errorf("session: login: the user is longer than %d bytes", maxUser)
	}
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.sent {
		return ErrHeadersSent
	}
	if t.IsZero() || t.After(time.Now()) {
		t = s.head.created
	}
	if err := s.become(ctx, user); err != nil {
		return err
	}
	s.m.n.logins.Add(1)
	if s.m.index == nil {
		return nil
	}
	evicted, err := s.m.index.AddUser(ctx, user, s.tok.handle, t, s.rec.Deadline, s.m.o.MaxPerUser)
	if err != nil {
		// Nobody has the secret, and nobody gets it.
		handle := s.tok.handle
		s.lose()
		ctx, cancel := detached(ctx)
		defer cancel()
		if err := s.m.remove(ctx, user, handle); err != nil {
			s.m.o.OnError(err)
		}
		return err
	}
	s.m.n.evicted.Add(uint64(len(evicted)))
	return nil
}

// become makes the record one of user.
func (s *Session[T]) become(ctx context.Context, user string) error {
	pending := s.pending
	switch {
	case s.state == live && s.head.user != "" && s.head.user != user:
		if err := s.m.remove(ctx, s.head.user, s.tok.handle); err != nil {
			return err
		}
		pending = nil
	case s.state == live:
		err := s.renew(ctx, func(h *envelope, r *Record, now time.Time) bool {
			h.user, h.login, h.checked, h.device = user, now, now, s.m.device(s.r)
			r.Deadline = now.Add(s.m.o.Lifetime)
			return true
		})
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		// It ended meanwhile. The user is there all the same, with nothing but this
		// request's updates.
	case s.state == lost:
		pending = nil
	default:
		return s.create(ctx, user)
	}
	s.lose()
	s.state = empty
	for _, fn := range pending {
		if err := s.replay(fn); err != nil {
			return err
		}
	}
	return s.create(ctx, user)
}

// renew writes the record with a new secret, after which no other one is good.
func (s *Session[T]) renew(ctx context.Context, edit edit) error {
	next := newSecret()
	err := s.swap(ctx, func(h *envelope, r *Record, now time.Time) bool {
		h.flags &^= flagPrevious | flagUsed
		h.hash, h.renewed = next.digest(), now
		h.previous, h.until, h.nonce = digest{}, time.Time{}, nonce{}
		r.Login++
		return edit(h, r, now)
	})
	if err == nil {
		s.tok.secret, s.cookie = next, setCookie
	}
	return err
}

// Renew gives the session a new secret, and the old one is worth nothing from then on.
// Call it when the session's rights have changed without a Login. It saves what is
// pending. User, data and Lifetime stay as they are. There is nothing to do for a visitor
// without a session.
//
// Cost: 1 round trip, and 1 more for each time that another request was faster.
//
// Errors: ErrHeadersSent; ErrNotFound if the session has ended; ErrConflict;
// ErrUnavailable; ErrUnknownOutcome, after which the client may have lost the session.
func (s *Session[T]) Renew(ctx context.Context) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	switch {
	case s.sent:
		return ErrHeadersSent
	case s.state == empty:
		return nil
	case s.state == lost:
		return ErrNotFound
	}
	err := s.renew(ctx, func(*envelope, *Record, time.Time) bool { return true })
	if err == nil {
		s.m.n.renewed.Add(1)
	}
	return err
}

// Destroy ends the session: a logout. What other requests do with it from then on has no
// effect, and what is pending is dropped. The cookie is removed if the header is not out
// yet; it is of no use to anybody. If the session has ended already there is nothing to
// do.
//
// Cost: 2 round trips at the same time if somebody was logged in, 1 otherwise.
//
// Errors: ErrUnavailable, and then the session may live on.
func (s *Session[T]) Destroy(ctx context.Context) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	switch s.state {
	case live:
		if err := s.m.remove(ctx, s.head.user, s.tok.handle); err != nil {
			return err
		}
		s.shown = true
	case lost: // or another secret is good for it, which this browser may have by now
		return nil
	}
	s.lose()
	if s.shown {
		s.cookie = clearCookie
	}
	return nil
}

package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// load finds the session of the request, once.
func (s *Session[T]) load(ctx context.Context) error {
	if s.loaded.Load() {
		return nil
	}
	reused, err := s.find(ctx)
	for _, h := range reused { // without the lock: OnReuse may do what it likes
		s.m.o.OnReuse(ctx, h.user, h.handle)
	}
	return err
}

// find looks for the session among the request's cookies, and returns those whose secret
// was used again.
func (s *Session[T]) find(ctx context.Context) (reused []owner, err error) {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.loaded.Load() {
		return nil, nil
	}
	s.asked = true
	state := empty
	var candidates [maxCandidates]token
	tokens := s.m.jar.tokens(candidates[:0], s.r.Header)
	for i := range tokens {
		found, owner, err := s.try(ctx, &tokens[i])
		if owner != nil {
			reused = append(reused, *owner)
		}
		if err != nil {
			return reused, err
		}
		if found == live {
			state = live
			break
		}
		state = max(state, found) // lost, if one is
	}
	s.state = state
	s.shown = len(tokens) > 0
	s.loaded.Store(true)
	return reused, nil
}

// owner is whose session it is.
type owner struct{ user, handle string }

// try looks for the session of a token.
func (s *Session[T]) try(ctx context.Context, t *token) (state, *owner, error) {
	m := s.m
	m.n.loads.Add(1)
	rec, err := m.store.Get(ctx, t.handle)
	switch {
	case errors.Is(err, ErrNotFound):
		return empty, nil, nil
	case errors.Is(err, ErrCorrupt):
		m.undecodable(t.handle, err)
		return empty, nil, nil
	case err != nil:
		return empty, nil, err
	}
	h, rest, err := parseEnvelope(rec.Data, rec.Deadline)
	if err != nil {
		m.undecodable(t.handle, err)
		return empty, nil, nil
	}
	now := time.Now()
	at := h.placeOf(&t.secret, now)
	switch at {
	case foreign:
		m.n.refused.Add(1)
		m.o.OnError(fmt.Errorf("%w: %s", ErrWrongSecret, t.handle))
		return lost, nil, nil
	case replayed:
		m.n.reused.Add(1)
		return lost, &owner{h.user, t.handle}, nil
	}
	payload, err := m.payload(t.handle, rec.Data, &h, rest)
	if err == nil && len(payload) > 0 {
		err = m.o.Unmarshal(payload, &s.data) // which nobody reads before load is done
	}
	if err != nil {
		m.undecodable(t.handle, err)
		s.lose()
		return empty, nil, nil
	}
	s.tok, s.rec, s.head, s.stored, s.payload = *t, rec, h, payload, payload
	if max(now.Sub(rec.Seen), 0) >= m.o.TouchEvery && !m.touch(ctx, t.handle, rec, &s.head) {
		s.lose()
		return lost, nil, nil
	}
	s.upkeepDue(at, now)
	s.publish(s.data)
	return live, nil, nil
}

// touch notes that a session is used, and reports whether it is still there and may be.
func (m *Manager[T]) touch(ctx context.Context, handle string, rec Record, h *envelope) bool {
	m.n.touched.Add(1)
	user, now := h.user, time.Now()
	listed := m.index != nil && user != ""
	touch := func() error { return m.store.Touch(ctx, handle, rec, m.o.Idle) }
	var err, checkErr error
	if listed {
		err, checkErr = both(touch, func() error { return m.index.CheckUser(ctx, user, handle, rec.Deadline) })
	} else {
		err = touch()
	}
	switch {
	case errors.Is(checkErr, ErrRevoked):
		m.report(m.remove(ctx, user, handle))
		return false
	case errors.Is(err, ErrConflict): // another login: the secret is not good any more
		return false
	case errors.Is(err, ErrNotFound):
		if listed { // again, perhaps, by the check
			m.report(m.index.RemoveUser(ctx, user, handle))
		}
		return false
	}
	// The session was there a moment ago, which is enough to go on.
	if ctx.Err() == nil { // or the client is gone, which is nobody's error
		m.report(err)
		m.report(checkErr)
	}
	if checkErr == nil {
		h.checked = now
	}
	return true
}

// report tells OnError what nobody else is told.
func (m *Manager[T]) report(err error) {
	if err != nil {
		m.o.OnError(err)
	}
}

// upkeepDue decides what RenewEvery asks for, given where the client's secret stands.
func (s *Session[T]) upkeepDue(at place, now time.Time) {
	h, every := &s.head, s.m.o.RenewEvery
	s.rotate = at == current && every > 0 && now.Sub(h.renewed) >= every && !s.sent
	s.confirm = at == current && h.has(flagPrevious) && !h.has(flagUsed)
	if at == previous && !s.sent {
		// Others have rotated, or the response that did was lost. It is the same for all.
		if next := s.tok.secret.next(&h.nonce); h.placeOf(&next, now) == current {
			s.tok.secret, s.cookie = next, setCookie
		}
	}
}

// publish shows what the session has become.
func (s *Session[T]) publish(data T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.user, s.login, s.handle = data, s.head.user, s.head.login, s.tok.handle
}

// reload loads the record again. The request must still have a good secret.
func (s *Session[T]) reload(ctx context.Context) error {
	s.m.n.loads.Add(1)
	rec, err := s.m.store.Get(ctx, s.tok.handle)
	if errors.Is(err, ErrNotFound) {
		s.lose()
	}
	if err != nil {
		return err
	}
	h, _, err := parseEnvelope(rec.Data, rec.Deadline)
	if err == nil {
		if at := h.placeOf(&s.tok.secret, time.Now()); at == foreign || at == replayed {
			s.lose()
			return ErrNotFound
		}
	}
	return s.rebase(rec)
}

// lose makes s a session that has ended.
func (s *Session[T]) lose() {
	var none T
	s.state, s.tok, s.rec, s.head = lost, token{}, Record{}, envelope{}
	s.stored, s.payload, s.pending = nil, nil, nil
	s.cookie, s.rotate, s.confirm = keepCookie, false, false
	s.publish(none)
}

package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// maxTries bounds how often a write is tried that other processes overtake; those of one
// process wait in line. With ten of them one write in a thousand times a thousand needs
// more.
const maxTries = 128

// apply calls fn on a copy of the data, and makes that the data if fn succeeds.
func (s *Session[T]) apply(fn func(*T) error) error {
	switch {
	case s.state == lost:
		return ErrNotFound
	case s.state == empty && s.sent:
		return ErrHeadersSent
	}
	if err := s.replay(fn); err != nil {
		return err
	}
	s.pending = append(s.pending, fn)
	return nil
}

// replay changes the payload and the data with fn.
func (s *Session[T]) replay(fn func(*T) error) error {
	v, err := s.m.value(bytes.Clone(s.payload)) // fn may change what an Unmarshal has kept of it
	if err != nil {
		return err
	}
	if len(s.payload) == 0 { // of the zero value, whose encoding is needed to compare
		if s.payload, err = s.m.o.Marshal(&v); err != nil {
			return err
		}
		s.stored = s.payload
	}
	if err := fn(&v); err != nil {
		return err
	}
	payload, err := s.m.o.Marshal(&v)
	if err != nil {
		return err
	}
	s.payload = payload
	s.publish(v)
	return nil
}

// undo takes back the updates but those kept.
func (s *Session[T]) undo(kept []func(*T) error) {
	v, err := s.m.value(s.stored)
	if err != nil {
		return // it was decoded before
	}
	s.payload, s.pending = s.stored, nil
	s.publish(v)
	for _, fn := range kept {
		if err := s.replay(fn); err != nil {
			s.undo(nil) // all or nothing
			return
		}
	}
	s.pending = kept
}

func (s *Session[T]) dirty() bool { return len(s.pending) > 0 && !bytes.Equal(s.payload, s.stored) }

// save writes what is pending, and what RenewEvery asks for. When the response is under
// way, it does so even if the client is gone and ctx with it.
func (s *Session[T]) save(ctx context.Context, responding bool) error {
	dirty := s.dirty()
	if !dirty && !s.rotate && !s.confirm {
		s.pending = nil
		return nil
	}
	if responding {
		var cancel context.CancelFunc
		ctx, cancel = detached(ctx)
		defer cancel()
	}
	if s.state == empty {
		return s.create(ctx, "")
	}
	return s.write(ctx, dirty)
}

// write is save when there is something to write to the record.
func (s *Session[T]) write(ctx context.Context, dirty bool) error {
	var next secret
	var rotated bool
	err := s.swap(ctx, func(h *envelope, _ *Record, now time.Time) bool {
		if s.confirm {
			h.flags |= flagUsed
			if until := now.Add(s.m.o.RenewGrace); until.Before(h.until) {
				h.until = until
			}
		}
		if rotated = s.rotate; rotated {
			h.previous, h.until, h.nonce = h.hash, now.Add(s.m.o.Idle), newNonce()
			next = s.tok.secret.next(&h.nonce)
			h.hash, h.renewed = next.digest(), now
			h.flags = h.flags&^flagUsed | flagPrevious
		}
		return rotated || s.confirm || s.dirty() // or else another request has done it
	})
	switch {
	case err == nil && rotated:
		s.m.n.renewed.Add(1)
		s.tok.secret, s.cookie = next, setCookie
	case err != nil && !dirty:
		// The next request tries again. The client has what it needs.
		s.m.o.OnError(fmt.Errorf("session: renew: %w", err))
		return nil
	}
	return err
}

// An edit changes a record before it is written, or reports that there is nothing to
// write.
type edit func(*envelope, *Record, time.Time) bool

// swap writes the record with the pending updates and what edit changes in it. Whenever
// another request was faster it begins anew with what is there then.
func (s *Session[T]) swap(ctx context.Context, edit edit) error {
	for try := 1; ; try++ {
		now := time.Now()
		h, rec := s.head, s.rec
		if !edit(&h, &rec, now) {
			s.pending = nil
			return nil
		}
		check := s.m.checkDue(&h, now)
		if check {
			h.checked = now
		}
		rec.Data = s.m.encode(s.tok.handle, &h, rec.Deadline, s.payload)
		if rec.Deadline.Equal(s.rec.Deadline) {
			rec.Deadline = time.Time{} // the stored one is the more exact
		}
		stored, err := s.m.put(ctx, s.tok.handle, rec, h.user, s.rec.Deadline, check)
		switch {
		case err == nil:
			s.m.n.saved.Add(1)
			s.wrote(stored, h)
			return nil
		case errors.Is(err, ErrNotFound):
			s.lose()
			return err
		case !errors.Is(err, ErrConflict):
			return err
		}
		s.m.n.conflicts.Add(1)
		if err := s.rebase(stored); err != nil {
			return err
		}
		switch try {
		case 1:
			defer s.m.turns.take(ctx, s.tok.handle)()
		case maxTries:
			return err
		}
	}
}

// checkDue reports whether a write has to look for a revocation. A write moves Seen too,
// so that a session which is written to again and again would never be touched.
func (m *Manager[T]) checkDue(h *envelope, now time.Time) bool {
	every := m.o.TouchEvery // 0: every request has looked already
	return m.index != nil && h.user != "" && every > 0 && now.Sub(h.checked) >= every
}

// put swaps the record, and if check is set looks for a revocation of the user at the same
// time.
func (m *Manager[T]) put(ctx context.Context, handle string, rec Record, user string, deadline time.Time, check bool) (stored Record, err error) {
	if !check {
		return m.store.Swap(ctx, handle, rec, m.o.Idle)
	}
	err, checkErr := both(
		func() (err error) { stored, err = m.store.Swap(ctx, handle, rec, m.o.Idle); return err },
		func() error { return m.index.CheckUser(ctx, user, handle, deadline) },
	)
	switch {
	case errors.Is(checkErr, ErrRevoked):
		m.report(m.remove(ctx, user, handle))
		return Record{}, ErrNotFound
	case errors.Is(err, ErrNotFound): // and now it may be listed again
		m.report(m.index.RemoveUser(ctx, user, handle))
	default:
		m.report(checkErr)
	}
	return stored, err
}

// wrote is after a write.
func (s *Session[T]) wrote(rec Record, h envelope) {
	s.rec, s.head, s.stored = rec, h, s.payload
	s.pending, s.rotate, s.confirm = nil, false, false
	s.publish(s.Data())
}

// rebase puts the pending updates on what another request has stored. The request's secret
// has been verified for this login. As long as it is the same one, no secret was put out
// of use at once, only replaced in the course of RenewEvery, which does not concern
// requests under way.
func (s *Session[T]) rebase(rec Record) error {
	h, rest, err := parseEnvelope(rec.Data, rec.Deadline)
	// A failover may have lost the login that was verified, and its number may have been
	// given again.
	if rec.Login != s.rec.Login || err == nil && h.user != s.head.user {
		s.lose()
		return ErrNotFound
	}
	if err == nil {
		s.payload, err = s.m.payload(s.tok.handle, rec.Data, &h, rest)
	}
	var v T
	if err == nil {
		v, err = s.m.value(s.payload)
	}
	if err != nil {
		s.m.undecodable(s.tok.handle, err)
		s.lose()
		return ErrNotFound
	}
	rotate, confirm := s.rotate, s.confirm // it takes a secret that the client has shown
	s.rec, s.head, s.stored = rec, h, s.payload
	now := time.Now()
	s.upkeepDue(h.placeOf(&s.tok.secret, now), now)
	s.rotate, s.confirm = s.rotate && rotate, s.confirm && confirm
	s.publish(v)
	for _, fn := range s.pending {
		if err := s.replay(fn); err != nil {
			s.undo(nil) // half of it is not to be saved
			return err
		}
	}
	return nil
}

// create stores a new record, under a handle and with a secret that are new too.
func (s *Session[T]) create(ctx context.Context, user string) error {
	for try := 1; ; try++ {
		now, t := time.Now(), newToken()
		// Created before anything that the request has read: see LoginSince.
		h := envelope{hash: t.secret.digest(), created: s.began, login: now, renewed: now, checked: now, user: user, device: s.m.device(s.r)}
		rec := Record{Login: 1, Deadline: now.Add(s.m.o.Lifetime)}
		rec.Data = s.m.encode(t.handle, &h, rec.Deadline, s.payload)
		rec, err := s.m.store.Create(ctx, t.handle, rec, s.m.o.Idle)
		if errors.Is(err, ErrUnknownOutcome) && try == 1 {
			continue // what may be there now is known to nobody
		}
		if err != nil {
			return err
		}
		s.m.n.created.Add(1)
		s.state, s.tok, s.cookie = live, t, setCookie
		s.wrote(rec, h)
		return nil
	}
}

package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Manager gives each request of an [http.Handler] the session of its client, with data of
// type T. It is safe for concurrent use and holds no goroutine.
type Manager[T any] struct {
	store Store
	index UserIndex // nil if the store is none
	o     ManagerOptions
	jar   *jar
	seal  *sealer // nil without keys
	turns turns
	n     managerCounters
}

// NewManager returns a manager of the sessions in store. What a T needs to be encoded is
// up to [ManagerOptions.Marshal]; its zero value is what a new visitor has.
//
// Managers with one store share their sessions and users, whatever their cookies are
// called: who has logged in at one can show the same token to another, and is that user
// there. They must have the same T and options. Managers whose users are not the same,
// such as customers and staff, need stores with different [Options.Prefix].
func NewManager[T any](store Store, opts *ManagerOptions) (*Manager[T], error) {
	if store == nil {
		return nil, errors.New("session: the store is nil")
	}
	m := &Manager[T]{store: store}
	m.index, _ = store.(UserIndex)
	if opts != nil {
		m.o = *opts
	}
	if err := m.o.fill(); err != nil {
		return nil, err
	}
	if m.o.MaxPerUser > 0 && m.index == nil {
		return nil, errors.New("session: ManagerOptions.MaxPerUser needs a store that is a UserIndex")
	}
	var err error
	if m.jar, err = newJar(m.o.Cookie); err != nil {
		return nil, err
	}
	if m.seal, err = newSealer(m.o.Keys); err != nil {
		return nil, err
	}
	m.o.Keys = nil // the sealer's are copies
	return m, nil
}

// Get returns the session of the request whose context, or one made from it, is ctx. It is
// loaded by the first call, and all of them return the same. A visitor who
// has none gets an empty one, with the zero T and no User. That and its reading
// writes nothing and sets no cookie.
//
// Cost: 1 round trip for a visitor with a cookie, 0 for others; once in TouchEvery 1 more,
// or 2 at the same time if somebody is logged in.
//
// Errors: ErrUnavailable, and what else the store returns. The visitor is unknown
// then, which is not to say anonymous, and the next call tries again.
func (m *Manager[T]) Get(ctx context.Context) (*Session[T], error) {
	v, ok := ctx.Value(m).(*visit[T])
	if !ok {
		return nil, errors.New("session: Get outside of the manager's Middleware")
	}
	if err := v.s.load(ctx); err != nil {
		return nil, err
	}
	return &v.s, nil
}

// Info is what a user may know about a session of theirs. Its handle is no secret: it
// gives no access to the session, and may be in pages and logs.
type Info struct {
	Handle, Device string
	Created        time.Time
	Login          time.Time // of the last Login
	Seen           time.Time // of the last use, give or take TouchEvery
	Deadline       time.Time // when it ends at the latest
}

// List returns the sessions of a user, the one that was used last first.
//
// Cost: 2 round trips; on a cluster the second is one to each node that has some of them.
//
// Errors: errors.ErrUnsupported if the store is no UserIndex; ErrUnavailable.
func (m *Manager[T]) List(ctx context.Context, user string) ([]Info, error) {
	if m.index == nil {
		return nil, noIndex("list")
	}
	records, err := m.index.UserRecords(ctx, user)
	if err != nil {
		return nil, err
	}
	list := make([]Info, 0, len(records))
	for handle, rec := range records {
		h, _, err := parseEnvelope(rec.Data, rec.Deadline)
		if err != nil {
			m.undecodable(handle, err)
			continue
		}
		if h.user == user {
			list = append(list, Info{handle, string(h.device), h.created, h.login, rec.Seen, rec.Deadline})
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return b.Seen.Compare(a.Seen) })
	return list, nil
}

// Revoke ends a session of a user. It does not matter whose request asks for it, so that
// it is the caller's to know that it may.
//
// Cost: 3 round trips, 2 of them at the same time.
//
// Errors: ErrNotFound if the user has no such session; errors.ErrUnsupported if the
// store is no UserIndex; ErrUnavailable.
func (m *Manager[T]) Revoke(ctx context.Context, user, handle string) error {
	if m.index == nil {
		return noIndex("revoke")
	}
	rec, err := m.store.Get(ctx, handle)
	if err != nil {
		return err
	}
	h, _, err := parseEnvelope(rec.Data, rec.Deadline)
	if err != nil || h.user != user || user == "" {
		return ErrNotFound
	}
	return m.remove(ctx, user, handle)
}

// RevokeAll ends the sessions of a user, except for some, and those that a Login is about
// to make with credentials that were read before. Call it after a change of password, with
// the handle of the session in which that was done, and then Renew that one. A Login in
// the same request would be refused: it began before.
//
// Cost: 2 round trips; on a cluster the second is one to each node that has some of them.
//
// Errors: errors.ErrUnsupported if the store is no UserIndex; ErrUnavailable.
func (m *Manager[T]) RevokeAll(ctx context.Context, user string, except ...string) error {
	if m.index == nil {
		return noIndex("revoke all")
	}
	_, err := m.index.RevokeUser(ctx, user, time.Now().Add(m.o.Lifetime), except...)
	return err
}

func noIndex(op string) error {
	return fmt.Errorf("session: %s: the store is no UserIndex: %w", op, errors.ErrUnsupported)
}

// remove deletes a record and, if it is a user's, takes it from the index at the same
// time. If only one of both succeeds the other's remainder is harmless: an indexed handle
// without record is passed over and trimmed, and a record without entry gets one when it
// is used.
func (m *Manager[T]) remove(ctx context.Context, user, handle string) error {
	if m.index == nil || user == "" {
		return m.store.Delete(ctx, handle)
	}
	err, indexErr := both(
		func() error { return m.store.Delete(ctx, handle) },
		func() error { return m.index.RemoveUser(ctx, user, handle) },
	)
	if err == nil && indexErr != nil {
		m.o.OnError(indexErr)
	}
	return err
}

// both runs two calls at the same time. A panic of the second one becomes the caller's,
// which ends the request and not the process.
func both(a, b func() error) (errA, errB error) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		errB = b()
	}()
	errA = a()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return errA, errB
}

// maxDetached bounds what goes on when the client is gone, for stores without a bound of
// their own.
const maxDetached = 30 * time.Second

// detached is a context for what has to be done even if the client is gone, and ctx with
// it.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), maxDetached)
}

// encode returns the Data of a record that ends at the deadline.
func (m *Manager[T]) encode(handle string, h *envelope, deadline time.Time, payload []byte) []byte {
	b := make([]byte, 0, envelopeSize+64+len(h.user)+len(h.device)+len(payload)+nonceSize+tagSize)
	if m.seal == nil {
		h.flags &^= flagSealed
		return append(h.appendTo(b, deadline), payload...)
	}
	h.flags |= flagSealed
	return m.seal.seal(h.appendTo(b, deadline), handle, payload)
}

// payload returns the encoded data of a record. It is all or nothing: with keys a payload
// that is not encrypted is refused, or whoever can write to the store could do without.
func (m *Manager[T]) payload(handle string, data []byte, h *envelope, rest []byte) ([]byte, error) {
	switch {
	case h.has(flagSealed) != (m.seal != nil):
		return nil, errSealed
	case m.seal != nil:
		return m.seal.open(data[:len(data)-len(rest)], handle, rest)
	}
	return rest, nil
}

// value decodes a payload.
func (m *Manager[T]) value(payload []byte) (v T, err error) {
	if len(payload) > 0 {
		err = m.o.Unmarshal(payload, &v)
	}
	return v, err
}

func (m *Manager[T]) undecodable(handle string, err error) {
	m.n.undecodable.Add(1)
	m.o.OnError(fmt.Errorf("session: %s cannot be decoded: %w", handle, err))
}

// device describes the client of a request.
func (m *Manager[T]) device(r *http.Request) []byte { return []byte(cut(m.o.Device(r))) }

package session

import (
	"cmp"
	"context"
	"slices"
	"time"
)

var _ UserIndex = (*Memory)(nil)

// memoryUser is the list of one user.
type memoryUser struct {
	expires time.Time            // of the list: the last of the deadlines
	revoked time.Time            // zero: never
	handles map[string]time.Time // their deadlines
}

// AddUser lists a record as a user's.
//
// Errors: ErrRevoked; the context's.
func (m *Memory) AddUser(ctx context.Context, user, handle string, since, deadline time.Time, most int) (evicted []string, err error) {
	u, now, err := m.enter(ctx, user, deadline)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if !u.revoked.IsZero() && !since.After(u.revoked) {
		return nil, ErrRevoked
	}
	u.list(handle, deadline)
	if most <= 0 {
		return nil, nil
	}
	var others []string
	for h := range u.handles {
		switch {
		case h == handle:
		case m.find(h, now) == nil:
			delete(u.handles, h)
		default:
			others = append(others, h)
		}
	}
	slices.SortFunc(others, func(a, b string) int {
		return cmp.Or(u.handles[a].Compare(u.handles[b]), cmp.Compare(a, b))
	})
	evicted = others[:max(len(others)+1-most, 0)]
	for _, h := range evicted {
		delete(m.records, h)
		delete(u.handles, h)
	}
	return evicted, nil
}

// CheckUser reports whether a record was revoked.
//
// Errors: ErrRevoked; the context's.
func (m *Memory) CheckUser(ctx context.Context, user, handle string, deadline time.Time) error {
	u, now, err := m.enter(ctx, user, deadline)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	switch _, listed := u.handles[handle]; {
	case listed:
	case !u.revoked.IsZero():
		return ErrRevoked
	case now.Before(deadline):
		u.list(handle, deadline)
	}
	return nil
}

// RemoveUser takes records off a user's list.
//
// Errors: the context's.
func (m *Memory) RemoveUser(ctx context.Context, user string, handles ...string) error {
	u, _, err := m.enter(ctx, user, time.Now())
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, h := range handles {
		delete(u.handles, h)
	}
	return nil
}

// UserRecords returns the records of a user.
//
// Errors: the context's.
func (m *Memory) UserRecords(ctx context.Context, user string) (map[string]Record, error) {
	u, now, err := m.enter(ctx, user, time.Now())
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	records := make(map[string]Record)
	for h := range u.handles {
		if r := m.find(h, now); r == nil {
			delete(u.handles, h)
		} else {
			records[h] = r.copy()
		}
	}
	return records, nil
}

// RevokeUser deletes the records of a user.
//
// Errors: the context's.
func (m *Memory) RevokeUser(ctx context.Context, user string, until time.Time, except ...string) (int, error) {
	u, now, err := m.enter(ctx, user, until)
	if err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	n := 0
	for h := range u.handles {
		if slices.Contains(except, h) {
			continue
		}
		if m.find(h, now) != nil {
			n++
		}
		delete(m.records, h)
		delete(u.handles, h)
	}
	if u.revoked.IsZero() {
		for _, h := range except {
			if _, listed := u.handles[h]; !listed {
				u.list(h, until)
			}
		}
	}
	u.revoked = now
	u.expires = later(u.expires, until)
	return n, nil
}

// enter returns the list of a user, an empty one if there is none, with m.mu held unless
// there is an error. moment is the caller's, and checked.
func (m *Memory) enter(ctx context.Context, user string, moment time.Time) (*memoryUser, time.Time, error) {
	if user == "" {
		return nil, time.Time{}, errNoUser
	}
	if _, err := lifeUntil(moment); err != nil {
		return nil, time.Time{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	m.mu.Lock()
	now := time.Now()
	u := m.users[user]
	if u == nil || !now.Before(u.expires) {
		m.tidy(now)
		u = &memoryUser{handles: make(map[string]time.Time)}
		m.users[user] = u
	}
	for h, deadline := range u.handles {
		if !now.Before(deadline) {
			delete(u.handles, h)
		}
	}
	return u, now, nil
}

func (u *memoryUser) list(handle string, deadline time.Time) {
	u.handles[handle] = deadline
	u.expires = later(u.expires, deadline)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

package session

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

var (
	_ Store     = (*Memory)(nil)
	_ UserIndex = (*Memory)(nil)
)

// Memory keeps records in this process and does what [*Redis] does: for tests, and for
// programs that are one process. It is safe for concurrent use.
//
// What has expired is forgotten now and then, when something is added: it never holds
// much more than twice what is alive. It has no goroutine and needs no closing.
type Memory struct {
	mu      sync.Mutex
	records map[string]*memoryRecord
	users   map[string]*memoryUser
	room    int // records and users until what has expired is looked for
}

type memoryRecord struct {
	Record
	expires time.Time
}

// memoryUser is the list of one user.
type memoryUser struct {
	expires time.Time // of the list: the last of the deadlines
	revoked time.Time // zero: never
	handles map[string]time.Time // their deadlines
}

// minRoom is how many records and users are kept before anything is looked for.
const minRoom = 64

// NewMemory returns a store without Redis. It checks the options and has no use for
// them.
func NewMemory(opts *Options) (*Memory, error) {
	if _, err := newSettings(opts); err != nil {
		return nil, err
	}
	return &Memory{records: make(map[string]*memoryRecord), users: make(map[string]*memoryUser), room: minRoom}, nil
}

// Get returns the record.
//
// Errors: ErrNotFound; the context's.
func (m *Memory) Get(ctx context.Context, handle string) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.find(handle, time.Now())
	if r == nil {
		return Record{}, ErrNotFound
	}
	return r.copy(), nil
}

// Create stores a record if there is none.
//
// Errors: ErrConflict; the context's.
func (m *Memory) Create(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return Record{}, err
	}
	if _, err := lifeUntil(r.Deadline); err != nil {
		return Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.find(handle, now) != nil {
		return Record{}, ErrConflict
	}
	m.tidy(now)
	s := &memoryRecord{Record: Record{Version: 1, Login: r.Login, Deadline: r.Deadline, Data: bytes.Clone(r.Data)}}
	s.touch(now, ttl)
	m.records[handle] = s
	return s.copy(), nil
}

// Swap stores a record in place of its version.
//
// Errors: ErrNotFound; ErrConflict, with what is stored; the context's.
func (m *Memory) Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error) {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return Record{}, err
	}
	if !r.Deadline.IsZero() {
		if _, err := lifeUntil(r.Deadline); err != nil {
			return Record{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := m.find(handle, now)
	switch {
	case s == nil:
		return Record{}, ErrNotFound
	case s.Version != r.Version:
		return s.copy(), ErrConflict
	}
	if s.Login != r.Login && !r.Deadline.IsZero() {
		s.Deadline = r.Deadline
	}
	s.Version, s.Login, s.Data = r.Version+1, r.Login, bytes.Clone(r.Data)
	s.touch(now, ttl)
	return s.copy(), nil
}

// Touch moves Seen and the expiry of a login.
//
// Errors: ErrNotFound; ErrConflict if another login is stored; the context's.
func (m *Memory) Touch(ctx context.Context, handle string, r Record, ttl time.Duration) error {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := m.find(handle, now)
	switch {
	case s == nil:
		return ErrNotFound
	case s.Login != r.Login:
		return ErrConflict
	}
	s.touch(now, ttl)
	return nil
}

// Delete removes records.
//
// Errors: the context's.
func (m *Memory) Delete(ctx context.Context, handles ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range handles {
		delete(m.records, h)
	}
	return nil
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

// find returns the record of a handle, nil if there is none; m.mu is held.
func (m *Memory) find(handle string, now time.Time) *memoryRecord {
	r := m.records[handle]
	if r == nil || now.Before(r.expires) {
		return r
	}
	delete(m.records, handle)
	return nil
}

// touch moves the expiry.
func (r *memoryRecord) touch(now time.Time, ttl time.Duration) {
	r.Seen, r.expires = now, now.Add(ttl)
	if r.Deadline.Before(r.expires) {
		r.expires = r.Deadline
	}
}

func (r *memoryRecord) copy() Record {
	c := r.Record
	c.Data = bytes.Clone(c.Data)
	return c
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

// tidy forgets what has expired, if there is no room; m.mu is held. The time it takes is
// shared by as many additions as it left records and users.
func (m *Memory) tidy(now time.Time) {
	if len(m.records)+len(m.users) < m.room {
		return
	}
	for h, r := range m.records {
		if !now.Before(r.expires) {
			delete(m.records, h)
		}
	}
	for name, u := range m.users {
		if !now.Before(u.expires) {
			delete(m.users, name)
		}
	}
	m.room = max(2*(len(m.records)+len(m.users)), minRoom)
}

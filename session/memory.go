package session

import (
	"bytes"
	"context"
	"sync"
	"time"
)

var _ Store = (*Memory)(nil)

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

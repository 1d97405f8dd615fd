package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

var _ Limiter = (*Memory)(nil)

// Memory is a rate limiter that counts in this process, and decides as [*Redis] does:
// for tests, and for programs that are one process. It is safe for concurrent use.
//
// It holds the counts of 100,000 keys at most; beyond that it forgets some key, whose
// limit is then as if it had never been used.
type Memory struct {
	plans  *plans
	begun  time.Time
	seed   maphash.Seed
	shards [memoryShards]memoryShard
}

const (
	memoryShards = 16
	memoryKeys   = 100_000 / memoryShards
)

type memoryShard struct {
	mu   sync.Mutex
	keys map[string]*counted
	room int // keys until what is no longer used is looked for
}

// counted is what was counted of one key.
type counted struct {
	p      *plan
	meters []meter          // of p's limits
	others map[string]meter // by part, of other limits that the key had before
}

// NewMemory returns a limiter without Redis. Of the options it uses Also and LimitFor.
func NewMemory(limit Limit, opts *Options) (*Memory, error) {
	s, err := newSettings("memory", opts)
	if err != nil {
		return nil, err
	}
	s.Instances = 1
	plans, err := newPlans(s, "", limit)
	if err != nil {
		return nil, err
	}
	return newMemory(plans), nil
}

func newMemory(plans *plans) *Memory {
	return &Memory{plans: plans, begun: time.Now(), seed: maphash.MakeSeed()}
}

// now is the time in µs; it does not go back.
func (m *Memory) now() int64 { return m.begun.UnixMicro() + time.Since(m.begun).Microseconds() }

// Allow is AllowN of one.
func (m *Memory) Allow(ctx context.Context, key string) (Result, error) {
	return m.AllowN(ctx, key, 1)
}

// AllowN takes n of every limit of key if all of them allow it, and nothing
// otherwise.
//
// Errors: ErrExceedsBurst if n can never be allowed.
func (m *Memory) AllowN(ctx context.Context, key string, n int) (Result, error) {
	p, err := m.plan(ctx, key, n)
	if err != nil {
		return Result{}, err
	}
	if int64(n) > p.capacity {
		return Result{}, ErrExceedsBurst
	}
	d := m.take(p, key, request{int64(n), int64(n), int64(n)})
	return p.result(d.granted, d.at, 0), nil
}

// AllowUpTo takes as much as all limits of key allow, n at most; Result.Granted says how
// much.
func (m *Memory) AllowUpTo(ctx context.Context, key string, n int) (Result, error) {
	p, err := m.plan(ctx, key, n)
	if err != nil {
		return Result{}, err
	}
	d := m.take(p, key, request{min(int64(n), p.capacity), 1, 1})
	return p.result(d.granted, d.at, 0), nil
}

// Wait blocks until n are allowed, as [Redis.Wait] does.
//
// Errors: ErrExceedsBurst if n can never be allowed; the context's.
func (m *Memory) Wait(ctx context.Context, key string, n int) error {
	return wait(ctx, nil, func() (Result, error) { return m.AllowN(ctx, key, n) })
}

// Peek returns how each limit of key stands, and takes nothing.
func (m *Memory) Peek(ctx context.Context, key string) ([]Result, error) {
	p, err := m.plan(ctx, key, 1)
	if err != nil {
		return nil, err
	}
	at := m.take(p, key, request{0, 1, 1}).at
	return p.standings(at), nil
}

// Refund gives n back to every limit of key, as [Redis.Refund] does.
func (m *Memory) Refund(ctx context.Context, key string, n int) error {
	p, err := m.plan(ctx, key, n)
	if err != nil {
		return err
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	for _, of := range s.of(p, key, now) {
		of.add(now, -int64(n))
	}
	return nil
}

// Reset makes keys as if they had never been used.
func (m *Memory) Reset(_ context.Context, keys ...string) error {
	for _, key := range keys {
		s := m.shard(key)
		s.mu.Lock()
		delete(s.keys, key)
		s.mu.Unlock()
	}
	return nil
}

func (m *Memory) plan(ctx context.Context, key string, n int) (*plan, error) {
	if n < 1 {
		return nil, errors.New("ratelimit: n is less than 1")
	}
	return m.plans.of(ctx, key)
}

func (m *Memory) shard(key string) *memoryShard {
	return &m.shards[maphash.String(m.seed, key)%memoryShards]
}

// take decides. More than the capacity, which FailLocal may ask for, is there when
// nothing of the limits has been used.
func (m *Memory) take(p *plan, key string, q request) decision {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	meters := s.of(p, key, now)
	d := decision{granted: q.most, now: now, at: make([]standing, len(meters))}
	unused := true
	for i, m := range meters {
		d.at[i] = m.standing(now, q.least)
		d.granted = min(d.granted, d.at[i].room)
		unused = unused && d.at[i].reset == 0
	}
	d.granted -= d.granted % q.step
	if d.granted < q.least {
		d.granted = 0
		if q.least > p.capacity && unused {
			d.granted = q.least
		}
	}
	if d.granted == 0 && q.least > p.capacity {
		for i := range d.at {
			d.at[i].retry = d.at[i].reset
		}
	}
	if d.granted > 0 {
		for i, m := range meters {
			m.add(now, d.granted)
			d.at[i] = m.standing(now, q.least)
		}
	}
	return d
}

// of returns the meters of a key for its limits.
func (s *memoryShard) of(p *plan, key string, now int64) []meter {
	c := s.keys[key]
	if c == nil {
		if s.keys == nil {
			s.keys, s.room = make(map[string]*counted), 64
		}
		if len(s.keys) >= s.room {
			s.tidy(now)
		}
		c = &counted{}
		s.keys[key] = c
	}
	if c.p != p {
		c.change(p, now)
	}
	return c.meters
}

// change goes over to other limits. Limits of one name and algorithm go on counting.
func (c *counted) change(p *plan, now int64) {
	for i, old := range c.meters {
		if c.others == nil {
			c.others = make(map[string]meter)
		}
		c.others[c.p.parts[i]] = old
	}
	c.p, c.meters = p, make([]meter, len(p.counted))
	for i, a := range p.counted {
		c.meters[i] = a.meter(c.others[p.parts[i]], now)
		delete(c.others, p.parts[i])
	}
}

// tidy makes room: it forgets what is as if it had never been used, and if there is
// none any keys.
func (s *memoryShard) tidy(now int64) {
	for key, c := range s.keys {
		if c.unused(now) {
			delete(s.keys, key)
		}
	}
	for key := range s.keys {
		if len(s.keys) < memoryKeys-memoryKeys/8 {
			break
		}
		delete(s.keys, key)
	}
	s.room = min(2*len(s.keys)+64, memoryKeys)
}

func (c *counted) unused(now int64) bool {
	used := func(m meter) bool { return m.standing(now, 1).reset > 0 }
	if slices.ContainsFunc(c.meters, used) {
		return false
	}
	for _, m := range c.others {
		if used(m) {
			return false
		}
	}
	return true
}

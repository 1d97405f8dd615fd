package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxDenial bounds how long a Reset or Refund in another process goes unnoticed.
	maxDenial    = time.Second
	denialShards = 16
	// maxCosts bounds how many costs of one key are remembered.
	maxCosts = 4
)

// denials are what Redis has denied, each until it would be allowed. Nothing but a
// Reset or a Refund can make that untrue: others only take more. It counts from when the
// request was sent, which was before the server decided.
type denials struct {
	begun  time.Time
	seed   maphash.Seed
	size   int // of a shard
	shards [denialShards]denialShard
}

type denialShard struct {
	mu        sync.Mutex
	forgotten uint64 // how often something was
	keys      map[string]*denial
	n         int
}

type denial struct {
	p           *plan
	n           int64
	sent, until time.Duration // since begun
	told        time.Duration // when the reply came: what it says is counted from then
	at          []standing
	res         Result  // then
	next        *denial // of the same key, another cost
}

// newDenials returns nil, which remembers nothing, if size is 0.
func newDenials(size int) *denials {
	if size == 0 {
		return nil
	}
	d := &denials{begun: time.Now(), seed: maphash.MakeSeed(), size: max(size/denialShards, 1)}
	for i := range d.shards {
		d.shards[i].keys = make(map[string]*denial)
	}
	return d
}

func (d *denials) shard(key string) *denialShard {
	return &d.shards[maphash.String(d.seed, key)%denialShards]
}

// find finds what is to be answered to a request that was denied before.
func (d *denials) find(res *Result, p *plan, key string, n int64) bool {
	if d == nil {
		return false
	}
	now := time.Since(d.begun)
	s := d.shard(key)
	s.mu.Lock()
	e := s.keys[key]
	for e != nil && (e.p != p || e.n != n) {
		e = e.next
	}
	if e == nil || now >= e.until {
		s.mu.Unlock()
		return false
	}
	told, at := e.told, e.at
	*res = e.res
	s.mu.Unlock()
	if n == 1 { // nothing remains until it is allowed
		elapsed := (now - told).Truncate(time.Microsecond)
		res.RetryAfter -= elapsed
		res.ResetAfter -= elapsed
		return true
	}
	var room [4]standing
	later := room[:0]
	for i, a := range p.counted {
		after, _ := a.later(at[i], (now - told).Microseconds(), n)
		later = append(later, after)
	}
	*res = p.result(0, later, 0)
	return true
}

// moment is when a request is sent.
type moment struct {
	sent      time.Duration
	forgotten uint64
}

func (d *denials) now(key string) moment {
	if d == nil {
		return moment{}
	}
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return moment{time.Since(d.begun), s.forgotten}
}

// add remembers a denial, unless one of the limits may stand otherwise before the
// request would be allowed, or a Reset has come between.
func (d *denials) add(p *plan, key string, n int64, sent moment, at []standing) {
	if d == nil {
		return
	}
	var retry int64
	for i, a := range p.counted {
		if _, ok := a.later(at[i], 0, n); !ok {
			return
		}
		retry = max(retry, at[i].retry)
	}
	e := &denial{p: p, n: n, sent: sent.sent, until: sent.sent + min(micros(retry), maxDenial), told: time.Since(d.begun), at: at, res: p.result(0, at, 0)}
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgotten != sent.forgotten {
		return
	}
	if s.n >= d.size {
		s.evict(e.sent)
	}
	tail, costs := &e.next, 1
	for o := s.keys[key]; o != nil; o = o.next {
		s.n--
		if o.p == p && o.n == n || o.until <= e.sent || costs == maxCosts {
			continue
		}
		*tail, tail = o, &o.next
		costs++
	}
	*tail = nil
	s.keys[key] = e
	s.n += costs
}

// evict makes room: it looks at a few keys, and forgets those whose time is over, or
// else the last of them.
func (s *denialShard) evict(now time.Duration) {
	const few = 8
	looked, before := 0, s.n
	for key, e := range s.keys {
		if looked++; e.until <= now || looked == few || looked == len(s.keys) && s.n == before {
			s.drop(key)
		}
		if looked == few {
			return
		}
	}
}

func (s *denialShard) drop(key string) {
	for e := s.keys[key]; e != nil; e = e.next {
		s.n--
	}
	delete(s.keys, key)
}

// forget forgets what was denied to a key, and what is under way.
func (d *denials) forget(key string) {
	if d == nil {
		return
	}
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten++
	s.drop(key)
}

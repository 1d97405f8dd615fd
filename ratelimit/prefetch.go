package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// leaseTerm is how long tokens that were taken ahead may be used. What that allows
	// beyond the limit is what the limit allows in this time.
	leaseTerm   = time.Second
	leaseShards = 16
	// maxLeases bounds the memory; the tokens of a lease that has to go are lost.
	maxLeases = 10_000 / leaseShards
)

// ahead has the tokens that were taken ahead of requests. They were taken from Redis
// first, so that a process that dies allows less, not more.
type ahead struct {
	tokens int64 // to take
	begun  time.Time
	seed   maphash.Seed
	shards [leaseShards]leaseShard
}

type leaseShard struct {
	mu   sync.Mutex
	keys map[string]*lease
}

// lease is what a process has of a key.
type lease struct {
	tokens int64
	sent   time.Duration // when it was asked for, or last tried to be
	at     []standing    // of the bucket, after it was taken
	kept   *lease        // where this is to be kept
}

func newAhead(tokens int64) *ahead {
	a := &ahead{tokens: tokens, begun: time.Now(), seed: maphash.MakeSeed()}
	for i := range a.shards {
		a.shards[i].keys = make(map[string]*lease)
	}
	return a
}

func (a *ahead) shard(key string) *leaseShard {
	return &a.shards[maphash.String(a.seed, key)%leaseShards]
}

// take takes n tokens that are there.
func (a *ahead) take(p *plan, key string, n int64) (Result, bool) {
	if a == nil {
		return Result{}, false
	}
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.keys[key], time.Since(a.begun)
	if l == nil || l.tokens < n || now-l.sent >= leaseTerm {
		return Result{}, false
	}
	l.tokens -= n
	after, _ := p.counted[0].later(l.at[0], (now - l.sent).Microseconds(), n)
	at := [1]standing{after}
	return p.result(n, at[:], l.tokens), true
}

// begin says how many tokens to take ahead in a request that is about to be sent: none
// for a key that was not asked for a moment ago.
func (a *ahead) begin(key string) lease {
	if a == nil {
		return lease{}
	}
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(a.begun)
	l := s.keys[key]
	if l == nil {
		if len(s.keys) >= maxLeases {
			for other := range s.keys {
				delete(s.keys, other)
				break
			}
		}
		l = &lease{sent: now}
		s.keys[key] = l
		return lease{sent: now, kept: l}
	}
	if now-l.sent < leaseTerm {
		return lease{sent: now, tokens: a.tokens, kept: l}
	}
	*l = lease{sent: now}
	return lease{sent: now, kept: l}
}

// add keeps tokens that were taken ahead, in place of what may be left of others.
func (a *ahead) add(key string, got lease) {
	if a == nil || got.tokens == 0 {
		return
	}
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.keys[key]; l == got.kept { // else it was forgotten
		*l = lease{tokens: got.tokens, sent: got.sent, at: got.at}
	}
}

// forget gives tokens up.
func (a *ahead) forget(key string) {
	if a == nil {
		return
	}
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

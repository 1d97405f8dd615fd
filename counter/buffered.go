package counter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// BufferedOptions are the settings of a [Buffered]. In every field zero is the default.
type BufferedOptions struct {
	// Interval is how long counts are gathered before they are written, and so how much a
	// crash loses and how late others see them. It is at least a millisecond. Zero: 1 second.
	Interval time.Duration

	// MaxKeys bounds how many keys are gathered at once. What is counted in others goes to
	// Redis at once, as if there were no buffer. Zero: 100,000, which is some 20 MB.
	MaxKeys int

	// OnError is told what nobody is there to receive: why counts could not be written yet
	// (ErrUnavailable, or a server error), that it is not known whether some were
	// (ErrUnknownOutcome), and that some cannot be, because something else is under their
	// key. The last two have been given up. It may be called by several goroutines at once
	// and must not block. Zero: these are only counted.
	OnError func(error)
}

const (
	defaultInterval = time.Second
	minInterval     = time.Millisecond
	defaultMaxKeys  = 100_000
	shards          = 64
)

// A Buffered is a Counter that gathers what is added in this process and writes it once an
// Interval, so that an Add of a busy key costs no round trip. It is safe for concurrent use.
//
// Nothing is counted twice: each key has in its slot a gate, the number of this Buffered's
// last flush of it, and a flush that may have been executed is sent again with its number.
// So a lost reply is nothing. Only if Redis stays away for more than five minutes after one
// it cannot be found out any more whether that flush was executed; it is given up and
// reported, by the Flush or Close that waits or else OnError, and counted in Stats. What
// surely was not executed is kept until it is.
type Buffered struct {
	c     *Redis
	o     BufferedOptions
	gates string // part of the keys of its gates

	seed   maphash.Seed
	shards [shards]shard
	held   atomic.Int64  // entries
	round  atomic.Uint64 // the number of flushes, and one
	away   atomic.Uint64 // in which round Redis last was; 0 never

	flushing chan struct{} // holds who flushes
	seq      int64         // of the latest flight

	armed  atomic.Bool // a flush is due
	due    sync.Mutex
	timer  *time.Timer
	closed atomic.Bool
	n      bufferedCounters
}

type shard struct {
	mu      sync.Mutex
	entries map[string]*entry
	closed  bool
	added   uint64
	_       [32]byte // apart from the next in the processor's cache
}

// entry is a key that something was added to a moment ago. Its shard's mutex guards it, but
// for the gate, which is of those who flush.
type entry struct {
	pending int64   // not under way to Redis
	touched bool    // pending is to be written, even if it is zero
	flight  *flight // what is under way, or was and has to be sent again
	flights uint64  // so far

	total int64  // in Redis, when it was last heard of
	seen  uint64 // in which round that was; 0 never
	gate  int64  // until when an earlier flight has kept the gate, by the server's time, µs
}

// gathered is what has been added since total was heard.
func (e *entry) gathered() int64 {
	if e.flight != nil {
		return e.flight.n + e.pending
	}
	return e.pending
}

// known is the total, and whether it is from this round, or is being asked for.
func (e *entry) known(round uint64) (total int64, ok bool) {
	return e.total + e.gathered(), e.seen == round || e.flight != nil && e.seen+1 == round
}

// NewBuffered returns a Counter that gathers what is added to c. It does no I/O, and starts
// no goroutine until something is added. Close writes what has been gathered; c needs no
// closing.
func NewBuffered(c *Redis, opts *BufferedOptions) (*Buffered, error) {
	if c == nil {
		return nil, errors.New("counter: the counter of a Buffered is nil")
	}
	var o BufferedOptions
	if opts != nil {
		o = *opts
	}
	switch {
	case o.Interval == 0:
		o.Interval = defaultInterval
	case o.Interval < minInterval:
		return nil, errors.New("counter: BufferedOptions.Interval is less than a millisecond")
	}
	switch {
	case o.MaxKeys == 0:
		o.MaxKeys = defaultMaxKeys
	case o.MaxKeys < 0:
		return nil, errors.New("counter: BufferedOptions.MaxKeys is negative")
	}
	b := &Buffered{c: c, o: o, gates: "g." + rand.Text(), seed: maphash.MakeSeed(), flushing: make(chan struct{}, 1)}
	for i := range b.shards {
		b.shards[i].entries = make(map[string]*entry)
	}
	b.round.Store(1)
	return b, nil
}

func (b *Buffered) shard(key string) *shard {
	return &b.shards[maphash.String(b.seed, key)%shards]
}

// Add gathers n, and returns the total: what was in Redis at most an Interval ago, and what
// has been gathered here since. For a key that nothing was added to here for an Interval it
// has to be read. That n is gathered does not depend on it: if Redis is away, or ctx ends
// meanwhile, the total is as far as it is known here, and the error nil; and Redis is not
// asked for another one until the next Interval.
//
// Cost: 0 round trips; 1 for a key that nothing was added to for an Interval, or one more
// than MaxKeys.
// Atomic: yes.
// Errors: ErrClosed; the context's, if it had ended before; an error if what is gathered
// would overflow; those of [Redis.Add] for one more than MaxKeys. With the last of them n
// may have been added, as they say; with the others it was not.
func (b *Buffered) Add(ctx context.Context, key string, n int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("counter: add: %w", err)
	}
	s := b.shard(key)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	e := s.entries[key]
	if e == nil {
		if b.held.Add(1) > int64(b.o.MaxKeys) {
			b.held.Add(-1)
			s.mu.Unlock()
			b.n.direct.Add(1)
			return b.c.Add(ctx, key, n)
		}
		e = &entry{}
		s.entries[key] = e
	}
	sum := e.pending + n
	if n > 0 && sum < e.pending || n < 0 && sum > e.pending {
		s.mu.Unlock()
		return 0, errOverflow
	}
	e.pending, e.touched = sum, true
	round := b.round.Load()
	total, known := e.known(round)
	s.added++
	s.mu.Unlock()
	b.arm()
	if !known && b.away.Load() != round {
		total, _ = b.read(ctx, key)
	}
	return total, nil
}

var errOverflow = errors.New("counter: add: what is gathered would overflow")

// AddOnce is [Redis.AddOnce] of the counter below: it is not gathered, since what has to
// be remembered is in Redis.
//
// Cost: 1 round trip, 2 keys, O(1); 2 for the first on a server, whose clock has to be learnt.
// Atomic: yes, with the expiry.
// Errors: ErrClosed; those of [Redis.AddOnce].
func (b *Buffered) AddOnce(ctx context.Context, key, opID string, n int64) (total int64, applied bool, err error) {
	if b.closed.Load() {
		return 0, false, ErrClosed
	}
	total, applied, err = b.c.AddOnce(ctx, key, opID, n)
	if err != nil {
		return 0, false, err
	}
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		total += e.pending
	}
	return total, applied, nil
}

// Get returns the total: what was in Redis at most an Interval ago, and what has been
// gathered here since.
//
// Cost: 0 round trips; 1 for a key that nothing was added to here for an Interval.
// Errors: ErrClosed; those of [Redis.Get].
func (b *Buffered) Get(ctx context.Context, key string) (int64, error) {
	if b.closed.Load() {
		return 0, ErrClosed
	}
	s := b.shard(key)
	s.mu.Lock()
	if e := s.entries[key]; e != nil {
		if total, ok := e.known(b.round.Load()); ok {
			s.mu.Unlock()
			return total, nil
		}
	}
	s.mu.Unlock()
	return b.read(ctx, key)
}

// read reads the total from Redis and adds what is gathered, also if there is an error.
func (b *Buffered) read(ctx context.Context, key string) (int64, error) {
	s := b.shard(key)
	s.mu.Lock()
	before, flights := s.entries[key], uint64(0)
	if before != nil && before.flight == nil {
		flights = before.flights
	}
	s.mu.Unlock()
	round := b.round.Load()
	total, err := b.c.Get(ctx, key)
	b.heard(err, round)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	switch {
	case e == nil:
		return total, err
	case err != nil || e.seen > round: // a flush has told meanwhile
		total, _ = e.known(round)
		return total, err
	case e == before && e.flight == nil && e.flights == flights:
		e.total, e.seen = total, round
		return total + e.pending, nil
	}
	return total + e.pending, nil // with the flight or without it
}

// heard notes whether Redis is away.
func (b *Buffered) heard(err error, round uint64) {
	if errors.Is(err, ErrUnavailable) {
		b.away.Store(round)
	}
}

// arm has what was gathered written in an Interval.
func (b *Buffered) arm() {
	if b.armed.Load() || !b.armed.CompareAndSwap(false, true) {
		return
	}
	b.due.Lock()
	defer b.due.Unlock()
	if !b.closed.Load() {
		b.timer = time.AfterFunc(b.o.Interval, b.tick)
	}
}

// tick writes what was gathered, and is due again as long as anything is held.
func (b *Buffered) tick() {
	b.flushing <- struct{}{}
	if !b.closed.Load() {
		if err := b.flush(context.Background(), b.c.o.Timeout); err != nil && b.o.OnError != nil {
			b.o.OnError(err)
		}
	}
	<-b.flushing
	b.armed.Store(false)
	if b.held.Load() > 0 {
		b.arm()
	}
}

// Flush writes what has been gathered until now. What it cannot write within Timeout, or
// before ctx ends, is kept, and will be written later.
//
// Cost: 1 round trip per node for a few hundred keys; 1 more for the first on a server, whose
// clock has to be learnt.
// Atomic: per key, with the expiry.
// Errors: ErrClosed; ErrUnavailable; ErrUnknownOutcome; server errors that forbid it, or if
// something that is not a count is under a key; the context's. Several are joined.
func (b *Buffered) Flush(ctx context.Context) error {
	if b.closed.Load() {
		return ErrClosed
	}
	return b.flushAlone(ctx, b.c.o.Timeout)
}

// Close writes what has been gathered, for a minute or until ctx ends, and lets nothing
// more be added. If that fails calling it again goes on. It waits for a flush that is under
// way. What others still write is not Close's concern: the Redis client stays open.
//
// Errors: as Flush, but for ErrClosed. With ErrUnavailable, and the context's, something has
// not been written.
func (b *Buffered) Close(ctx context.Context) error {
	b.due.Lock()
	b.closed.Store(true)
	if b.timer != nil {
		b.timer.Stop()
	}
	b.due.Unlock()
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	return b.flushAlone(ctx, closeFor)
}

// flushAlone flushes when nobody else does.
func (b *Buffered) flushAlone(ctx context.Context, patience time.Duration) error {
	select {
	case b.flushing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("counter: flush: %w", ctx.Err())
	}
	defer func() { <-b.flushing }()
	return b.flush(ctx, patience)
}

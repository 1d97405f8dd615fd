package ratelimit

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

var (
	//go:embed acquire.lua
	acquireSource string
	//go:embed renew.lua
	renewSource string
	//go:embed release.lua
	releaseSource string

	acquireScript = exec.NewScript(acquireSource)
	renewScript   = exec.NewScript(renewSource)
	releaseScript = exec.NewScript(releaseSource)
)

// What acquire.lua answers.
const (
	acquireLate  = -1
	acquireFull  = 0
	acquireTaken = 1
)

// ConcurrencyOptions are the settings of a [Concurrency]. In every field zero is
// the default.
type ConcurrencyOptions struct {
	// Prefix begins every Redis key, followed by the name. It is not empty and has
	// no spaces or braces. Zero: "ratelimit". Change it to keep applications on one
	// server apart.
	Prefix string

	// Timeout bounds the time that one call waits for Redis. Zero: 100 milliseconds.
	// Negative: unbounded.
	Timeout time.Duration

	// TTL is how long a lease lasts that is neither renewed nor released, and so how
	// long a process that has crashed keeps its places. Zero: 30 seconds. Set it to
	// a few times as long as the work takes, or as the pauses between two Renews.
	TTL time.Duration
}

// A Concurrency limits how much is done at once, by all processes together: a place is
// taken with Acquire and given back with Release. If its holder crashes, it is free
// again when the lease ends, after [ConcurrencyOptions.TTL]. It is safe for concurrent
// use, and needs no closing.
//
// The times are the server's, so that the clocks of the processes do not matter. If
// that of the server is set back, leases last as much longer. A failover loses the
// leases that were not replicated: then more may be held than the limit, until they
// are released or Renew finds them lost.
//
// The leases of a key are a sorted set, <prefix>:<name>:c:{<key>}, which expires with the
// last of them. The user needs the commands TIME, ZADD, ZCARD, ZSCORE, ZREM,
// ZREMRANGEBYSCORE, PTTL, PEXPIRE, EVAL, EVALSHA and PING.
type Concurrency struct {
	x     *exec.Client
	keys  rkey.Space
	limit int
	ttl   time.Duration
	n     struct{ acquired, full, lost, unavailable atomic.Uint64 }
}

// ConcurrencyStats are counts since a Concurrency was made.
type ConcurrencyStats struct {
	Acquired    uint64 // leases that were taken
	Full        uint64 // Acquires that found none
	Lost        uint64 // leases that had ended before their Renew or Release
	Unavailable uint64 // calls that failed because Redis was away or could not write, or the reply was lost
}

// NewConcurrency returns a limit of so many leases held at once, for each key. It does
// no I/O, and never closes rdb. The name is part of every key; those with one name and
// one prefix share their places. It refuses the clients that [New] refuses.
//
// Processes may have different limits, while one is being changed: each goes by its
// own.
func NewConcurrency(rdb redis.UniversalClient, name string, limit int, opts *ConcurrencyOptions) (*Concurrency, error) {
	var o ConcurrencyOptions
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if _, err := rkey.New(o.Prefix); err != nil {
		return nil, fmt.Errorf("ratelimit: ConcurrencyOptions.Prefix %w", err)
	}
	if name == "" {
		return nil, errors.New("ratelimit: name is empty")
	}
	if !validName(name, true) {
		return nil, errors.New("ratelimit: name is not printable ASCII without spaces, quotes, backslashes and braces")
	}
	switch {
	case limit < 1:
		return nil, errors.New("ratelimit: limit is less than 1")
	case o.TTL == 0:
		o.TTL = 30 * time.Second
	case o.TTL < time.Millisecond || o.TTL > never:
		return nil, errors.New("ratelimit: ConcurrencyOptions.TTL is less than a millisecond or more than 100 years")
	}
	switch {
	case o.Timeout == 0:
		o.Timeout = defaultTimeout
	case o.Timeout < 0:
		o.Timeout = never
	}
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	keys, err := rkey.New(o.Prefix + ":" + name)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: name %w", err)
	}
	return &Concurrency{x: x, keys: keys, limit: limit, ttl: o.TTL}, nil
}

// A Lease is a place that is taken. It is safe for concurrent use.
type Lease struct {
	c        *Concurrency
	key, id  string
	released atomic.Bool
	releases atomic.Int32 // requests sent
}

// Acquire takes a place of key if there is one. It does not wait for one.
//
// A lost reply does not cost a place: the request is sent again and finds what it has
// taken, as long as Timeout allows. A request that was given up takes nothing when a
// server that was stuck gets to it. One that was lost, and arrives after the reply to
// the next, may take a place that is free again in the end of its lease only.
//
// Cost: 1 round trip, 1 key, O(log N) of the leases; 2 for the first on a server, whose
// clock has to be learnt.
// Atomic: yes.
// Errors: ErrFull; ErrUnavailable, and nothing was taken; ErrUnknownOutcome, and a place
// may be taken until its lease ends; a server error that forbids it; the context's.
func (c *Concurrency) Acquire(ctx context.Context, key string) (*Lease, error) {
	l := &Lease{c: c, key: c.keys.Key("c", key), id: rand.Text()}
	b := c.x.Budget()
	for late := 0; late < 3; late++ { // the slot may have moved to another server, with a clock to be learnt
		cmd, err := c.once(ctx, b, func() *exec.Cmd {
			return acquireScript.Cmd([]string{l.key}, l.id, c.limit, c.ttl.Microseconds(), c.expiry(), c.latest(ctx, b, l.key))
		})
		if err != nil {
			return nil, c.failed("acquire", err)
		}
		now, outcome, ok := acquireReply(cmd)
		if !ok {
			return nil, c.failed("acquire", errReply)
		}
		c.x.Observe(cmd, now)
		switch outcome {
		case acquireTaken:
			c.n.acquired.Add(1)
			return l, nil
		case acquireFull:
			c.n.full.Add(1)
			return nil, ErrFull
		}
	}
	return nil, c.failed("acquire", &exec.Error{Kind: exec.Unavailable, Err: errTooLate})
}

var errTooLate = errors.New("the request came too late")

// acquireReply reads what acquire.lua returned.
func acquireReply(cmd *exec.Cmd) (now time.Time, outcome int64, ok bool) {
	reply, _ := cmd.Val().([]any)
	if len(reply) != 2 {
		return now, 0, false
	}
	text, _ := reply[0].(string)
	us, err := strconv.ParseInt(text, 10, 64)
	outcome, ok = reply[1].(int64)
	return time.UnixMicro(us), outcome, ok && err == nil
}

// latest is the time when the caller will have left, by the server's clock: if it is
// not known, one that is over.
func (c *Concurrency) latest(ctx context.Context, b *exec.Budget, key string) int64 {
	now, _, ok := c.x.ServerTime(key)
	if !ok {
		return 0
	}
	left := b.Left()
	if d, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(d))
	}
	return now.Add(left).UnixMicro()
}

// expiry is the term of a lease in the unit of Redis's keys, and not shorter.
func (c *Concurrency) expiry() int64 { return c.ttl.Milliseconds() + 1 }

// attempts bounds how often a request is sent whose replies are lost: as often as
// exec believes that a server is there.
const attempts = 3

// once sends a request that may be sent again when its reply was lost. The commands
// are not idempotent in the sense of exec, which would then not tell whether an
// attempt may have executed.
func (c *Concurrency) once(ctx context.Context, b *exec.Budget, request func() *exec.Cmd) (*exec.Cmd, error) {
	var lost error
	for range attempts {
		cmd := request()
		err := c.x.Do(ctx, b, cmd)
		switch exec.KindOf(err) {
		case 0:
			return cmd, nil
		case exec.UnknownOutcome:
			lost = err
			if b.Left() == 0 || ctx.Err() != nil {
				return nil, lost
			}
			continue
		}
		if lost != nil {
			return nil, lost
		}
		return nil, err
	}
	return nil, lost
}

// failed counts an error and makes it the package's.
func (c *Concurrency) failed(op string, err error) error {
	if !isAway(err) {
		return fmt.Errorf("ratelimit: %s: %w", op, err)
	}
	c.n.unavailable.Add(1)
	as := ErrUnavailable
	if exec.KindOf(err) == exec.UnknownOutcome {
		as = ErrUnknownOutcome
	}
	return fmt.Errorf("%w: %s: %w", as, op, err)
}

// Renew makes the lease last for a full TTL from now. A lease that has ended stays
// so: then others may have taken the place, and what was done under it has to stop.
//
// Cost: 1 round trip, 1 key, O(log N) of the leases.
// Atomic: yes.
// Errors: ErrLeaseLost; ErrUnavailable, and trying again may succeed until the lease
// ends; a server error that forbids it; the context's.
func (l *Lease) Renew(ctx context.Context) error {
	if l.released.Load() {
		return ErrLeaseLost
	}
	cmd := renewScript.Cmd([]string{l.key}, l.id, l.c.ttl.Microseconds(), l.c.expiry()).Idempotent()
	if err := l.c.x.Do(ctx, l.c.x.Budget(), cmd); err != nil {
		return l.c.failed("renew", err)
	}
	return l.held(cmd)
}

// held reports whether the lease was there.
func (l *Lease) held(cmd *exec.Cmd) error {
	if n, ok := cmd.Val().(int64); ok && n == 1 {
		return nil
	}
	l.c.n.lost.Add(1)
	return ErrLeaseLost
}

// Release gives the place back. It does so even if ctx has ended before, as that of a
// request often has by then; the wait for Redis is bounded by Timeout. Releasing
// again does nothing.
//
// Cost: 1 round trip, 1 key, O(log N) of the leases.
// Atomic: yes.
// Errors: ErrLeaseLost if the lease had ended before; ErrUnavailable and
// ErrUnknownOutcome, and the place will be free when it ends; a server error that forbids
// it; the context's.
func (l *Lease) Release(ctx context.Context) error {
	if l.released.Load() {
		return nil
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), l.c.ttl)
		defer cancel()
	}
	cmd, err := l.c.once(ctx, l.c.x.Budget(), func() *exec.Cmd {
		l.releases.Add(1)
		return releaseScript.Cmd([]string{l.key}, l.id)
	})
	if err != nil {
		return l.c.failed("release", err)
	}
	l.released.Store(true)
	if l.releases.Load() > 1 {
		return nil // another of ours may have removed it
	}
	return l.held(cmd)
}

// Stats returns what has happened so far.
func (c *Concurrency) Stats() ConcurrencyStats {
	return ConcurrencyStats{
		Acquired:    c.n.acquired.Load(),
		Full:        c.n.full.Load(),
		Lost:        c.n.lost.Load(),
		Unavailable: c.n.unavailable.Load(),
	}
}

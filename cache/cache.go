package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/drain"
	"github.com/freshet-go/freshet/internal/exec"
)

// Cache is what a handler needs of a cache. [*Redis] implements it, and a test
// can fake it in ten lines.
type Cache interface {
	// GetOrLoad returns the value of key, calling load for it if need be.
	GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error)
	// Set stores a value for ttl; zero means the cache's TTL.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete removes values.
	Delete(ctx context.Context, keys ...string) error
}

var _ Cache = (*Redis)(nil)

// Redis is a cache in Redis. It is safe for concurrent use. Values are bytes;
// [Cached] and [Func] give them types.
type Redis struct {
	o       *settings
	x       *exec.Client
	seq     atomic.Uint64 // see flight
	flights flights
	owed    owed
	places  chan struct{} // for loads while Redis is away; nil: no limit
	running *drain.Group
	closing context.Context // done when Close has no more patience
	cut     context.CancelFunc
	n       counters
}

// New returns a cache on rdb. It does no I/O, and never closes rdb.
//
// The client may be a *redis.Client, also one made for Sentinel, or a
// *redis.ClusterClient, with whatever timeouts and retries. New refuses a
// *redis.Ring, a *redis.AutoPipeliner and cluster clients that read from
// replicas, on which the guarantees cannot hold. It cannot tell a failover client
// with ReplicaOnly from others, nor what is inside a type of your own, which it takes
// for a single server: such clients are not supported either.
func New(rdb redis.UniversalClient, opts *Options) (*Redis, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c := &Redis{o: o, x: x, running: drain.New()}
	c.flights.m = make(map[string]*flight)
	c.owed.keys = make(map[string]*debt)
	if o.MaxLoads > 0 {
		c.places = make(chan struct{}, o.MaxLoads)
	}
	c.closing, c.cut = context.WithCancel(context.Background())
	return c, nil
}

// GetOrLoad returns the value of key. If the cache has none, it calls load, stores
// what that returns for the TTL and returns it; of all callers in all processes
// one loads and the others wait for the outcome. The slice is the caller's.
//
// load runs apart from the call: with the values of ctx but not its end, for at
// most [Options.LoadTimeout]. It goes on when the caller leaves, and so do the
// other callers. An error of load is returned as it is, to all who wait, and not
// stored; [ErrNotFound] is. A panic becomes a [*PanicError].
//
// GetOrLoad never returns a value whose load began before a Delete, Set or Hold of
// the key that had returned when GetOrLoad was called, in whatever process; nor
// after an Expire, where StaleFor and StaleOnError do not ask for it. If Redis is away it returns what load returns, after at most
// [Options.Timeout] more, or a millisecond if Redis has been away for a while.
//
// Cost: 1 round trip for a hit, 3 for a miss; a process that waits for another's
// load asks again after 5 ms, doubling to 100 ms.
// Errors: the loader's; ErrNotFound, ErrClosed; ErrUnavailable if Redis is away
// and too many loads run; the context's.
func (c *Redis) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	if load == nil {
		return nil, errors.New("cache: load is nil")
	}
	src := &source{keyless: load, unmarshal: unmarshalBytes}
	var value []byte
	err := c.get(ctx, key, src, false, func(payload []byte) error {
		value = payload
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// unmarshalBytes is for values that are bytes.
func unmarshalBytes(b []byte, v any) error {
	p, ok := v.(*[]byte)
	if !ok {
		return errReply
	}
	*p = append([]byte{}, b...)
	return nil
}

// Set stores a value that the application knows to be current, for ttl; zero
// means the cache's TTL. Loads that are under way will not overwrite it. It is
// not stored, and a value that was there is removed, during a [Redis.Hold] and when the server
// is out of memory; that is no error.
//
// Cost: 1 round trip; 2 for the first on a server, whose clock has to be learnt.
// Atomic: yes.
// Errors: ErrUnavailable, ErrClosed; a server error that forbids the write; the
// context's. After an error other than ErrClosed the key counts as deleted, as far
// as that can be done; see [Redis.Delete]. Until then the value may still land,
// until Timeout is over or the context's deadline has passed.
func (c *Redis) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	if !c.running.Enter() {
		return ErrClosed
	}
	defer c.running.Done()
	if ttl == 0 {
		ttl = c.o.TTL
	}
	sent := time.Now()
	lateness, err := c.set(ctx, key, value, c.o.jittered(ttl))
	c.flights.forget([]string{key})
	if err != nil {
		c.owe([]string{key}, lateness)
		return wrap("set", err)
	}
	c.owed.paid(key, sent)
	return nil
}

// maxLateness bounds how late a Set may take effect where nothing else does.
const maxLateness = time.Minute

// set runs set.lua, with the time at which the caller will have left, by the
// server's clock, as the latest at which it may take effect: an abandoned Set
// that lands later could overwrite a newer one. If it is not known what it did it
// returns for how long it may still land.
func (c *Redis) set(ctx context.Context, key string, value []byte, ttl time.Duration) (lateness time.Duration, err error) {
	b := c.x.Budget()
	head, rest := encodeEntry(newToken(), false, 0, value, c.o.CompressAbove)
	var cmd *exec.Cmd
	keys := c.keysOf(key)
	for range 3 { // the slot may have moved to another server, with a clock to be learnt
		var latest int64
		if now, _, ok := c.x.ServerTime(keys[0]); ok {
			lateness = min(b.Left(), maxLateness)
			if d, ok := ctx.Deadline(); ok {
				lateness = min(lateness, time.Until(d))
			}
			latest = now.Add(lateness).UnixMicro()
		}
		cmd = setScript.Cmd(keys, latest, head, rest,
			max(ttl.Milliseconds(), 1), c.expiry(ttl, false)).Splits()
		_ = c.x.Do(ctx, b, cmd) // leaseReply has it
		outcome, _, err := c.leaseReply(cmd)
		switch {
		case exec.IsTryAgain(err):
			return 0, c.unlinkSingly(ctx, b, []string{key})
		case exec.KindOf(err) == exec.UnknownOutcome:
			return lateness, err
		case err != nil:
			return 0, err
		case outcome == setTooLate:
			continue
		case outcome == setOOM:
			c.n.dropped.Add(1)
		}
		return 0, nil
	}
	return 0, &exec.Error{Kind: exec.Unavailable, Err: errLate}
}

// Peek returns the value of key if GetOrLoad would, without a load. It reports
// false if the cache has none.
//
// Cost: 1 round trip.
// Errors: ErrNotFound if that is remembered; ErrUnavailable, ErrClosed; the
// context's.
func (c *Redis) Peek(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if !c.running.Enter() {
		return nil, false, ErrClosed
	}
	defer c.running.Done()
	if c.owed.has(key) {
		return nil, false, nil
	}
	r := c.read(ctx, c.x.Budget(), key)
	e, found, _, err := c.decode(r)
	if err != nil {
		return nil, false, wrap("peek", err)
	}
	if !found {
		return nil, false, nil
	}
	now, known := c.timeOf(r.cmd)
	if state, _ := c.judge(&e, now, known); state == expired {
		return nil, false, nil
	}
	if e.notFound {
		return nil, false, ErrNotFound
	}
	return e.payload, true, nil
}

// keysOf returns the value, lease and hold keys of key.
func (c *Redis) keysOf(key string) []string {
	return []string{c.o.keys.Key("v", key), c.o.keys.Key("l", key), c.o.keys.Key("h", key)}
}

// expiry is the Redis expiry of an entry, in ms: until its last use.
func (c *Redis) expiry(ttl time.Duration, notFound bool) int64 {
	if !notFound {
		ttl += c.o.stale()
	}
	c.owed.lives(ttl)
	return max(ttl.Milliseconds(), 1)
}

// serverTime estimates the time of the server of key.
func (c *Redis) serverTime(key string) (time.Time, bool) {
	return between(c.x.ServerTime(c.o.keys.Key("v", key)))
}

// timeOf estimates the time of the server that answered cmd when the reply came.
func (c *Redis) timeOf(cmd *exec.Cmd) (time.Time, bool) {
	return between(c.x.ServerTimeAt(cmd))
}

func between(earliest, latest time.Time, ok bool) (time.Time, bool) {
	return earliest.Add(latest.Sub(earliest) / 2), ok
}

// observe tells the server's clock the time that a script returned.
func (c *Redis) observe(cmd *exec.Cmd, us any) {
	if s, ok := us.(string); ok {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			c.x.Observe(cmd, time.UnixMicro(n))
		}
	}
}

// away counts a command that failed because Redis is away.
func (c *Redis) away(err error) {
	if k := exec.KindOf(err); k == exec.Unavailable || k == exec.UnknownOutcome {
		c.n.unavailable.Add(1)
	}
}

// report passes on an error that nobody receives.
func (c *Redis) report(err error) {
	if c.o.OnError != nil {
		c.o.OnError(err)
	}
}

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	errReply = errors.New("cache: unexpected reply")
	errLate  = errors.New("it would have been stored too late by the server's clock")
)

// get brings the value of key to accept, from Redis or from src. accept decodes:
// what it refuses is not a value, and is replaced. With anew only a load will do.
func (c *Redis) get(ctx context.Context, key string, src *source, anew bool, accept func([]byte) error) error {
	if !c.running.Enter() {
		return ErrClosed
	}
	defer c.running.Done()
	arrived := c.seq.Add(1)
	b := c.x.Budget()
	var m miss
	switch {
	case anew:
	case c.owed.has(key):
		c.n.bypassed.Add(1)
	default:
		var answered bool
		var err error
		if m, answered, err = c.settle(ctx, key, src, c.read(ctx, b, key), accept); answered {
			return err
		}
	}
	c.n.misses.Add(1)
	return c.fetch(ctx, *b, key, newWaiter(ctx, arrived, src, anew), m, accept)
}

func newWaiter(ctx context.Context, arrived uint64, src *source, anew bool) *waiter {
	return &waiter{arrived: arrived, anew: anew, ctx: ctx, src: src, result: make(chan result, 1)}
}

// miss is what a reading left behind that did not answer a call.
type miss struct {
	old  *entry // may be served if the load fails
	seen string // identity of what is there instead of a value
}

// reading is what a command brought of one value.
type reading struct {
	cmd *exec.Cmd
	raw string
	err error
}

func readingOf(cmd *exec.Cmd) reading { return reading{cmd, cmd.Text(), cmd.Err()} }

// read reads the value of key, and the server's time if that is due.
func (c *Redis) read(ctx context.Context, b *exec.Budget, key string) reading {
	k := c.o.keys.Key("v", key)
	cmd := exec.Get(k)
	if c.x.ClockDue(k) {
		cmd = readTime(k)
	}
	_ = c.x.Do(ctx, b, cmd) // the reading has it
	return readingOf(cmd)
}

// readEach reads the values of keys, as read does.
func (c *Redis) readEach(ctx context.Context, b *exec.Budget, keys []string) []reading {
	stored := c.o.keys.Keys("v", keys)
	readings := make([]reading, len(keys))
	if c.x.OneServer() && len(keys) > 1 && !c.x.ClockDue(stored[0]) {
		cmd := exec.MGet(stored)
		err := c.x.Do(ctx, b, cmd)
		if exec.KindOf(err) != exec.Refused { // perhaps on account of one key
			texts := cmd.Texts()
			for i := range readings {
				readings[i] = reading{cmd: cmd, err: err}
				if err != nil {
					continue
				}
				if readings[i].raw = texts[i]; texts[i] == "" {
					readings[i].err = redis.Nil
				}
			}
			return readings
		}
	}
	cmds := exec.GetEach(stored)
	for _, i := range c.x.ClocksDue(stored) {
		cmds[i] = readTime(stored[i])
	}
	_ = c.x.DoAll(ctx, b, cmds) // each has its own
	for i, cmd := range cmds {
		readings[i] = readingOf(cmd)
	}
	return readings
}

// readTime is a GET that brings the server's time too.
func readTime(k string) *exec.Cmd { return peekScript.Cmd([]string{k}).Idempotent() }

// decode decodes a reading. If found is false the cache has no value; seen then
// tells what is there that cannot be used.
func (c *Redis) decode(r reading) (e entry, found bool, seen string, err error) {
	switch {
	case r.err == nil:
	case exec.KindOf(r.err) == 0: // redis.Nil
		return e, false, "", nil
	case redis.HasErrorPrefix(r.err, "WRONGTYPE"):
		c.n.corrupt.Add(1)
		return e, false, "", nil
	default:
		c.away(r.err)
		return e, false, "", r.err
	}
	raw := r.raw
	if reply, ok := r.cmd.Val().([]any); ok && len(reply) > 0 {
		c.observe(r.cmd, reply[0])
		if len(reply) < 2 || reply[1] == nil {
			return e, false, "", nil
		}
		raw, _ = reply[1].(string)
	}
	if e, err = decodeEntry(raw); err != nil {
		c.n.corrupt.Add(1)
		return e, false, identity(raw), nil
	}
	return e, true, "", nil
}

// settle answers a call from its reading; or, if it reports false, returns what a
// load should know.
func (c *Redis) settle(ctx context.Context, key string, src *source, r reading, accept func([]byte) error) (m miss, answered bool, err error) {
	e, found, seen, err := c.decode(r)
	switch {
	case err != nil && exec.KindOf(err) == exec.Canceled:
		return m, true, wrap("get", err)
	case !found: // Redis is away, has nothing, or nothing of use
		return miss{seen: seen}, false, nil
	}
	now, known := c.timeOf(r.cmd)
	if known {
		c.owed.lives(e.until.Sub(now) + c.o.stale())
	}
	state, ahead := c.judge(&e, now, known)
	if state == expired {
		return miss{old: e.kept(), seen: identity(e.raw)}, false, nil
	}
	if e.notFound {
		c.n.hits.Add(1)
		c.n.notFoundHits.Add(1)
		return m, true, ErrNotFound
	}
	if accept(e.payload) != nil {
		c.n.corrupt.Add(1)
		return miss{seen: identity(e.raw)}, false, nil
	}
	if state == stale {
		c.n.staleHits.Add(1)
	} else {
		c.n.hits.Add(1)
	}
	if state != fresh {
		c.refresh(ctx, key, src, &e, ahead)
	}
	return m, true, nil
}

// fetch joins or starts the flight of key and waits for it.
func (c *Redis) fetch(ctx context.Context, b exec.Budget, key string, w *waiter, m miss, accept func([]byte) error) error {
	for {
		f, created := c.flights.join(key, w, m, nil)
		if created {
			c.running.Add()
			go c.lead(b, []*flight{f})
		}
		r, err := c.wait(ctx, w)
		if err != nil {
			return fmt.Errorf("cache: get: %w", err)
		}
		if !created || r.seen != "" {
			c.n.shared.Add(1)
		}
		again, err := c.land(key, r, m.old, accept)
		if !again {
			return err
		}
		// Another process stores what this one cannot decode: replace it.
		w = &waiter{arrived: w.arrived, anew: true, ctx: w.ctx, src: w.src, result: w.result}
		m.seen, b = r.seen, *c.x.Budget()
	}
}

// wait waits for a flight's result.
func (c *Redis) wait(ctx context.Context, w *waiter) (result, error) {
	select {
	case r := <-w.result:
		return r, nil
	case <-ctx.Done():
	}
	c.flights.leave(w)
	select {
	case r := <-w.result: // came at the same time
		return r, nil
	default:
		return result{}, ctx.Err()
	}
}

// land answers a call with a flight's result. It reports true if that came from
// Redis and is not a value.
func (c *Redis) land(key string, r result, old *entry, accept func([]byte) error) (again bool, err error) {
	if r.err == nil {
		if err = accept(r.payload); err == nil {
			return false, nil
		}
		c.n.corrupt.Add(1)
		return r.seen != "", fmt.Errorf("cache: decode: %w", err)
	}
	if errors.Is(r.err, ErrNotFound) || !c.coversError(key, old) || accept(bytes.Clone(old.payload)) != nil {
		return false, r.err
	}
	c.n.staleOnError.Add(1)
	c.report(r.err)
	return false, nil
}

package cache

import (
	"context"
	"errors"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// Delete removes the values of keys, and voids the loads of them that are under
// way anywhere: what those bring goes to nobody who calls after Delete has
// returned. Call it after the change in the database is committed.
//
// If it fails, this process does not ask Redis for these keys until it has got
// the Delete done in the background; other processes may serve the old values
// for as long. It tries for as long as the values can live, and until Close. The
// caller need not repeat it, but may want to say so to whoever made the change.
//
// Cost: 1 round trip per node, for any number of keys. Atomic: per key.
// Errors: ErrUnavailable, ErrClosed; a server error that forbids the write; the
// context's.
func (c *Redis) Delete(ctx context.Context, keys ...string) error {
	return c.void(ctx, "delete", keys, func(key string) *exec.Cmd {
		return c.unlink(key)
	})
}

// Expire ends the freshness of values now: as if their TTL were over, they may
// still be served for StaleFor and StaleOnError, and a load gets them as [Old].
// Like Delete it voids loads that are under way.
//
// Cost: 1 round trip per node, for any number of keys. Atomic: per key.
// Errors: as Delete.
func (c *Redis) Expire(ctx context.Context, keys ...string) error {
	return c.void(ctx, opExpire, keys, func(key string) *exec.Cmd {
		return expireScript.Cmd(c.keysOf(key)[:2]).Idempotent().Splits()
	})
}

// Hold is Delete, and for d nothing is stored under the keys: callers get what
// they load themselves. It is for loaders that read from replicas of a database, which
// may not have the change yet. Set removes and stores nothing meanwhile.
//
// Cost: 1 round trip per node, for any number of keys. Atomic: per key.
// Errors: as Delete.
func (c *Redis) Hold(ctx context.Context, d time.Duration, keys ...string) error {
	if d <= 0 || d > maxTTL {
		return errors.New("cache: hold: the duration is not positive, or longer than 100 years")
	}
	return c.void(ctx, "hold", keys, func(key string) *exec.Cmd {
		return holdScript.Cmd(c.keysOf(key), max(d.Milliseconds(), 1)).Idempotent().Splits()
	})
}

const opExpire = "expire"

// void runs a command for each key that makes its value void.
func (c *Redis) void(ctx context.Context, op string, keys []string, command func(string) *exec.Cmd) error {
	if len(keys) == 0 {
		return nil
	}
	if err := c.running.enter(); err != nil {
		return err
	}
	defer c.running.done()
	cmds := make([]*exec.Cmd, len(keys))
	for i, key := range keys {
		cmds[i] = command(key)
	}
	b, sent := c.x.Budget(), time.Now()
	_ = c.x.DoAll(ctx, b, cmds) // each has its own
	var first error
	var split, failed []string
	for i, key := range keys {
		switch err := cmds[i].Err(); {
		case err == nil:
			if op != opExpire { // which leaves a value that a Delete owed has to remove
				c.owed.paid(key, sent)
			}
		case exec.IsTryAgain(err):
			split = append(split, key)
		default:
			c.away(err)
			failed = append(failed, key)
			if first == nil {
				first = err
			}
		}
	}
	if len(split) > 0 {
		// Their slot is moving. What is lost is the stale copy, or the hold.
		if err := c.unlinkSingly(ctx, b, split); err != nil {
			failed, first = append(failed, split...), err
		}
	}
	c.flights.forget(keys)
	if first == nil {
		return nil
	}
	c.owe(failed, 0)
	return wrap(op, first)
}

// unlink removes a value and its lease in one command.
func (c *Redis) unlink(key string) *exec.Cmd {
	k := c.keysOf(key)
	return exec.Command(k[0], "unlink", k[0], k[1]).Idempotent().Splits()
}

// unlinkSingly removes values while their slot moves, when commands on several
// keys fail. The lease goes first, so that no load stores a value in between.
func (c *Redis) unlinkSingly(ctx context.Context, b *exec.Budget, keys []string) error {
	for _, part := range []int{1, 0} {
		cmds := make([]*exec.Cmd, len(keys))
		for i, key := range keys {
			k := c.keysOf(key)[part]
			cmds[i] = exec.Command(k, "unlink", k).Idempotent()
		}
		if err := c.x.DoAll(ctx, b, cmds); err != nil {
			return err
		}
	}
	return nil
}

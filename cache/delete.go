package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// Delete removes the values of keys, and voids the loads of them that are under
// way anywhere: what those bring goes to nobody who calls after Delete has
// returned. Call it after the change in the database is committed.
//
// If it fails, this process does not ask Redis for these keys until it has got
// the Delete done in the background; other processes may serve the old values
// for as long. It tries for as long as the values can live, going by those that it
// has seen, and until Close. The caller need not repeat it, but may want to say so to
// whoever made the change. If 10,000 keys are waiting and more fail, this process
// asks Redis for nothing until all values that there were must have expired.
//
// Cost: 1 round trip per node for each thousand keys, within a Timeout each; those
// after one that failed are not sent. Atomic: per key.
// Errors: ErrUnavailable, ErrClosed; a server error that forbids the write; the
// context's.
func (c *Redis) Delete(ctx context.Context, keys ...string) error {
	return c.void(ctx, &deletion, keys)
}

// Expire ends the freshness of values now: as if their TTL were over, they may
// still be served for StaleFor and StaleOnError, and a load gets them as [Old].
// Like Delete it voids loads that are under way.
//
// Cost: 1 round trip per node for each thousand keys, as Delete. Atomic: per key.
// Errors: as Delete.
func (c *Redis) Expire(ctx context.Context, keys ...string) error {
	return c.void(ctx, &expiration, keys)
}

// Hold is Delete, and for d nothing is stored under the keys: callers get what
// they load themselves. It is for loaders that read from replicas of a database, which
// may not have the change yet. Set removes and stores nothing meanwhile.
//
// Cost: 1 round trip per node for each thousand keys, as Delete. Atomic: per key.
// Errors: as Delete.
func (c *Redis) Hold(ctx context.Context, d time.Duration, keys ...string) error {
	if d <= 0 || d > maxTTL {
		return errors.New("cache: hold: the duration is not positive, or longer than 50 years")
	}
	return c.void(ctx, hold(max(d.Milliseconds(), 1)), keys)
}

// voiding is a way to make values void.
type voiding struct {
	op      string
	command func(c *Redis, key string) *exec.Cmd
	before  func(c *Redis, key string) []*exec.Cmd // while their slot moves: what precedes the removal, on one key each
	keeps   bool                                   // the values, stale
}

var (
	deletion   = voiding{op: "delete", command: (*Redis).unlink}
	expiration = voiding{op: "expire", keeps: true, command: func(c *Redis, key string) *exec.Cmd {
		return expireScript.Cmd(c.keysOf(key)[:2]).Idempotent().Splits()
	}}
)

func hold(ms int64) *voiding {
	return &voiding{
		op: "hold",
		command: func(c *Redis, key string) *exec.Cmd {
			return holdScript.Cmd(c.keysOf(key), ms).Idempotent().Splits()
		},
		before: func(c *Redis, key string) []*exec.Cmd {
			k := c.keysOf(key)[2]
			return []*exec.Cmd{
				exec.Command(k, "set", k, "1", "px", ms, "nx").Idempotent(),
				exec.Command(k, "pexpire", k, ms, "gt").Idempotent(),
			}
		},
	}
}

// voidBatch is how many keys are made void together.
const voidBatch = 1000

// void makes the values of keys void.
func (c *Redis) void(ctx context.Context, v *voiding, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if !c.running.Enter() {
		return ErrClosed
	}
	defer c.running.Done()
	var first error
	var failed []string
	for batch := range slices.Chunk(keys, voidBatch) {
		if k := exec.KindOf(first); k != 0 && k != exec.Refused {
			failed = append(failed, batch...) // in vain
			continue
		}
		some, err := c.voidSome(ctx, v, batch)
		if failed = append(failed, some...); first == nil {
			first = err
		}
	}
	c.flights.forget(keys)
	if first == nil {
		return nil
	}
	c.owe(failed, 0)
	return wrap(v.op, first)
}

// voidSome returns the keys for which it failed, and the first error.
func (c *Redis) voidSome(ctx context.Context, v *voiding, keys []string) (failed []string, first error) {
	cmds := make([]*exec.Cmd, len(keys))
	for i, key := range keys {
		cmds[i] = v.command(c, key)
	}
	b, sent := c.x.Budget(), time.Now()
	_ = c.x.DoAll(ctx, b, cmds) // each has its own
	var split []string
	for i, key := range keys {
		switch err := cmds[i].Err(); {
		case err == nil:
			if !v.keeps { // or what a Delete owed is to remove is still there
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
		if err := c.voidSingly(ctx, b, v, split); err != nil {
			failed, first = append(failed, split...), err
		}
	}
	return failed, first
}

// voidSingly makes values void while their slot moves, when commands on several
// keys fail. A stale copy does not survive that.
func (c *Redis) voidSingly(ctx context.Context, b *exec.Budget, v *voiding, keys []string) error {
	if v.before != nil {
		var cmds []*exec.Cmd
		for _, key := range keys {
			cmds = append(cmds, v.before(c, key)...)
		}
		if err := c.x.DoAll(ctx, b, cmds); err != nil {
			return err
		}
	}
	return c.unlinkSingly(ctx, b, keys)
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

package ratelimit

import (
	"context"

	"github.com/freshet-go/freshet/internal/exec"
)

// Peek returns how each limit of key stands, in the order of New and Also: whether it
// would allow one more, and if not when. It takes nothing.
//
// Cost: 1 round trip, 1 key for each limit, O(1).
// Atomic: yes.
// Errors: ErrUnavailable, ErrClosed; a server error; the context's.
func (r *Redis) Peek(ctx context.Context, key string) ([]Result, error) {
	p, err := r.begin(ctx, key, 1)
	if err != nil {
		return nil, err
	}
	defer r.running.Done()
	d, err := r.run(ctx, r.x.Budget(), peekScript, p, key, request{least: 1})
	if err != nil {
		return nil, r.failed("peek", err)
	}
	return p.standings(d.at), nil
}

// standings are a result for each limit, of which one is asked for and none taken.
func (p *plan) standings(at []standing) []Result {
	results := make([]Result, len(at))
	for i, s := range at {
		results[i] = Result{
			Allowed: s.room > 0, Limit: p.limits[i], Remaining: int(s.room),
			RetryAfter: micros(s.retry), ResetAfter: micros(s.reset),
		}
	}
	return results
}

// Refund gives n back to every limit of key: for what was allowed and then not done. A
// limit gets back no more than was taken. A SlidingLog gives up its n oldest, so that
// the rest count for as long as they would have. A FixedWindow gives back to the window
// in which Refund is called, and nothing if that has ended when the server comes to it.
//
// Cost: 1 round trip, 1 key for each limit, O(1).
// Atomic: yes.
// Errors: ErrUnavailable; ErrUnknownOutcome, after which it is not known whether n was
// given back; ErrClosed; a server error; the context's.
func (r *Redis) Refund(ctx context.Context, key string, n int) error {
	p, err := r.begin(ctx, key, n)
	if err != nil {
		return err
	}
	defer r.running.Done()
	defer r.denials.forget(key)
	if _, err = r.run(ctx, r.x.Budget(), refundScript, p, key, request{most: min(int64(n), p.capacity)}); err != nil {
		return r.failed("refund", err)
	}
	return nil
}

// Reset makes keys as if they had never been used. Other processes may deny for up to
// a second what they denied before, see [Options.DenialCache].
//
// Cost: 1 round trip per node, for any number of keys. Atomic: per key.
// Errors: ErrUnavailable; ErrClosed; a server error that forbids it; the context's.
// Calling again is safe.
func (r *Redis) Reset(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	if !r.running.Enter() {
		return ErrClosed
	}
	defer r.running.Done()
	all := make([][]string, len(keys))
	cmds := make([]*exec.Cmd, len(keys))
	for i, key := range keys {
		p, err := r.plans.of(ctx, key)
		if err != nil {
			return err
		}
		all[i] = p.keys(r.o.keys, key)
		cmds[i] = unlink(all[i]...).Splits()
	}
	b := r.x.Budget()
	defer func() {
		for _, key := range keys {
			r.denials.forget(key)
			r.ahead.forget(key)
			_ = r.local.Reset(ctx, key) // which does not fail
		}
	}()
	_ = r.x.DoAll(ctx, b, cmds) // each has its own
	var single []*exec.Cmd
	var first error
	for i, cmd := range cmds {
		err := cmd.Err()
		if exec.IsTryAgain(err) { // their slot is moving
			for _, k := range all[i] {
				single = append(single, unlink(k))
			}
		} else if first == nil {
			first = err
		}
	}
	if len(single) > 0 {
		if err := r.x.DoAll(ctx, b, single); first == nil {
			first = err
		}
	}
	if first != nil {
		return r.failed("reset", first)
	}
	return nil
}

func unlink(keys ...string) *exec.Cmd {
	args := []any{"unlink"}
	for _, k := range keys {
		args = append(args, k)
	}
	return exec.Command(keys[0], args...).Idempotent()
}

package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
)

// closedRetry is what a FailClosed denial says: by then Redis has been probed.
const closedRetry = time.Second

// isAway reports whether a command failed because Redis is away, or cannot say
// whether it did it, or does not write at the moment.
func isAway(err error) bool {
	switch exec.KindOf(err) {
	case exec.Unavailable, exec.UnknownOutcome:
		return true
	}
	return redis.IsOOMError(err) || redis.HasErrorPrefix(err, "MISCONF")
}

// without decides without Redis, for which err is the reason.
func (r *Redis) without(ctx context.Context, op string, p *plan, key string, q request, err error) (Result, error) {
	if ctx.Err() != nil || !isAway(err) {
		if ctx.Err() != nil && exec.KindOf(err) == exec.Unavailable {
			err = &exec.Error{Kind: exec.Canceled, Err: ctx.Err()}
		}
		return Result{}, r.failed(op, err)
	}
	r.count(err)
	if r.o.OnError != nil {
		r.o.OnError(r.wrap(op, err))
	}
	var res Result
	switch r.o.OnUnavailable {
	case FailOpen:
		res = Result{Allowed: true, Limit: p.limits[0], Granted: int(q.most), Remaining: int(p.capacity)}
	case FailClosed:
		res = Result{Limit: p.limits[0], RetryAfter: closedRetry, ResetAfter: closedRetry}
	default:
		d := r.local.take(p.local, key, q)
		res = p.local.result(d.granted, d.at, 0)
		for i, l := range p.local.limits {
			if l.Name == res.Limit.Name {
				res.Limit = p.limits[i]
			}
		}
	}
	res.Degraded = true
	return r.n.decided(res), nil
}

// failed is the error of an operation that has no OnUnavailable, counted.
func (r *Redis) failed(op string, err error) error {
	if isAway(err) {
		r.count(err)
	}
	return r.wrap(op, err)
}

func (r *Redis) count(err error) {
	r.n.unavailable.Add(1)
	if exec.KindOf(err) == exec.UnknownOutcome {
		r.n.unknown.Add(1)
	}
}

// wrap turns an error of a Redis command into the package's.
func (r *Redis) wrap(op string, err error) error {
	switch {
	case exec.KindOf(err) == exec.UnknownOutcome:
		return fmt.Errorf("%w: %s: %w", ErrUnknownOutcome, op, err)
	case isAway(err):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
	}
	return fmt.Errorf("ratelimit: %s: %w", op, err)
}

package ratelimit

import (
	"context"
	"fmt"
	"time"
)

// Wait takes n of every limit of key, and blocks until they allow it: AllowN, and again
// after RetryAfter if it denies. Who waits has no place in a queue: others may take
// what there is meanwhile. While Redis is away OnUnavailable decides, as for AllowN.
//
// If the context has a deadline that is too early Wait returns at once, with an error
// that wraps [context.DeadlineExceeded].
//
// Cost: 1 round trip for each attempt.
// Errors: as AllowN; ErrClosed also for those who wait when the limiter is closed.
func (r *Redis) Wait(ctx context.Context, key string, n int) error {
	return wait(ctx, r.running.Ending(), func() (Result, error) { return r.AllowN(ctx, key, n) })
}

func wait(ctx context.Context, end <-chan struct{}, allow func() (Result, error)) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("ratelimit: wait: %w", err)
		}
		r, err := allow()
		if err != nil || r.Allowed {
			return err
		}
		if d, ok := ctx.Deadline(); ok && time.Until(d) < r.RetryAfter {
			return fmt.Errorf("ratelimit: wait: %w: allowed only in %v", context.DeadlineExceeded, r.RetryAfter)
		}
		timer := time.NewTimer(r.RetryAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		case <-end:
			timer.Stop()
			return ErrClosed
		}
	}
}

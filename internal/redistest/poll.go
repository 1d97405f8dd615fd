package redistest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent is an error that waiting does not cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// poll calls check until it returns nil. It gives up on a permanent error, at
// the end of ctx and when patience is over, and then returns the last error.
func poll(ctx context.Context, patience time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil && ctx.Err() != nil {
			// The check may have seen the failure that it waits for only
			// because its own context has ended.
			err = ctx.Err()
		}
		if err == nil {
			return nil
		}
		if p := (permanent{}); errors.As(err, &p) {
			return p.error
		}
		// A check that was cut off says less than the one before it.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("gave up after %v: %w", time.Since(began).Round(time.Millisecond), last)
		}
	}
}

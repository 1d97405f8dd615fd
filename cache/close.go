package cache

import "context"

// untilClosed is a context with the values of another that ends when Close has no
// more patience.
func (c *Redis) untilClosed(values context.Context) context.Context {
	return closingContext{c.closing, values}
}

type closingContext struct {
	context.Context
	values context.Context
}

func (c closingContext) Value(key any) any { return c.values.Value(key) }

// Close ends the cache. It waits until the calls and loads that are under way have
// ended; when ctx ends first it cancels the loads, answers their callers with
// ErrClosed and returns the context's error. Deletes that are still to be done
// are given up. The Redis client stays open. Closing again waits again.
func (c *Redis) Close(ctx context.Context) error {
	defer c.cut()
	return c.running.Close(ctx)
}

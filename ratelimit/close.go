package ratelimit

import "context"

// Close ends the limiter. It waits until the calls that are under way have ended,
// for which they need no more than Timeout, and returns the context's error when ctx
// ends first. A Wait ends with ErrClosed. The Redis client stays open. Closing again
// waits again.
func (r *Redis) Close(ctx context.Context) error { return r.running.Close(ctx) }

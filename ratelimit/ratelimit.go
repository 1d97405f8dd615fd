package ratelimit

import "context"

// Limiter is what a handler needs of a rate limiter. [*Redis] and [*Memory]
// implement it.
type Limiter interface {
	// Allow takes one token of key if it is there.
	Allow(ctx context.Context, key string) (Result, error)
	// AllowN takes n tokens of key if they are all there.
	AllowN(ctx context.Context, key string, n int) (Result, error)
}

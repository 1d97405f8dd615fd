package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// FailMode is who decides while Redis is away.
type FailMode uint8

const (
	// FailLocal counts in this process, in memory, at the rate ÷ Options.Instances:
	// burst and quota are divided too, rounded up and down, and are at least 1. What
	// asks for more than that share may go on when the share has not been used.
	FailLocal FailMode = iota
	// FailOpen allows everything.
	FailOpen
	// FailClosed denies everything, with a RetryAfter of a second.
	FailClosed
)

// Options are the settings of a limiter. In every field zero is the default; in
// those that say so a negative value turns the thing off.
type Options struct {
	// Prefix begins every Redis key of the limiter, followed by its name. It is
	// not empty and has no spaces or braces. Zero: "ratelimit". Change it to keep
	// applications on one server apart.
	Prefix string

	// Timeout bounds the time that one call waits for Redis. Zero: 100 milliseconds.
	// Negative: unbounded. When it is used up OnUnavailable decides.
	Timeout time.Duration

	// Also are further limits, decided together with that of New by one script: a
	// request is taken from all of them or from none. Zero: none. Set it to
	// have, say, at most 10 a second and 1,000 an hour.
	Also []Limit

	// LimitFor returns the limits of a key, in place of that of New and Also; none
	// means these. It is called for every decision and must be quick: what it
	// looks up it should keep. Zero: all keys have the same limits. Set it to have
	// plans, free and paid. Its errors are returned. Limits that are used for one key
	// at the same time, rather than one after the other, need different Names.
	LimitFor func(ctx context.Context, key string) ([]Limit, error)

	// OnUnavailable is who decides when Redis cannot be reached, does not answer in
	// time, cannot write (LOADING, READONLY, OOM, MISCONF), or when it is not known
	// what it did. Zero: FailLocal. Change it where being strict, or open, matters
	// more than being about right.
	OnUnavailable FailMode

	// Instances is how many processes share the limits, for FailLocal. Zero: 1, so
	// that while Redis is away each process allows as much as all should together.
	Instances int

	// DenialCache is how many denials are remembered in this process, each until its
	// request would be allowed and at most for a second, and answered without Redis.
	// So a Refund or Reset in another process may be noticed a second late, and
	// Remaining and RetryAfter do not know what has been taken meanwhile.
	// SlidingWindow has none. Zero: 10,000. Negative: off.
	DenialCache int

	// Prefetch is how many tokens a process takes ahead for a key that it has just
	// been asked for, to decide the next requests without Redis. It keeps them for
	// a second. In any span Δ at most Burst + (Δ + 1 s) × Quota/Period are admitted
	// then, and fewer where processes do not use what they took. Remaining counts what
	// is left in Redis and here, which no single request can have. It needs a
	// TokenBucket and no other limits. Zero or negative: none. Set it where a key is
	// asked for much more than once per Prefetch tokens and second.
	Prefetch int

	// OnError is told why Redis could not decide, before OnUnavailable does. It may
	// be called by several goroutines at once and must not block. Zero: these are
	// only counted.
	OnError func(error)
}

const (
	defaultPrefix      = "ratelimit"
	defaultTimeout     = 100 * time.Millisecond
	defaultDenialCache = 10_000
	never              = maxPeriod
)

// settings are options with the defaults filled in.
type settings struct {
	Options
	keys rkey.Space
}

func newSettings(name string, opts *Options) (*settings, error) {
	var s settings
	if opts != nil {
		s.Options = *opts
	}
	if s.Prefix == "" {
		s.Prefix = defaultPrefix
	}
	if _, err := rkey.New(s.Prefix); err != nil {
		return nil, fmt.Errorf("ratelimit: Options.Prefix %w", err)
	}
	if !validName(name, true) {
		return nil, errors.New("ratelimit: name is not printable ASCII without spaces, quotes, backslashes and braces")
	}
	var err error
	if s.keys, err = rkey.New(s.Prefix + ":" + name); err != nil {
		return nil, fmt.Errorf("ratelimit: name %w", err)
	}
	if s.OnUnavailable > FailClosed {
		return nil, errors.New("ratelimit: Options.OnUnavailable is unknown")
	}
	if s.Instances < 0 {
		return nil, errors.New("ratelimit: Options.Instances is negative")
	}
	s.Instances = max(s.Instances, 1)
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	} else if s.Timeout < 0 {
		s.Timeout = never
	}
	if s.DenialCache == 0 {
		s.DenialCache = defaultDenialCache
	}
	s.DenialCache = max(s.DenialCache, 0)
	s.Prefetch = max(s.Prefetch, 0)
	return &s, nil
}

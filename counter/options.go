package counter

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

// Options are the settings of a counter. In every field zero is the default.
type Options struct {
	// Prefix begins every Redis key. Counters with one prefix share their counts. It is not
	// empty and has no spaces or braces. Zero: "counter". Change it to keep applications on
	// one server apart.
	Prefix string

	// Timeout bounds the time that one call waits for Redis, all its commands taken
	// together. Zero: 1 second. Negative: unbounded.
	Timeout time.Duration

	// TTL is how long a counter lives from its first count; the next one after that begins
	// at zero. Zero: for ever. Set it for what is only of interest for a while, such as
	// failed logins of the last hour.
	TTL time.Duration

	// Sliding has a counter live for TTL from its last count. False: from its first.
	Sliding bool

	// OnceFor is how long an opID is remembered, and so how much later AddOnce may be
	// repeated. It is at least a second. Zero: 24 hours. Set it to longer than anybody
	// repeats what they count; with a [Middleware] that has a Visitor, to how long
	// a visit lasts.
	OnceFor time.Duration
}

const (
	defaultPrefix  = "counter"
	defaultTimeout = time.Second
	defaultOnceFor = 24 * time.Hour
	minOnceFor     = time.Second
	never          = 100 * 365 * 24 * time.Hour
)

// settings are options with the defaults filled in.
type settings struct {
	Options
	keys rkey.Space
	expiry
}

func newSettings(opts *Options) (*settings, error) {
	var s settings
	if opts != nil {
		s.Options = *opts
	}
	switch {
	case s.TTL < 0:
		return nil, errors.New("counter: Options.TTL is negative")
	case s.TTL > never:
		return nil, errors.New("counter: Options.TTL is more than 100 years")
	case s.TTL == 0 && s.Sliding:
		return nil, errors.New("counter: Options.Sliding is set without TTL")
	case s.TTL == 0:
		s.expiry = forever
	case s.Sliding:
		s.expiry = sliding
	default:
		s.expiry = fixed
	}
	if s.OnceFor == 0 {
		s.OnceFor = defaultOnceFor
	}
	if s.OnceFor < minOnceFor || s.OnceFor > never {
		return nil, errors.New("counter: Options.OnceFor is less than a second or more than 100 years")
	}
	return &s, nil
}

// connect does what all constructors do with the options that all have. It fills in the
// defaults of prefix and timeout.
func connect(rdb redis.UniversalClient, options string, prefix *string, timeout *time.Duration) (*exec.Client, rkey.Space, error) {
	if *prefix == "" {
		*prefix = defaultPrefix
	}
	keys, err := rkey.New(*prefix)
	if err != nil {
		return nil, keys, fmt.Errorf("counter: %s.Prefix %w", options, err)
	}
	switch {
	case *timeout == 0:
		*timeout = defaultTimeout
	case *timeout < 0:
		*timeout = never
	}
	x, err := exec.New(rdb, *timeout)
	if err != nil {
		return nil, keys, fmt.Errorf("counter: %w", err)
	}
	return x, keys, nil
}

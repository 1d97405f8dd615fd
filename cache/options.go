package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// Options are the settings of a cache. In every field zero is the default; in
// those that say so a negative value turns the thing off.
type Options struct {
	// Prefix begins every Redis key of the cache. Caches with one prefix share
	// their entries. It is not empty and has no spaces or braces. Zero: "cache".
	// Change it to keep applications on one server apart.
	Prefix string

	// TTL is how long a value is fresh. Zero: 5 minutes. Change it to how long
	// readers may see a value that was changed without a Delete.
	TTL time.Duration

	// Jitter varies every TTL at random by up to this fraction of it, up and
	// down, so that values stored together do not expire together. Below 1. Zero:
	// 0.1. Negative: off.
	Jitter float64

	// StaleFor is how long after its TTL a value is still served while one
	// process in the fleet loads a new one in the background. Zero or negative:
	// not at all. Set it where a slightly old answer beats a slow one.
	StaleFor time.Duration

	// StaleOnError is how long after its TTL a value is served when loading a new
	// one fails, except with ErrNotFound. Zero or negative: not at all. Set it
	// where an old answer beats an error.
	StaleOnError time.Duration

	// EarlyRefresh is how eagerly a value is loaded anew in the background shortly
	// before its TTL ends: the β of the XFetch algorithm (Vattani, Chierichetti
	// and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB
	// 2015). The longer the load takes, the earlier. Zero: 1. Negative: off.
	EarlyRefresh float64

	// NotFoundTTL is how long ErrNotFound is remembered. Zero: 30 seconds.
	// Negative: not at all.
	NotFoundTTL time.Duration

	// LoadTimeout bounds one load: its context ends then, and nobody waits for it
	// any longer. It also bounds the wait for a load in another process, after
	// which a call loads for itself. Zero: 30 seconds. Negative: unbounded.
	LoadTimeout time.Duration

	// Timeout bounds the time that one call waits for Redis, all its commands
	// taken together; the loader's time is not counted. Zero: 100 milliseconds.
	// Negative: unbounded. When it is used up the call goes on without Redis.
	Timeout time.Duration

	// MaxLoads is how many loads may run at once in this process while Redis is
	// away, to protect what is behind the cache. Zero: 64. Negative: unbounded.
	MaxLoads int

	// CompressAbove is the size in bytes from which encoded values are stored
	// compressed (DEFLATE, RFC 1951), if that makes them smaller. Zero or
	// negative: never.
	CompressAbove int

	// OnError is told the errors that nobody receives otherwise: of background
	// loads, of loads whose failure an old value covered, of values that Redis
	// would not store, of Deletes tried again. It may be called by several
	// goroutines at once and must not block. Zero: they are only counted.
	OnError func(error)
}

const (
	leaseTerm  = 3 * time.Second // of a load whose process has died
	leaseRenew = leaseTerm / 3
	// maxTTL keeps the sum of all durations of an entry from overflow: twice a TTL,
	// for jitter, and the time it may be stale.
	maxTTL = 50 * 365 * 24 * time.Hour
	never  = maxTTL
)

// settings are options with the defaults filled in.
type settings struct {
	Options
	keys rkey.Space
}

func newSettings(opts *Options) (*settings, error) {
	var s settings
	if opts != nil {
		s.Options = *opts
	}
	if s.Prefix == "" {
		s.Prefix = "cache"
	}
	var err error
	if s.keys, err = rkey.New(s.Prefix); err != nil {
		return nil, fmt.Errorf("cache: Options.Prefix %w", err)
	}
	if s.TTL < 0 {
		return nil, errors.New("cache: Options.TTL is negative")
	}
	if s.Jitter >= 1 || s.Jitter != s.Jitter {
		return nil, errors.New("cache: Options.Jitter is not below 1")
	}
	if s.EarlyRefresh != s.EarlyRefresh {
		return nil, errors.New("cache: Options.EarlyRefresh is not a number")
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"TTL", s.TTL}, {"StaleFor", s.StaleFor}, {"StaleOnError", s.StaleOnError}, {"NotFoundTTL", s.NotFoundTTL}} {
		if d.v > maxTTL {
			return nil, fmt.Errorf("cache: Options.%s is longer than 50 years", d.name)
		}
	}
	s.TTL = defaulted(s.TTL, 5*time.Minute, 0)
	s.Jitter = defaulted(s.Jitter, 0.1, 0)
	s.StaleFor = max(s.StaleFor, 0)
	s.StaleOnError = max(s.StaleOnError, 0)
	s.EarlyRefresh = defaulted(s.EarlyRefresh, 1, 0)
	s.NotFoundTTL = defaulted(s.NotFoundTTL, 30*time.Second, 0)
	s.LoadTimeout = defaulted(s.LoadTimeout, 30*time.Second, never)
	s.Timeout = defaulted(s.Timeout, 100*time.Millisecond, never)
	s.MaxLoads = defaulted(s.MaxLoads, 64, 0)
	return &s, nil
}

// defaulted is v, or def if v is zero, or off if v is negative.
func defaulted[N int | float64 | time.Duration](v, def, off N) N {
	switch {
	case v == 0:
		return def
	case v < 0:
		return off
	}
	return v
}

// stale is how long a value is kept beyond its freshness.
func (s *settings) stale() time.Duration { return max(s.StaleFor, s.StaleOnError) }

// jittered varies a TTL.
func (s *settings) jittered(ttl time.Duration) time.Duration {
	if s.Jitter == 0 {
		return ttl
	}
	return ttl + time.Duration((2*rand.Float64()-1)*s.Jitter*float64(ttl))
}

func checkTTL(ttl time.Duration) error {
	if ttl < 0 {
		return errors.New("cache: the TTL is negative")
	}
	if ttl > maxTTL {
		return errors.New("cache: the TTL is longer than 50 years")
	}
	return nil
}

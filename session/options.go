package session

import (
	"fmt"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// Options are the settings of a store. In every field zero is the default.
type Options struct {
	// Prefix begins every Redis key of the store. Stores with one prefix share their
	// records. It is not empty and has no spaces or braces. Zero: "session". Change it to
	// keep applications on one server apart.
	Prefix string

	// Timeout bounds the time that one call waits for Redis, all its commands taken
	// together. Zero: 1 second, since nothing takes the place of a session that cannot be
	// read. Negative: unbounded. Change it to how long a request may wait before it is
	// answered with an error.
	Timeout time.Duration
}

const (
	defaultPrefix  = "session"
	defaultTimeout = time.Second
	never          = maxLife
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
		s.Prefix = defaultPrefix
	}
	var err error
	if s.keys, err = rkey.New(s.Prefix); err != nil {
		return nil, fmt.Errorf("session: Options.Prefix %w", err)
	}
	switch {
	case s.Timeout == 0:
		s.Timeout = defaultTimeout
	case s.Timeout < 0:
		s.Timeout = never
	}
	return &s, nil
}

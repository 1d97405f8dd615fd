package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/wire"
)

// Cached is a loader with a cache in front of it, for values of one type. It is
// safe for concurrent use. Its entries are those of the cache under name:key.
//
// What a call returns has always been encoded and decoded, also when it was just
// loaded, so that the first caller sees what the others will. Unexported fields
// of structs are not kept by the default encoding.
type Cached[T any] struct {
	c         *Redis
	prefix    string
	src       *source
	ttl       time.Duration
	marshal   func(any) ([]byte, error) // nil: msgpack
	unmarshal func([]byte, any) error
}

// CachedOptions are the settings of a [Cached] or [Func].
type CachedOptions struct {
	// TTL is how long a value is fresh. Zero: the cache's. A loader can say
	// otherwise with [SetTTL].
	TTL time.Duration

	// Marshal encodes values. Zero: msgpack. json.Marshal fits. Change both it
	// and Unmarshal, and change the name with them.
	Marshal func(any) ([]byte, error)

	// Unmarshal decodes values. What it refuses is loaded anew and replaced. It
	// must stand bytes of any origin. Zero: msgpack, guarded against lengths and
	// depths that are not true.
	Unmarshal func([]byte, any) error
}

// NewCached returns a Cached whose values come from load, one at a time. The name
// tells its entries from those of others in the cache: give every type and
// loader one of its own, and a new one when the type changes incompatibly. It
// has no colons or braces.
func NewCached[T any](c *Redis, name string, load func(ctx context.Context, key string) (T, error), opts *CachedOptions) (*Cached[T], error) {
	if load == nil {
		return nil, errors.New("cache: load is nil")
	}
	m, err := newCached[T](c, name, opts)
	if err != nil {
		return nil, err
	}
	m.src.one = func(ctx context.Context, key string) ([]byte, error) {
		v, err := load(ctx, key)
		if err != nil {
			return nil, err
		}
		return m.encode(v)
	}
	return m, nil
}

// NewCachedMany is [NewCached] for a loader that loads many values at once, such
// as a query with a list of keys. What load leaves out of its map does not
// exist; if it returns an error, what it left out has failed.
func NewCachedMany[T any](c *Redis, name string, load func(ctx context.Context, keys []string) (map[string]T, error), opts *CachedOptions) (*Cached[T], error) {
	if load == nil {
		return nil, errors.New("cache: load is nil")
	}
	m, err := newCached[T](c, name, opts)
	if err != nil {
		return nil, err
	}
	m.src.many = func(ctx context.Context, keys []string) (map[string][]byte, error) {
		values, err := load(ctx, keys)
		payloads := make(map[string][]byte, len(values))
		for key, v := range values {
			p, encodeErr := m.encode(v)
			if encodeErr != nil {
				err = errors.Join(err, encodeErr)
				continue
			}
			payloads[key] = p
		}
		return payloads, err
	}
	return m, nil
}

func newCached[T any](c *Redis, name string, opts *CachedOptions) (*Cached[T], error) {
	if c == nil {
		return nil, errors.New("cache: the cache is nil")
	}
	if name == "" || strings.ContainsAny(name, ":{}") {
		return nil, errors.New("cache: the name is empty or contains a colon or brace")
	}
	var o CachedOptions
	if opts != nil {
		o = *opts
	}
	if err := checkTTL(o.TTL); err != nil {
		return nil, fmt.Errorf("cache: CachedOptions.TTL: %w", err)
	}
	m := &Cached[T]{c: c, prefix: name + ":", ttl: o.TTL, marshal: o.Marshal, unmarshal: o.Unmarshal}
	if m.unmarshal == nil {
		m.unmarshal = wire.Unmarshal
	}
	c.owed.lives(2*o.TTL + c.o.stale())
	m.src = &source{strip: len(m.prefix), ttl: m.ttl, unmarshal: m.unmarshal}
	return m, nil
}

func (m *Cached[T]) encode(v T) ([]byte, error) {
	var b []byte
	var err error
	if m.marshal != nil {
		b, err = m.marshal(v)
	} else {
		// By pointer, since msgpack asks fields for pointer methods, too.
		b, err = wire.Marshal(&v)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: encode: %w", err)
	}
	return b, nil
}

// Get returns the value of key, from Redis or from the loader, as
// [Redis.GetOrLoad] does.
//
// Cost: 1 round trip for a hit, 3 for a miss.
// Errors: as GetOrLoad, and those of encoding.
func (m *Cached[T]) Get(ctx context.Context, key string) (T, error) { return m.get(ctx, key, false) }

// Refresh loads the value of key now, whatever the cache has, and stores and
// returns it. Until then others get the old value. Concurrent calls share a load,
// if it began after the last of them came.
//
// Cost: 3 round trips; 2 if the cache has no value.
// Errors: as GetOrLoad, and those of encoding.
func (m *Cached[T]) Refresh(ctx context.Context, key string) (T, error) {
	return m.get(ctx, key, true)
}

func (m *Cached[T]) get(ctx context.Context, key string, anew bool) (T, error) {
	var v T
	err := m.c.get(ctx, m.prefix+key, m.src, anew, m.into(&v))
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// into returns a function that decodes into v, and leaves it alone if it fails.
func (m *Cached[T]) into(v *T) func([]byte) error {
	var decoded T // one allocation for all the values of a batch
	return func(b []byte) error {
		decoded = *new(T)
		if err := m.unmarshal(b, &decoded); err != nil {
			return err
		}
		*v = decoded
		return nil
	}
}

// Set stores a value that the application knows to be current, as [Redis.Set]
// does. A zero ttl means the default of the Cached.
//
// Cost: 1 round trip; 2 for the first on a server. Atomic: yes.
// Errors: as Redis.Set, and those of encoding.
func (m *Cached[T]) Set(ctx context.Context, key string, v T, ttl time.Duration) error {
	b, err := m.encode(v)
	if err != nil {
		return err
	}
	if ttl == 0 {
		ttl = m.ttl
	}
	return m.c.Set(ctx, m.prefix+key, b, ttl)
}

// Delete removes values, as [Redis.Delete] does.
//
// Cost: 1 round trip per node for each thousand keys. Atomic: per key.
// Errors: as Redis.Delete.
func (m *Cached[T]) Delete(ctx context.Context, keys ...string) error {
	return m.c.Delete(ctx, m.full(keys)...)
}

// full returns the keys with the name in front, in one allocation.
func (m *Cached[T]) full(keys []string) []string {
	size := len(keys) * len(m.prefix)
	for _, key := range keys {
		size += len(key)
	}
	var b strings.Builder
	b.Grow(size)
	full := make([]string, len(keys))
	for i, key := range keys {
		start := b.Len()
		b.WriteString(m.prefix)
		b.WriteString(key)
		full[i] = b.String()[start:]
	}
	return full
}

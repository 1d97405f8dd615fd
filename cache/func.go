package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Func puts a cache in front of fn: the function that it returns has the same
// signature, and calls with equal arguments share one result. The key is the name
// and a hash (SHA-256, 128 bits of it) of the argument.
//
// Two arguments are equal if their exported and unexported fields, elements and
// map entries are, pointers if what they point to is; a nil slice or map equals an
// empty one.
// Where a type has MarshalBinary or MarshalText that decides, unless it is a struct
// that embeds a type with one. Func refuses argument types that contain functions,
// channels or unsafe pointers. The name is as in [NewCached]; give it a new one when
// fn changes what it returns.
//
// Errors: those of [Redis.GetOrLoad]; of hashing and encoding.
func Func[A, T any](c *Redis, name string, fn func(context.Context, A) (T, error), opts *CachedOptions) (func(context.Context, A) (T, error), error) {
	if fn == nil {
		return nil, errors.New("cache: fn is nil")
	}
	m, err := newCached[T](c, name, opts)
	if err != nil {
		return nil, err
	}
	if err := hashable(reflect.TypeFor[A](), nil); err != nil {
		return nil, fmt.Errorf("cache: the argument of %s: %w", name, err)
	}
	return func(ctx context.Context, arg A) (T, error) {
		var v T
		key, err := hashOf(arg)
		if err != nil {
			return v, fmt.Errorf("cache: the argument of %s: %w", name, err)
		}
		src := *m.src
		src.one = func(ctx context.Context, _ string) ([]byte, error) {
			v, err := fn(ctx, arg)
			if err != nil {
				return nil, err
			}
			return m.encode(v)
		}
		if err := c.get(ctx, m.prefix+key, &src, false, m.into(&v)); err != nil {
			var zero T
			return zero, err
		}
		return v, nil
	}, nil
}

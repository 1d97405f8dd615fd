package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// bytesCache is what every library under comparison is made to look like: a cache
// of bytes.
type bytesCache interface {
	GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error)
	Close()
}

// typedCache is a cache of typed values with its loader inside.
type typedCache[T any] interface {
	Get(ctx context.Context, key string) (T, error)
	Close()
}

// batchCache is a typedCache that reads many values at once.
type batchCache[T any] interface {
	typedCache[T]
	GetMany(ctx context.Context, keys []string) (map[string]T, error)
}

// loader is the loader of a typedCache.
type loader[T any] func(ctx context.Context, key string) (T, error)

// ttl is that of all values: longer than a workload.
const ttl = time.Hour

// poolSize is the go-redis default on two cores. It is set, since pinned to one
// core a client would get half.
const poolSize = 20

// dialGoRedis makes the client that everything on go-redis has, with the defaults
// of the library.
func dialGoRedis(url string) (*redis.Client, error) { return dialCounted(url, nil) }

// dialCounted is dialGoRedis with a count of what is sent.
func dialCounted(url string, count *wire) (*redis.Client, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opts.PoolSize = poolSize
	if count != nil {
		opts.Dialer = count.dial
	}
	return redis.NewClient(opts), nil
}

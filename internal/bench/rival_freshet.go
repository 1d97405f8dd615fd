package main

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/cache"
)

// freshetCache is Freshet, with its default options but for the TTL.
type freshetCache struct {
	rdb *redis.Client
	*cache.Redis
}

func openFreshet(_ context.Context, url string) (bytesCache, error) { return newFreshet(url) }

func newFreshet(url string) (*freshetCache, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	c, err := cache.New(rdb, &cache.Options{TTL: ttl})
	if err != nil {
		return nil, err
	}
	return &freshetCache{rdb, c}, nil
}

func (c *freshetCache) Close() {
	_ = c.Redis.Close(context.Background())
	_ = c.rdb.Close()
}

type freshetTyped[T any] struct {
	*cache.Cached[T]
	c *freshetCache
}

func openFreshetTyped[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	c, err := newFreshet(url)
	if err != nil {
		return nil, err
	}
	m, err := cache.NewCached(c.Redis, "bench", load, nil)
	if err != nil {
		return nil, err
	}
	return &freshetTyped[T]{m, c}, nil
}

func (c *freshetTyped[T]) Close() { c.c.Close() }

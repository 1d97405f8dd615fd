package main

import (
	"context"

	gocache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
)

// goRedisCache is go-redis/cache without its local tier.
type goRedisCache struct {
	rdb *redis.Client
	c   *gocache.Cache
}

func openGoRedisCache(_ context.Context, url string) (bytesCache, error) { return newGoRedisCache(url) }

func newGoRedisCache(url string) (*goRedisCache, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &goRedisCache{rdb, gocache.New(&gocache.Options{Redis: rdb})}, nil
}

func (c *goRedisCache) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	var b []byte
	err := c.c.Once(&gocache.Item{Ctx: ctx, Key: key, Value: &b, TTL: ttl, Do: func(i *gocache.Item) (any, error) {
		return load(i.Context())
	}})
	return b, err
}

func (c *goRedisCache) Close() { _ = c.rdb.Close() }

type goRedisCacheTyped[T any] struct {
	*goRedisCache
	load loader[T]
}

func openGoRedisCacheTyped[T any](_ context.Context, url string, load loader[T]) (typedCache[T], error) {
	c, err := newGoRedisCache(url)
	if err != nil {
		return nil, err
	}
	return &goRedisCacheTyped[T]{c, load}, nil
}

func (c *goRedisCacheTyped[T]) Get(ctx context.Context, key string) (T, error) {
	var v T
	err := c.c.Once(&gocache.Item{Ctx: ctx, Key: key, Value: &v, TTL: ttl, Do: func(i *gocache.Item) (any, error) {
		return c.load(i.Context(), key)
	}})
	return v, err
}

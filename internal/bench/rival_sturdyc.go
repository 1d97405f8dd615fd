package main

import (
	"context"

	"github.com/redis/go-redis/v9"
	"github.com/viccon/sturdyc"
)

// sturdycCache is sturdyc with Redis as its distributed storage, in the JSON of its
// own. Its tier in process cannot be turned off, but keeps nothing when its shards
// have no room.
type sturdycCache[T any] struct {
	rdb  *redis.Client
	c    *sturdyc.Client[T]
	load loader[T]
}

// openSturdyc opens it with a tier in process of the size in its documentation.
func openSturdyc(_ context.Context, url string) (bytesCache, error) {
	c, err := newSturdyc[[]byte](url, 10_000, 10, nil)
	return sturdycBytes{c}, err
}

// openSturdycRedis opens it without the tier, so that every hit is one in Redis.
func openSturdycRedis(_ context.Context, url string) (bytesCache, error) {
	c, err := newSturdyc[[]byte](url, 1, 2, nil)
	return sturdycBytes{c}, err
}

// openSturdycTyped opens it without the tier, too.
func openSturdycTyped[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	return newSturdyc(url, 1, 2, load)
}

func newSturdyc[T any](url string, capacity, shards int, load loader[T]) (*sturdycCache[T], error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	evict := 10 // percent
	if capacity < shards {
		evict = 0 // a full shard refuses what is new, and these have no room at all
	}
	c := sturdyc.New[T](capacity, shards, ttl, evict,
		sturdyc.WithNoContinuousEvictions(), sturdyc.WithDistributedStorage(sturdycStorage{rdb}))
	return &sturdycCache[T]{rdb, c, load}, nil
}

func (c *sturdycCache[T]) Get(ctx context.Context, key string) (T, error) {
	return c.c.GetOrFetch(ctx, key, func(ctx context.Context) (T, error) { return c.load(ctx, key) })
}

func (c *sturdycCache[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	return c.c.GetOrFetchBatch(ctx, keys, func(id string) string { return id },
		func(context.Context, []string) (map[string]T, error) { return nil, errMissing })
}

func (c *sturdycCache[T]) Close() { _ = c.rdb.Close() }

type sturdycBytes struct{ *sturdycCache[[]byte] }

func (c sturdycBytes) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	return c.c.GetOrFetch(ctx, key, load)
}

// sturdycStorage is what sturdyc's documentation asks its users to write.
type sturdycStorage struct{ rdb *redis.Client }

func (s sturdycStorage) Get(ctx context.Context, key string) ([]byte, bool) {
	b, err := s.rdb.Get(ctx, key).Bytes()
	return b, err == nil
}

func (s sturdycStorage) Set(ctx context.Context, key string, value []byte) {
	_ = s.rdb.Set(ctx, key, value, ttl)
}

func (s sturdycStorage) GetBatch(ctx context.Context, keys []string) map[string][]byte {
	replies, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil
	}
	values := make(map[string][]byte, len(keys))
	for i, reply := range replies {
		if s, ok := reply.(string); ok {
			values[keys[i]] = []byte(s)
		}
	}
	return values
}

func (s sturdycStorage) SetBatch(ctx context.Context, values map[string][]byte) {
	for key, value := range values {
		s.Set(ctx, key, value)
	}
}

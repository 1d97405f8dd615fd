package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"
)

// goRedis is cache-aside by hand, as in a tutorial: GET; on a miss load, and SET. It is
// the baseline of everything.
type goRedis struct{ rdb *redis.Client }

func openGoRedis(_ context.Context, url string) (bytesCache, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &goRedis{rdb}, nil
}

func (c *goRedis) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	b, err := c.rdb.Get(ctx, key).Bytes()
	if err == nil {
		return b, nil
	}
	if b, err = load(ctx); err != nil {
		return nil, err
	}
	_ = c.rdb.Set(ctx, key, b, ttl) // its failure is no reason to fail
	return b, nil
}

func (c *goRedis) Close() { _ = c.rdb.Close() }

// goRedisTyped is the same with msgpack. Its GetMany is one MGET.
type goRedisTyped[T any] struct {
	rdb  *redis.Client
	load loader[T]
}

func openGoRedisTyped[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &goRedisTyped[T]{rdb, load}, nil
}

func (c *goRedisTyped[T]) Get(ctx context.Context, key string) (T, error) {
	var v T
	b, err := c.rdb.Get(ctx, key).Bytes()
	if err == nil {
		return v, msgpack.Unmarshal(b, &v)
	}
	if v, err = c.load(ctx, key); err != nil {
		return v, err
	}
	if b, err = msgpack.Marshal(&v); err != nil {
		return v, err
	}
	_ = c.rdb.Set(ctx, key, b, ttl)
	return v, nil
}

func (c *goRedisTyped[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	replies, err := c.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	values := make(map[string]T, len(keys))
	for i, reply := range replies {
		s, ok := reply.(string)
		if !ok {
			return nil, fmt.Errorf("MGET: %w", errMissing)
		}
		var v T
		if err := msgpack.Unmarshal([]byte(s), &v); err != nil {
			return nil, err
		}
		values[keys[i]] = v
	}
	return values, nil
}

func (c *goRedisTyped[T]) Close() { _ = c.rdb.Close() }

// errMissing is for caches that do not load in batches: here everything is a hit.
var errMissing = errors.New("a value is missing")

// goRedisPipeline is goRedisTyped with a GetMany that is a pipeline of GETs.
type goRedisPipeline[T any] struct{ goRedisTyped[T] }

func openGoRedisPipeline[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &goRedisPipeline[T]{goRedisTyped[T]{rdb, load}}, nil
}

func (c *goRedisPipeline[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	cmds := make([]*redis.StringCmd, len(keys))
	_, err := c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			cmds[i] = p.Get(ctx, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values := make(map[string]T, len(keys))
	for i, cmd := range cmds {
		b, err := cmd.Bytes()
		if err != nil {
			return nil, err
		}
		var v T
		if err := msgpack.Unmarshal(b, &v); err != nil {
			return nil, err
		}
		values[keys[i]] = v
	}
	return values, nil
}

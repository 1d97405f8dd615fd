package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// incr is INCR, as it is; what it counts never expires.
type incr struct {
	rdb  *redis.Client
	made atomic.Int64
}

func openIncr(_ context.Context, url string) (adder, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &incr{rdb: rdb}, nil
}

func (c *incr) Add(ctx context.Context, key string) error {
	err := c.rdb.Incr(ctx, key).Err()
	c.made.Add(1)
	return err
}

func (c *incr) Made() int64 { return c.made.Load() }

func (c *incr) Total(ctx context.Context, keys []string) (int64, error) {
	return totalOf(ctx, c.rdb, keys)
}

func (c *incr) Close() { _ = c.rdb.Close() }

// incrExpire is the script that INCR's documentation gives, with which no counter is left
// without its expiry.
type incrExpire struct{ incr }

var incrExpireScript = redis.NewScript(`
local current = redis.call("incr", KEYS[1])
if current == 1 then
	redis.call("expire", KEYS[1], ARGV[1])
end
return current`)

func openIncrExpire(_ context.Context, url string) (adder, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &incrExpire{incr{rdb: rdb}}, nil
}

func (c *incrExpire) Add(ctx context.Context, key string) error {
	err := incrExpireScript.Run(ctx, c.rdb, []string{key}, int(ttl.Seconds())).Err()
	c.made.Add(1)
	return err
}

// totalOf adds up counters.
func totalOf(ctx context.Context, rdb *redis.Client, keys []string) (total int64, err error) {
	pipe := rdb.Pipeline()
	for _, key := range keys {
		pipe.Get(ctx, key)
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, err
	}
	for _, cmd := range cmds {
		n, err := cmd.(*redis.StringCmd).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		total += n
	}
	return total, nil
}

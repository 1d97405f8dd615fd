package main

import (
	"context"
	"fmt"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/throttled/throttled/v2"
	goredisstore "github.com/throttled/throttled/v2/store/goredisstore.v9"
	"github.com/ulule/limiter/v3"
	ululestore "github.com/ulule/limiter/v3/drivers/store/redis"
)

// redisRate asks redis_rate for each quota.
type redisRate struct {
	rdb    *redis.Client
	l      *redis_rate.Limiter
	limits []redis_rate.Limit
}

func openRedisRate(_ context.Context, url string, quotas ...quota) (rateLimiter, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	r := &redisRate{rdb: rdb, l: redis_rate.NewLimiter(rdb)}
	for _, q := range quotas {
		r.limits = append(r.limits, redis_rate.Limit{Rate: q.n, Period: q.period, Burst: q.burst})
	}
	return r, nil
}

func (r *redisRate) Allow(ctx context.Context, key string) (bool, error) {
	for i, limit := range r.limits {
		res, err := r.l.Allow(ctx, key+suffix(i), limit)
		if err != nil || res.Allowed == 0 {
			return false, err
		}
	}
	return true, nil
}

func (r *redisRate) Close() { _ = r.rdb.Close() }

// suffix keeps the keys of two limits apart.
func suffix(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf(":%d", i)
}

// throttledLimiter asks throttled for each quota.
type throttledLimiter struct {
	rdb *redis.Client
	ls  []*throttled.GCRARateLimiterCtx
}

func openThrottled(_ context.Context, url string, quotas ...quota) (rateLimiter, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	t := &throttledLimiter{rdb: rdb}
	store, err := goredisstore.NewCtx(rdb, "rate:")
	if err != nil {
		return nil, err
	}
	for _, q := range quotas {
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerDuration(q.n, q.period), MaxBurst: q.burst - 1})
		if err != nil {
			return nil, err
		}
		t.ls = append(t.ls, l)
	}
	return t, nil
}

func (t *throttledLimiter) Allow(ctx context.Context, key string) (bool, error) {
	for i, l := range t.ls {
		limited, _, err := l.RateLimitCtx(ctx, key+suffix(i), 1)
		if err != nil || limited {
			return false, err
		}
	}
	return true, nil
}

func (t *throttledLimiter) Close() { _ = t.rdb.Close() }

// ululeLimiter asks ulule/limiter for each quota.
type ululeLimiter struct {
	rdb *redis.Client
	ls  []*limiter.Limiter
}

func openUlule(_ context.Context, url string, quotas ...quota) (rateLimiter, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	u := &ululeLimiter{rdb: rdb}
	store, err := ululestore.NewStoreWithOptions(rdb, limiter.StoreOptions{Prefix: "rate"})
	if err != nil {
		return nil, err
	}
	for _, q := range quotas {
		// Its windows are fixed: of a burst it knows nothing.
		rate := limiter.Rate{Period: q.period, Limit: int64(q.n)}
		if q.burst > q.n {
			rate = limiter.Rate{Period: ttl, Limit: int64(q.burst)}
		}
		u.ls = append(u.ls, limiter.New(store, rate))
	}
	return u, nil
}

func (u *ululeLimiter) Allow(ctx context.Context, key string) (bool, error) {
	for i, l := range u.ls {
		c, err := l.Get(ctx, key+suffix(i))
		if err != nil || c.Reached {
			return false, err
		}
	}
	return true, nil
}

func (u *ululeLimiter) Close() { _ = u.rdb.Close() }

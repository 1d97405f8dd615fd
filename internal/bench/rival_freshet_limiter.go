package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/ratelimit"
)

// freshetLimiter is Freshet, with its default options but for what is taken ahead and
// the time that it waits for Redis, which is that of go-redis.
type freshetLimiter struct {
	rdb *redis.Client
	l   *ratelimit.Redis
	why atomic.Pointer[error] // Redis could not decide
}

func openFreshetLimiter(prefetch int) openLimiter {
	return func(_ context.Context, url string, quotas ...quota) (rateLimiter, error) {
		rdb, err := dialGoRedis(url)
		if err != nil {
			return nil, err
		}
		limits := make([]ratelimit.Limit, len(quotas))
		for i, q := range quotas {
			limits[i] = ratelimit.Limit{Name: "l" + strconv.Itoa(i), Quota: q.n, Period: q.period, Burst: q.burst}
		}
		f := &freshetLimiter{rdb: rdb}
		f.l, err = ratelimit.New(rdb, "b", limits[0], &ratelimit.Options{
			Prefix: "rate", Also: limits[1:], Prefetch: prefetch, OnUnavailable: ratelimit.FailClosed,
			Timeout: 5 * time.Second, OnError: func(err error) { f.why.Store(&err) },
		})
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}

func (f *freshetLimiter) Allow(ctx context.Context, key string) (bool, error) {
	res, err := f.l.Allow(ctx, key)
	if err == nil && res.Degraded {
		err = *f.why.Load()
	}
	return res.Allowed, err
}

func (f *freshetLimiter) Close() {
	_ = f.l.Close(context.Background())
	_ = f.rdb.Close()
}

package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/counter"
)

// freshetCounter is Freshet, with the time that it waits for Redis of go-redis.
type freshetCounter struct {
	rdb  *redis.Client
	c    *counter.Redis
	made atomic.Int64
}

func openFreshetCounter(ttl time.Duration) openAdder {
	return func(_ context.Context, url string) (adder, error) { return newFreshetCounter(url, ttl) }
}

func newFreshetCounter(url string, ttl time.Duration) (*freshetCounter, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	c, err := counter.New(rdb, &counter.Options{TTL: ttl, Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	return &freshetCounter{rdb: rdb, c: c}, nil
}

func (f *freshetCounter) Add(ctx context.Context, key string) error {
	_, err := f.c.Add(ctx, key, 1)
	f.made.Add(1)
	return err
}

func (f *freshetCounter) Made() int64 { return f.made.Load() }

func (f *freshetCounter) Total(ctx context.Context, keys []string) (total int64, err error) {
	totals, err := f.c.GetMany(ctx, keys)
	for _, n := range totals {
		total += n
	}
	return total, err
}

func (f *freshetCounter) Close() { _ = f.rdb.Close() }

// freshetBuffered gathers in process, with its default options.
type freshetBuffered struct {
	*freshetCounter
	b *counter.Buffered
}

func openFreshetBuffered(_ context.Context, url string) (adder, error) {
	f, err := newFreshetCounter(url, ttl)
	if err != nil {
		return nil, err
	}
	b, err := counter.NewBuffered(f.c, nil)
	if err != nil {
		return nil, err
	}
	return &freshetBuffered{f, b}, nil
}

func (f *freshetBuffered) Add(ctx context.Context, key string) error {
	_, err := f.b.Add(ctx, key, 1)
	return err
}

func (f *freshetBuffered) Made() int64 { return int64(f.b.Stats().Added) }

func (f *freshetBuffered) Total(ctx context.Context, keys []string) (int64, error) {
	if err := f.b.Flush(ctx); err != nil {
		return 0, err
	}
	return f.freshetCounter.Total(ctx, keys)
}

func (f *freshetBuffered) Close() {
	_ = f.b.Close(context.Background())
	f.freshetCounter.Close()
}

package main

import (
	"context"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"
)

// rueidisAside is rueidis's cache-aside client. Its values are strings.
type rueidisAside struct{ c rueidisaside.CacheAsideClient }

// openRueidisAside opens it as it is by default, with its client-side cache.
func openRueidisAside(_ context.Context, url string) (bytesCache, error) {
	return newRueidisAside(url, false)
}

// openRueidisAsideRedis opens it without its client-side cache, so that every hit is one
// in Redis. Its callers could not wait for one another so; hits do not.
func openRueidisAsideRedis(_ context.Context, url string) (bytesCache, error) {
	return newRueidisAside(url, true)
}

func newRueidisAside(url string, disableCache bool) (bytesCache, error) {
	opts, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opts.DisableCache = disableCache
	c, err := rueidisaside.NewClient(rueidisaside.ClientOption{ClientOption: opts})
	if err != nil {
		return nil, err
	}
	return &rueidisAside{c}, nil
}

func (c *rueidisAside) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	s, err := c.c.Get(ctx, ttl, key, func(ctx context.Context, _ string) (string, error) {
		b, err := load(ctx)
		return rueidis.BinaryString(b), err
	})
	return []byte(s), err
}

func (c *rueidisAside) Close() { c.c.Close() }

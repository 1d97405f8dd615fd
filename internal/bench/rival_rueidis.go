package main

import (
	"context"

	"github.com/redis/rueidis"
	"github.com/vmihailenco/msgpack/v5"
)

// rueidisGet is cache-aside by hand on rueidis, without its client-side cache.
type rueidisGet struct{ rueidis.Client }

func openRueidis(_ context.Context, url string) (bytesCache, error) { return dialRueidis(url) }

func dialRueidis(url string) (rueidisGet, error) {
	opts, err := rueidis.ParseURL(url)
	if err != nil {
		return rueidisGet{}, err
	}
	opts.DisableCache = true
	c, err := rueidis.NewClient(opts)
	return rueidisGet{c}, err
}

func (c rueidisGet) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	b, err := c.Do(ctx, c.B().Get().Key(key).Build()).AsBytes()
	if err == nil {
		return b, nil
	}
	if b, err = load(ctx); err != nil {
		return nil, err
	}
	c.set(ctx, key, b)
	return b, nil
}

func (c rueidisGet) set(ctx context.Context, key string, b []byte) {
	_ = c.Do(ctx, c.B().Set().Key(key).Value(rueidis.BinaryString(b)).Ex(ttl).Build()).Error()
}

// rueidisTyped is the same with msgpack. Its GetMany is one MGET.
type rueidisTyped[T any] struct {
	rueidisGet
	load loader[T]
}

func openRueidisTyped[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	c, err := dialRueidis(url)
	if err != nil {
		return nil, err
	}
	return rueidisTyped[T]{c, load}, nil
}

func (c rueidisTyped[T]) Get(ctx context.Context, key string) (T, error) {
	var v T
	b, err := c.Do(ctx, c.B().Get().Key(key).Build()).AsBytes()
	if err == nil {
		return v, msgpack.Unmarshal(b, &v)
	}
	if v, err = c.load(ctx, key); err != nil {
		return v, err
	}
	if b, err = msgpack.Marshal(&v); err != nil {
		return v, err
	}
	c.set(ctx, key, b)
	return v, nil
}

func (c rueidisTyped[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	replies, err := rueidis.MGet(c.Client, ctx, keys)
	if err != nil {
		return nil, err
	}
	values := make(map[string]T, len(keys))
	for key, reply := range replies {
		b, err := reply.AsBytes()
		if err != nil {
			return nil, err
		}
		var v T
		if err := msgpack.Unmarshal(b, &v); err != nil {
			return nil, err
		}
		values[key] = v
	}
	return values, nil
}

// rueidisDoMulti is rueidisTyped with a GetMany that is a pipeline of GETs.
type rueidisDoMulti[T any] struct{ rueidisTyped[T] }

func openRueidisDoMulti[T any](_ context.Context, url string, load loader[T]) (batchCache[T], error) {
	c, err := dialRueidis(url)
	if err != nil {
		return nil, err
	}
	return rueidisDoMulti[T]{rueidisTyped[T]{c, load}}, nil
}

func (c rueidisDoMulti[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	cmds := make(rueidis.Commands, len(keys))
	for i, key := range keys {
		cmds[i] = c.B().Get().Key(key).Build()
	}
	values := make(map[string]T, len(keys))
	for i, reply := range c.DoMulti(ctx, cmds...) {
		b, err := reply.AsBytes()
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

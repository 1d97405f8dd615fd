package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// cacheWorkloads are the workloads of package cache.
func cacheWorkloads() []workload {
	var all []workload
	for _, callers := range []int{1, 64, 512} {
		all = append(all, hitWorkload("distinct", callers), hitWorkload("hot", callers))
	}
	all = append(all, typedHitWorkload(1))
	for _, callers := range []int{1, 64} {
		all = append(all, manyWorkload("record", newRecord, callers), manyWorkload("string", newText, callers))
	}
	return append(all, stampedeWorkload(), outageWorkload("refused"), outageWorkload("hung"))
}

const (
	noTier = "in-process tier off"
	noCSC  = "client-side cache off"
)

// openBytes opens a bytesCache.
type openBytes func(ctx context.Context, url string) (bytesCache, error)

// A bytesRival is a library as a bytesCache.
type bytesRival struct {
	name, note string
	open       openBytes
}

// hitWorkload reads values of 128 bytes that are in Redis: all keys alike, or all
// callers the same.
func hitWorkload(variant string, callers int) workload {
	w := workload{
		name: fmt.Sprintf("cache/hit/%s/%d", variant, callers),
		about: fmt.Sprintf("GetOrLoad of a value of 128 bytes that is in Redis, %s, no tier in process; "+
			"the baseline is a plain GET.", callersText(callers)),
		metrics:  loopMetrics("op"),
		primary:  throughput,
		baseline: "go-redis",
	}
	if variant == "hot" {
		w.about += " All callers ask for one key."
	} else {
		w.about += " Keys are drawn evenly from many."
	}
	lone(&w, callers)
	for _, r := range []bytesRival{
		{"go-redis", "GET by hand", openGoRedis},
		{"freshet", "", openFreshet},
		{"go-redis/cache", "", openGoRedisCache},
		{"rueidis", "GET by hand; " + noCSC, openRueidis},
		{"rueidisaside", noCSC, openRueidisAsideRedis},
		{"sturdyc", noTier, openSturdycRedis},
	} {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openHit(ctx, env, r.open, variant == "hot", callers)
		}})
	}
	return w
}

// lone makes a workload of one caller compare medians of many short rounds.
func lone(w *workload, callers int) {
	if callers == 1 {
		w.primary, w.split = medianTime, 5
	}
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers in closed loop", n)
}

func openHit(ctx context.Context, env *environment, open openBytes, hot bool, callers int) (*trial, error) {
	c, err := open(ctx, env.server.url)
	if err != nil {
		return nil, err
	}
	keys := env.keys()
	if hot {
		keys = keys[:1]
	}
	err = fill(ctx, keys, func(ctx context.Context, key string, loaded func()) error {
		b, err := c.GetOrLoad(ctx, key, func(context.Context) ([]byte, error) {
			loaded()
			return newBytes(key), nil
		})
		if err == nil && !bytes.Equal(b, newBytes(key)) {
			return fmt.Errorf("the value of %s is %q", key, b)
		}
		return err
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	never := func(context.Context) ([]byte, error) { return nil, errLoaded }
	l := &loop{callers: callers, items: 1, server: env.server, check: allHits(len(keys), callers, 1)}
	l.op = func(ctx context.Context, r *rand.Rand) error {
		b, err := c.GetOrLoad(ctx, keys[r.IntN(len(keys))], never)
		if err == nil && len(b) != valueSize {
			return fmt.Errorf("a value of %d bytes", len(b))
		}
		return err
	}
	return &trial{l.round, c.Close}, nil
}

// typedHitWorkload reads structs that are in Redis.
func typedHitWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("cache/typed/%d", callers),
		about: fmt.Sprintf("Get of a struct of 10 fields that is in Redis, %s, no tier in process; "+
			"the baseline is a plain GET and msgpack.", callersText(callers)),
		metrics:  loopMetrics("op"),
		primary:  throughput,
		baseline: "go-redis",
	}
	lone(&w, callers)
	add := func(name, note string, open openTyped[record]) {
		w.contenders = append(w.contenders, contender{name, note, func(ctx context.Context, env *environment) (*trial, error) {
			return openTypedHit(ctx, env, open, callers)
		}})
	}
	add("go-redis", "GET by hand, msgpack", single(openGoRedisTyped[record]))
	add("freshet", "msgpack", single(openFreshetTyped[record]))
	add("go-redis/cache", "msgpack and s2", openGoRedisCacheTyped[record])
	add("rueidis", "GET by hand, msgpack; "+noCSC, single(openRueidisTyped[record]))
	add("sturdyc", "JSON; "+noTier, single(openSturdycTyped[record]))
	return w
}

// openTyped opens a typedCache, openBatch a batchCache.
type (
	openTyped[T any] func(ctx context.Context, url string, load loader[T]) (typedCache[T], error)
	openBatch[T any] func(ctx context.Context, url string, load loader[T]) (batchCache[T], error)
)

// single makes an openTyped of an openBatch.
func single[T any](open openBatch[T]) openTyped[T] {
	return func(ctx context.Context, url string, load loader[T]) (typedCache[T], error) {
		return open(ctx, url, load)
	}
}

func openTypedHit(ctx context.Context, env *environment, open openTyped[record], callers int) (*trial, error) {
	keys := env.keys()
	c, err := openFilled(ctx, env, keys, open, newRecord)
	if err != nil {
		return nil, err
	}
	l := &loop{callers: callers, items: 1, server: env.server, check: allHits(len(keys), callers, 1)}
	l.op = func(ctx context.Context, r *rand.Rand) error {
		v, err := c.Get(ctx, keys[r.IntN(len(keys))])
		if err == nil && v.ID == 0 {
			return fmt.Errorf("the value is %v", v)
		}
		return err
	}
	return &trial{l.round, c.Close}, nil
}

// manyWorkload reads a hundred values that are in Redis at once.
func manyWorkload[T any](variant string, value func(key string) T, callers int) workload {
	w := workload{
		name: fmt.Sprintf("cache/many/%s/%d", variant, callers),
		about: fmt.Sprintf("GetMany of 100 values of type %s that are in Redis, %s, no tier in process; "+
			"the baseline is one MGET. All decode msgpack, but for sturdyc, and return a map. Times and costs are of a whole batch.",
			variant, callersText(callers)),
		metrics:  loopMetrics("keys"),
		primary:  throughput,
		baseline: "go-redis MGET",
	}
	if callers == 1 {
		w.split = 5
	}
	add := func(name, note string, open openBatch[T]) {
		w.contenders = append(w.contenders, contender{name, note, func(ctx context.Context, env *environment) (*trial, error) {
			return openMany(ctx, env, open, value, callers)
		}})
	}
	add("go-redis MGET", "", openGoRedisTyped[T])
	add("go-redis pipeline", "of 100 GETs", openGoRedisPipeline[T])
	add("freshet", "", openFreshetTyped[T])
	add("rueidis MGet", noCSC, openRueidisTyped[T])
	add("rueidis DoMulti", "of 100 GETs; "+noCSC, openRueidisDoMulti[T])
	add("sturdyc", "MGET, JSON; "+noTier, openSturdycTyped[T])
	return w
}

func openMany[T any](ctx context.Context, env *environment, open openBatch[T], value func(string) T, callers int) (*trial, error) {
	keys := env.keys()
	c, err := openFilled(ctx, env, keys, open, value)
	if err != nil {
		return nil, err
	}
	batch := env.scale.batch
	get := func(ctx context.Context, keys []string) (map[string]T, error) {
		values, err := c.GetMany(ctx, keys)
		if err == nil && len(values) != batch {
			err = fmt.Errorf("%d values of %d keys", len(values), batch)
		}
		return values, err
	}
	for at := 0; at+batch <= len(keys); at += batch {
		values, err := get(ctx, keys[at:at+batch])
		if err != nil {
			c.Close()
			return nil, err
		}
		for key, v := range values {
			if !same(v, value(key)) {
				c.Close()
				return nil, fmt.Errorf("the value of %s is %v", key, v)
			}
		}
	}
	// Nobody asks in the order in which Redis happens to have allocated.
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	l := &loop{callers: callers, items: batch, server: env.server, check: allHits(len(keys), callers*batch, batch)}
	l.op = func(ctx context.Context, r *rand.Rand) error {
		at := r.IntN(len(keys) - batch + 1)
		_, err := get(ctx, keys[at:at+batch])
		return err
	}
	return &trial{l.round, c.Close}, nil
}

// openFilled opens a typed cache and fills it.
func openFilled[T any, C typedCache[T]](ctx context.Context, env *environment, keys []string,
	open func(context.Context, string, loader[T]) (C, error), value func(key string) T,
) (C, error) {
	var loaded func()
	c, err := open(ctx, env.server.url, func(_ context.Context, key string) (T, error) {
		loaded()
		return value(key), nil
	})
	if err != nil {
		return c, err
	}
	err = fill(ctx, keys, func(ctx context.Context, key string, count func()) error {
		loaded = count
		v, err := c.Get(ctx, key)
		if err == nil && !same(v, value(key)) {
			return fmt.Errorf("the value of %s is %v", key, v)
		}
		return err
	})
	if err != nil {
		c.Close()
	}
	return c, err
}

// same compares values as JSON: time zones that mean the same differ in memory.
func same[T any](a, b T) bool {
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(textA, textB)
}

// valueSize is that of newBytes.
const valueSize = 128

// newBytes is the value of a key as bytes.
func newBytes(key string) []byte {
	return []byte(strings.Repeat(key+".", valueSize/len(key)+1)[:valueSize])
}

// newText is the same as a string.
func newText(key string) string { return string(newBytes(key)) }

// record is a value with ten fields, such as a row of a table.
type record struct {
	ID       int64
	Name     string
	Price    float64
	Stock    int
	Active   bool
	Tags     []string
	Labels   map[string]string
	Related  []int64
	Rating   float32
	Modified time.Time
}

// newRecord is the value of a key as a record.
func newRecord(key string) record {
	n := int64(1)
	for _, c := range key {
		n = (n*31 + int64(c)) % 1_000_000
	}
	return record{
		ID:       n + 1,
		Name:     "A record with the key " + key,
		Price:    float64(n) / 100,
		Stock:    int(n % 1000),
		Active:   true,
		Tags:     []string{"new", "blue", "steel"},
		Labels:   map[string]string{"size": "L", "origin": "here"},
		Related:  []int64{n / 2, n / 3, n / 5},
		Rating:   4.5,
		Modified: time.Unix(1_700_000_000+n, 0),
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// ratelimitWorkloads are the workloads of package ratelimit.
func ratelimitWorkloads() []workload {
	return []workload{
		allowWorkload(1), allowWorkload(64), hotKeyWorkload(64), twoLimitsWorkload(1), twoLimitsWorkload(64),
		deniedWorkload(1), deniedWorkload(64), limiterMemoryWorkload(),
	}
}

// A quota is a limit in the terms of the rivals' common part: n in each period, and
// burst at once where the algorithm has that.
type quota struct {
	n      int
	period time.Duration
	burst  int
}

var (
	// ample allows all that a benchmark asks for, and remembers it: a key that is as
	// good as new would be removed, and every decision be the first.
	ample = quota{1, time.Minute, 1_000_000}
	// plenty is that for a single key.
	plenty = quota{1, time.Second, 1_000_000_000}
	// scant allows one request in a benchmark.
	scant = quota{1, time.Hour, 1}
)

// rateLimiter is what every library under comparison is made to look like.
type rateLimiter interface {
	Allow(ctx context.Context, key string) (allowed bool, err error)
	Close()
}

// openLimiter opens a rateLimiter of some quotas, all of which a request must keep.
type openLimiter func(ctx context.Context, url string, quotas ...quota) (rateLimiter, error)

// A limiterRival is a library as a rateLimiter.
type limiterRival struct {
	name, note string
	open       openLimiter
}

const (
	fixedWindows = "counts in fixed windows"
	twoTrips     = "two round trips or more, by compare and swap"
)

var limiterRivals = []limiterRival{
	{"redis_rate", "", openRedisRate},
	{"freshet", "", openFreshetLimiter(0)},
	{"throttled", twoTrips, openThrottled},
	{"ulule/limiter", fixedWindows, openUlule},
}

// allowWorkload asks for tokens that are there, of many keys.
func allowWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("ratelimit/allow/%d", callers),
		about: fmt.Sprintf("Allow, which allows, %s. Keys are drawn evenly from many; the baseline is redis_rate.",
			callersText(callers)),
		metrics: loopMetrics("op"), primary: throughput, baseline: "redis_rate",
	}
	lone(&w, callers)
	for _, r := range limiterRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openAllow(ctx, env, r.open, callers, ample)
		}})
	}
	return w
}

func openAllow(ctx context.Context, env *environment, open openLimiter, callers int, quotas ...quota) (*trial, error) {
	l, err := open(ctx, env.server.url, quotas...)
	if err != nil {
		return nil, err
	}
	keys := env.keys()
	for _, key := range keys {
		if allowed, err := l.Allow(ctx, key); !allowed || err != nil {
			l.Close()
			return nil, fmt.Errorf("Allow = %v, %v", allowed, err)
		}
	}
	run := &loop{callers: callers, items: 1, server: env.server, check: allAsk(len(keys), callers)}
	run.op = func(ctx context.Context, r *rand.Rand) error {
		allowed, err := l.Allow(ctx, keys[r.IntN(len(keys))])
		if err == nil && !allowed {
			err = errors.New("a request was denied")
		}
		return err
	}
	return &trial{run.round, l.Close}, nil
}

// allAsk returns a check that every operation asked Redis. Of callers who happen to
// ask for the same key some may share a request, which is seldom when there are many.
func allAsk(keys, inFlight int) func(operations, hits, misses int64) error {
	return func(operations, hits, misses int64) error {
		if asked := float64(hits+misses) / float64(operations); inFlight <= keys/10 && asked < 0.9 {
			return fmt.Errorf("%.2f reads in Redis per operation: something in process is in the way", asked)
		}
		return nil
	}
}

// hotKeyWorkload asks for tokens of one key. Failures are counted.
func hotKeyWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("ratelimit/hot/%d", callers),
		about: fmt.Sprintf("Allow, which should allow, %s, all for one key; the baseline is redis_rate. What fails counts in op/s too.",
			callersText(callers)),
		metrics: append(loopMetrics("op"), metric{"errors/op", count}, metric{"taken/op", count}),
		primary: throughput, baseline: "redis_rate",
	}
	rivals := append(limiterRivals[:len(limiterRivals):len(limiterRivals)],
		limiterRival{"freshet, ahead", "takes 100 tokens at a time", openFreshetLimiter(100)})
	for _, r := range rivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openHotKey(ctx, env, r.open, callers)
		}})
	}
	return w
}

func openHotKey(ctx context.Context, env *environment, open openLimiter, callers int) (*trial, error) {
	l, err := open(ctx, env.server.url, plenty)
	if err != nil {
		return nil, err
	}
	key := env.keys()[0]
	var failed, allowed atomic.Int64
	run := &loop{callers: callers, items: 1, server: env.server, check: func(int64, int64, int64) error { return nil }}
	run.op = func(ctx context.Context, _ *rand.Rand) error {
		ok, err := l.Allow(ctx, key)
		switch {
		case err != nil:
			failed.Add(1)
		case ok:
			allowed.Add(1)
		default:
			return errors.New("a request was denied")
		}
		return ctx.Err()
	}
	return &trial{func(ctx context.Context, d time.Duration) (sample, error) {
		failed.Store(0)
		allowed.Store(0)
		s, err := run.round(ctx, d)
		if err != nil {
			return nil, err
		}
		n := float64(failed.Load() + allowed.Load())
		return append(s, float64(failed.Load())/n, float64(allowed.Load())/n), nil
	}, l.Close}, nil
}

// twoLimitsWorkload keeps two limits at once.
func twoLimitsWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("ratelimit/two/%d", callers),
		about: fmt.Sprintf("A request that two limits allow, %s. Keys are drawn evenly from many; the baseline is one limit of Freshet's. "+
			"The others are asked twice, and take from the first what the second denies.", callersText(callers)),
		metrics: loopMetrics("op"), primary: throughput, baseline: "freshet, one limit",
	}
	lone(&w, callers)
	other := ample
	other.period *= 2
	add := func(name, note string, open openLimiter, quotas ...quota) {
		w.contenders = append(w.contenders, contender{name, note, func(ctx context.Context, env *environment) (*trial, error) {
			return openAllow(ctx, env, open, callers, quotas...)
		}})
	}
	add("freshet, one limit", "", openFreshetLimiter(0), ample)
	for _, r := range limiterRivals {
		add(r.name, r.note, r.open, ample, other)
	}
	return w
}

// deniedWorkload asks for what is not there.
func deniedWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("ratelimit/denied/%d", callers),
		about: fmt.Sprintf("Allow, which denies, %s, of 100 keys; the baseline is redis_rate. "+
			"Freshet remembers denials in process, for at most a second.", callersText(callers)),
		metrics: loopMetrics("op"), primary: throughput, baseline: "redis_rate",
	}
	for _, r := range limiterRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openDenied(ctx, env, r.open, callers)
		}})
	}
	return w
}

func openDenied(ctx context.Context, env *environment, open openLimiter, callers int) (*trial, error) {
	l, err := open(ctx, env.server.url, scant)
	if err != nil {
		return nil, err
	}
	keys := env.keys()[:100]
	for i := range 2 * len(keys) {
		if allowed, err := l.Allow(ctx, keys[i%len(keys)]); allowed != (i < len(keys)) || err != nil {
			l.Close()
			return nil, fmt.Errorf("request %d: Allow = %v, %v", i, allowed, err)
		}
	}
	run := &loop{callers: callers, items: 1, server: env.server, check: func(int64, int64, int64) error { return nil }}
	run.op = func(ctx context.Context, r *rand.Rand) error {
		allowed, err := l.Allow(ctx, keys[r.IntN(len(keys))])
		if allowed {
			err = errors.New("a request was allowed")
		}
		return err
	}
	return &trial{run.round, l.Close}, nil
}

// limiterMemoryWorkload measures what a key takes.
func limiterMemoryWorkload() workload {
	w := workload{
		name:    "ratelimit/memory",
		about:   "Bytes in Redis of a key of which a few tokens are taken, by MEMORY USAGE, without the key's name; the baseline is redis_rate.",
		metrics: []metric{{"B/key", bytesUnit}, {"B of the name", bytesUnit}},
		primary: 0, baseline: "redis_rate", maxRounds: 1,
	}
	for _, r := range limiterRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openLimiterMemory(ctx, env, r.open)
		}})
	}
	return w
}

func openLimiterMemory(ctx context.Context, env *environment, open openLimiter) (*trial, error) {
	l, err := open(ctx, env.server.url, ample)
	if err != nil {
		return nil, err
	}
	names := env.keys()[:100]
	round := func(ctx context.Context, _ time.Duration) (sample, error) {
		for _, name := range names {
			for range 3 {
				if _, err := l.Allow(ctx, name); err != nil {
					return nil, err
				}
			}
		}
		var total, name int64
		found := 0
		for it := env.server.admin.Scan(ctx, 0, "*"+env.prefix+"*", 1000).Iterator(); it.Next(ctx); {
			if !strings.Contains(it.Val(), names[0][:len(names[0])-2]) {
				continue
			}
			n, err := env.server.admin.MemoryUsage(ctx, it.Val()).Result()
			if err != nil {
				return nil, err
			}
			total, name, found = total+n, name+int64(len(it.Val())), found+1
		}
		if found != len(names) {
			return nil, fmt.Errorf("%d keys in Redis of %d", found, len(names))
		}
		return sample{float64(total-name) / float64(found), float64(name) / float64(found)}, nil
	}
	return &trial{round, l.Close}, nil
}

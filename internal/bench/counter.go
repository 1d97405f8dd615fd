package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// counterWorkloads are the workloads of package counter.
func counterWorkloads() []workload {
	return []workload{addWorkload(1), addWorkload(64), bufferedWorkload(1, 1), bufferedWorkload(64, 1), bufferedWorkload(64, 1000)}
}

// adder is what every counter under comparison is made to look like.
type adder interface {
	Add(ctx context.Context, key string) error
	Made() int64                                             // Adds so far
	Total(ctx context.Context, keys []string) (int64, error) // in Redis, of all keys
	Close()
}

type openAdder func(ctx context.Context, url string) (adder, error)

const neverExpire = "its counters never expire"

// addWorkload adds one to counters.
func addWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("counter/add/%d", callers),
		about: fmt.Sprintf("Add of 1, %s. Keys are drawn evenly from many; the baseline is go-redis's INCR.",
			callersText(callers)),
		metrics: loopMetrics("op"), primary: throughput, baseline: "INCR",
	}
	lone(&w, callers)
	for _, r := range []struct {
		name, note string
		open       openAdder
	}{
		{"INCR", neverExpire, openIncr},
		{"INCR and EXPIRE in Lua", "", openIncrExpire},
		{"freshet", "expires", openFreshetCounter(ttl)},
		{"freshet, for ever", neverExpire, openFreshetCounter(0)},
	} {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openAdding(ctx, env, r.open, callers, env.scale.keys)
		}})
	}
	return w
}

// bufferedWorkload adds one to a few counters.
func bufferedWorkload(callers, keys int) workload {
	w := workload{
		name: fmt.Sprintf("counter/buffered/%d of %d", callers, keys),
		about: fmt.Sprintf("Add of 1, %s, to %d of the keys. Freshet gathers in process and writes once a second; the baseline is go-redis's INCR.",
			callersText(callers), keys),
		metrics: loopMetrics("op"), primary: throughput, baseline: "INCR",
	}
	for _, r := range []struct {
		name, note string
		open       openAdder
	}{
		{"INCR", neverExpire, openIncr},
		{"freshet, buffered", "in process", openFreshetBuffered},
	} {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openAdding(ctx, env, r.open, callers, min(keys, env.scale.keys))
		}})
	}
	return w
}

// openAdding checks of every round that what was added is there.
func openAdding(ctx context.Context, env *environment, open openAdder, callers, n int) (*trial, error) {
	a, err := open(ctx, env.server.url)
	if err != nil {
		return nil, err
	}
	keys := env.keys()[:n]
	for _, key := range keys {
		if err := a.Add(ctx, key); err != nil {
			a.Close()
			return nil, err
		}
	}
	run := &loop{callers: callers, items: 1, server: env.server, check: func(int64, int64, int64) error { return nil }}
	run.op = func(ctx context.Context, r *rand.Rand) error { return a.Add(ctx, keys[r.IntN(len(keys))]) }
	return &trial{func(ctx context.Context, d time.Duration) (sample, error) {
		s, err := run.round(ctx, d)
		if err != nil {
			return nil, err
		}
		total, err := a.Total(ctx, keys)
		if made := a.Made(); err == nil && total != made {
			err = fmt.Errorf("%d are counted of %d", total, made)
		}
		return s, err
	}, a.Close}, nil
}

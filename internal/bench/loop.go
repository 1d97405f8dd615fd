package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A loop is a closed loop: so many callers, each of which begins an operation when
// its last has ended.
type loop struct {
	callers int
	items   int // that one operation fetches
	server  *server
	op      func(ctx context.Context, r *rand.Rand) error
	check   func(operations, hits, misses int64) error // of a round, by the server's counts
}

// loopMetrics are the metrics of a loop whose operations fetch things.
func loopMetrics(things string) []metric {
	return []metric{
		{things + "/s", perSecond},
		{"p50", seconds},
		{"p99", seconds},
		{"p99.9", seconds},
		{"client CPU/op", seconds},
		{"server CPU/op", seconds},
		{"allocs/op", count},
		{"B/op", bytesUnit},
		{"Redis reads/op", count},
	}
}

// Indices into loopMetrics.
const (
	throughput = 0
	medianTime = 1
)

func (l *loop) round(ctx context.Context, d time.Duration) (sample, error) {
	serverBefore, err := l.server.counters(ctx)
	if err != nil {
		return nil, err
	}
	runtime.GC() // what the contender before left behind is not this one's
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := clientCPU()
	h := new(histogram)
	operations, elapsed, err := l.run(ctx, d, h)
	cpu = clientCPU() - cpu
	runtime.ReadMemStats(&after)
	if err != nil {
		return nil, err
	}
	serverAfter, err := l.server.counters(ctx)
	if err != nil {
		return nil, err
	}
	hits, misses := serverAfter.hits-serverBefore.hits, serverAfter.misses-serverBefore.misses
	if err := l.check(operations, hits, misses); err != nil {
		return nil, err
	}
	q := h.quantiles(0.5, 0.99, 0.999)
	n := float64(operations)
	return sample{
		n * float64(l.items) / elapsed.Seconds(),
		q[0].Seconds(), q[1].Seconds(), q[2].Seconds(),
		cpu.Seconds() / n,
		(serverAfter.cpu - serverBefore.cpu).Seconds() / n,
		float64(after.Mallocs-before.Mallocs) / n,
		float64(after.TotalAlloc-before.TotalAlloc) / n,
		float64(hits) / n,
	}, nil
}

// run lets the callers loop for d.
func (l *loop) run(ctx context.Context, d time.Duration, h *histogram) (operations int64, elapsed time.Duration, err error) {
	// As in a handler: a context that may end, and does not.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var n atomic.Int64
	var wg sync.WaitGroup
	seed := rand.Uint64()
	start := time.Now()
	for caller := range l.callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(caller)))
			done := int64(0)
			defer func() { n.Add(done) }()
			// One look at the clock per operation: an end is the next one's begin.
			// And one at least, or a busy machine makes a round of none.
			for last := time.Since(start); last < d || done == 0; {
				if err := l.op(ctx, r); err != nil {
					cancel(fmt.Errorf("after %d operations of a caller: %w", done, err))
					return
				}
				now := time.Since(start)
				h.record(now - last)
				last = now
				done++
			}
		})
	}
	wg.Wait()
	return n.Load(), time.Since(start), context.Cause(ctx)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// keys are the contender's keys.
func (e *environment) keys() []string {
	keys := make([]string, e.scale.keys)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s:item:%06d", e.prefix, i)
	}
	return keys
}

// errLoaded is the error of a loader that must not be called.
var errLoaded = errors.New("the loader was called, for a value that is in Redis")

// fill asks for each key until a whole pass has loaded nothing: some caches store
// what they have loaded a little later. get checks the values.
func fill(ctx context.Context, keys []string, get func(ctx context.Context, key string, loaded func()) error) error {
	var loads atomic.Int64
	for pass := range 10 {
		loads.Store(0)
		for _, key := range keys {
			if err := get(ctx, key, func() { loads.Add(1) }); err != nil {
				return fmt.Errorf("fill: %w", err)
			}
		}
		n := loads.Load()
		switch {
		case n == 0:
			return nil
		case pass == 0 && n != int64(len(keys)):
			return fmt.Errorf("fill: %d loads for %d distinct keys", n, len(keys))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("fill: values do not stay in Redis")
}

// allHits returns a check that every operation read items values from Redis. Reads
// of callers who happen to ask for the same may be shared, which is seldom when there
// are many keys. (sturdyc even shares a read that has just ended.)
func allHits(keys, inFlight, items int) func(operations, hits, misses int64) error {
	return func(operations, hits, misses int64) error {
		if misses != 0 {
			return fmt.Errorf("%d of %d operations missed", misses, operations)
		}
		least := 0.0
		if inFlight <= keys/10 {
			least = 0.9
		}
		if reads := float64(hits) / float64(operations*int64(items)); reads < least || hits == 0 {
			return fmt.Errorf("%.2f reads of Redis per operation: a cache in process is in the way", reads)
		}
		return nil
	}
}

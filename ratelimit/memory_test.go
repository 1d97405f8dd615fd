package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// However many keys there are, FailLocal holds few.
func TestLocalMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m, err := NewMemory(PerHour(5), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * memoryShards * memoryKeys / 2 {
		if _, err := m.Allow(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range m.shards {
		n += len(m.shards[i].keys)
	}
	if n > memoryShards*memoryKeys || n < memoryShards*memoryKeys/2 {
		t.Errorf("%d keys are held, want at most %d", n, memoryShards*memoryKeys)
	}
}

// What is no longer used is forgotten.
func TestMemoryForgets(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, _ *redistest.Server) {
		m, err := NewMemory(PerSecond(5), &Options{Also: []Limit{{Quota: 9, Period: 2 * time.Second, Algorithm: SlidingLog}}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50_000 {
			allows(t, m, fmt.Sprint(i), 1, true)
			time.Sleep(10 * time.Millisecond)
		}
		n := 0
		for i := range m.shards {
			n += len(m.shards[i].keys)
		}
		if n > 4000 {
			t.Errorf("%d keys are held, want about the 200 that are in use, and 64 a shard", n)
		}
	})
}

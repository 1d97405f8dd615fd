package pubsub

import (
	"runtime"
	"testing"
)

// A subscription that waits costs less than 2 KB, and no goroutine.
func TestSubscriptionSize(t *testing.T) {
	m, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	heap := func() int64 {
		for range 2 { // what was pooled goes at the second time
			runtime.GC()
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for range n {
		subscribes(t, m, "topic", discards, nil)
	}
	if size := (heap() - before) / n; size > 2048 {
		t.Errorf("a subscription takes %d bytes", size)
	} else {
		t.Logf("a subscription takes %d bytes", size)
	}
	if more := runtime.NumGoroutine() - goroutines; more > n/10 {
		t.Errorf("%d subscriptions have %d goroutines", n, more)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

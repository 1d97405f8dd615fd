package redistest

import (
	"sync"
	"testing"
	"time"
)

// waitPatience bounds the waits for what must come but need not come soon.
const waitPatience = time.Minute

// Eventually waits for a condition, which what describes, and fails the test if it does
// not come.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitPatience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not so: %s", waitPatience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Together runs f n times side by side and waits.
func Together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

//go:build !race

package session

import (
	"net/http"
	"testing"
	"time"
)

// A request that only reads allocates its visit, the request with it as context, the
// handle, the user, what the data is made of, and Vary. The store comes on top.
// (Not under the race detector, which makes a sync.Pool lose what it is given.)
func TestReadingRequestAllocates(t *testing.T) {
	const most = 8
	h, r := reading(t, ManagerOptions{Idle: 2 * time.Hour, TouchEvery: time.Hour})
	w := &discard{make(http.Header)}
	n := testing.AllocsPerRun(100, func() {
		clear(w.h)
		h.ServeHTTP(w, r)
	})
	if n > most {
		t.Errorf("a request that reads allocates %v times, want at most %d", n, most)
	}
}

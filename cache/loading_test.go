package cache

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestLoading(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		c := newCaches(t, s, 1, Options{Prefix: "p", Timeout: patience})[0]
		s.Mini().SetError("LOADING Redis is loading the dataset in memory")
		for i := range 20 {
			o := call(t.Context(), c, "k", returns(new(atomic.Int64), "v"))
			o.wants(t, "k", "v")
			if limit := map[bool]time.Duration{true: patience, false: time.Millisecond}[i < 10]; o.took > limit {
				t.Errorf("call %d took %v, want %v at most", i, o.took, limit)
			}
		}
		s.Mini().SetError("")
		time.Sleep(time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
		time.Sleep(time.Second)
		wants(t, c, "k", returns(new(atomic.Int64), "v"), "v")
		synctest.Wait()
		peeks(t, c, "k", "v")
	})
}

package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A planned failover under load: callers get values, without errors.
func TestFailover(t *testing.T) {
	redistest.Long(t)
	redistest.EachPrivate(t, []redistest.Topology{redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		var cs []*Redis
		for range 3 {
			cs = append(cs, newCache(t, s.Client(t), Options{Prefix: prefix, Timeout: patience, TTL: 50 * time.Millisecond}))
		}
		stop := make(chan struct{})
		done := make(chan time.Duration, 3)
		for _, c := range cs {
			go func() {
				var longest time.Duration
				for i := 0; ; i++ {
					select {
					case <-stop:
						done <- longest
						return
					default:
					}
					key := fmt.Sprint("k", i%10)
					o := call(context.Background(), c, key, returns(new(atomic.Int64), "v"))
					o.wants(t, key, "v")
					longest = max(longest, o.took)
				}
			}()
		}
		s.Failover(t)
		worksAgain(t, cs[0])
		close(stop)
		for range cs {
			longest := <-done
			t.Logf("the longest call took %v", longest)
			// A lease may have been replicated and its fill lost: then it has to end.
			if longest > leaseTerm+5*patience {
				t.Errorf("a call took %v during a failover", longest)
			}
		}
	})
}

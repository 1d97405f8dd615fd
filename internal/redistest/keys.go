package redistest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Keys returns the keys that begin with a prefix, on all masters, in order.
func (s *Server) Keys(t testing.TB, prefix string) (all []string) {
	t.Helper()
	var mu sync.Mutex
	scan := func(ctx context.Context, node *redis.Client) error {
		it := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for it.Next(ctx) {
			mu.Lock()
			all = append(all, it.Val())
			mu.Unlock()
		}
		return it.Err()
	}
	var err error
	switch rdb := s.Client(t).(type) {
	case *redis.ClusterClient:
		err = rdb.ForEachMaster(t.Context(), scan)
	case *redis.Client:
		err = scan(t.Context(), rdb)
	}
	if err != nil {
		t.Fatalf("SCAN = %v", err)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

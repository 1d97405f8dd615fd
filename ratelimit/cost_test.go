package ratelimit

import (
	"context"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestCosts counts the round trips of what the Cost: lines describe, in their order,
// and compares. Every line must have its count, with one limit and with several.
func TestCosts(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, also := range [][]Limit{nil, {
			{Name: "l", Quota: 50, Period: time.Hour, Algorithm: SlidingLog},
			{Name: "f", Quota: 50, Period: time.Hour, Algorithm: FixedWindow, Location: berlin},
		}} {
			rdb := s.Client(t)
			counter := redistest.Count(t, rdb)
			r := newLimiter(t, rdb, PerHour(20), Options{Also: also})
			ctx := context.Background()
			cost := func(f func() error) int {
				t.Helper()
				counter.Reset()
				if err := f(); err != nil {
					t.Fatal(err)
				}
				return counter.RoundTrips()
			}
			allow := func() error { _, err := r.Allow(ctx, "k"); return err }
			allowN := func(n int) func() error { return func() error { _, err := r.AllowN(ctx, "k", n); return err } }
			denied := func(ask func() error) int {
				if _, err := r.AllowUpTo(ctx, "k", 20); err != nil {
					t.Fatal(err)
				}
				for { // until both happen while a denial is remembered
					start := time.Now()
					if err := ask(); err != nil {
						t.Fatal(err)
					}
					if n := cost(ask); time.Since(start) < maxDenial {
						return n
					}
				}
			}
			// On a cluster the tag keeps them on one node.
			reset := func() error { return r.Reset(ctx, "{k}1", "{k}2", "{k}3") }
			measured := map[string]func() []int{
				"Redis.Allow":  func() []int { return []int{cost(allow), denied(allow)} },
				"Redis.AllowN": func() []int { return []int{cost(allowN(3)), denied(allowN(3))} },
				"Redis.AllowUpTo": func() []int {
					return []int{cost(func() error { _, err := r.AllowUpTo(ctx, "k", 3); return err })}
				},
				"Redis.Wait":   func() []int { return []int{cost(func() error { return r.Wait(ctx, "k", 1) })} },
				"Redis.Peek":   func() []int { return []int{cost(func() error { _, err := r.Peek(ctx, "k"); return err })} },
				"Redis.Refund": func() []int { return []int{cost(func() error { return r.Refund(ctx, "k", 1) })} },
				"Redis.Reset":  func() []int { return []int{cost(reset)} },
			}
			// Scripts that the server does not know yet cost a round trip more, once.
			for _, measure := range measured {
				if err := r.Reset(ctx, "k"); err != nil {
					t.Fatal(err)
				}
				measure()
			}
			redistest.CheckCosts(t, []string{"Redis"}, measured, func() {
				if err := r.Reset(ctx, "k"); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

package session

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestCosts counts the round trips of what the Cost: lines of the store describe, in
// their order, and compares.
func TestCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		counter := redistest.Count(t, rdb)
		r := newStore(t, rdb, Options{})
		ctx := context.Background()
		// On a cluster the tags keep all on one node.
		n := 0
		handle := func() string { n++; return "{k}" + string(rune('a'+n%20)) + newHandle() }
		user := func() string { return "{k}" + newHandle() }
		cost := func(f func() error) int {
			t.Helper()
			counter.Reset()
			if err := f(); err != nil {
				t.Fatal(err)
			}
			return counter.RoundTrips()
		}
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		make1 := func() (string, Record) {
			h := handle()
			rec, err := r.Create(ctx, h, fresh("x"), time.Hour)
			ok(err)
			return h, rec
		}
		list := func(u string, most int) (string, func() error) {
			h, rec := make1()
			return h, func() error {
				_, err := r.AddUser(ctx, u, h, time.Now(), rec.Deadline, most)
				return err
			}
		}
		listed := func(u string) string {
			h, add := list(u, 0)
			ok(add())
			return h
		}
		measured := map[string]func() []int{
			"Redis.Get": func() []int {
				h, _ := make1()
				return []int{cost(func() error { _, err := r.Get(ctx, h); return err })}
			},
			"Redis.Create": func() []int {
				return []int{cost(func() error { _, err := r.Create(ctx, handle(), fresh("x"), time.Hour); return err })}
			},
			"Redis.Swap": func() []int {
				h, rec := make1()
				return []int{cost(func() error { _, err := r.Swap(ctx, h, rec, time.Hour); return err })}
			},
			"Redis.Touch": func() []int {
				h, rec := make1()
				return []int{cost(func() error { return r.Touch(ctx, h, rec, time.Hour) })}
			},
			"Redis.Delete": func() []int {
				h, _ := make1()
				return []int{cost(func() error { return r.Delete(ctx, h, handle(), handle()) })}
			},
			"Redis.AddUser": func() []int {
				plain := user()
				_, add := list(plain, 0)
				costs := []int{cost(add)}

				// A server whose clock is not known.
				stranger := newStore(t, rdb, Options{Prefix: r.o.Prefix})
				h, rec := make1()
				costs = append(costs, cost(func() error {
					_, err := stranger.AddUser(ctx, plain, h, time.Now(), rec.Deadline, 0)
					return err
				})-costs[0])

				// Revoked by another process, a moment before.
				revoked := user()
				_, err := stranger.RevokeUser(ctx, revoked, time.Now().Add(time.Hour))
				ok(err)
				h, rec = make1()
				time.Sleep(50 * time.Millisecond) // longer than a reply takes
				since := time.Now()
				costs = append(costs, cost(func() error {
					_, err := r.AddUser(ctx, revoked, h, since, rec.Deadline, 0)
					return err
				})-costs[0])

				full := user()
				listed(full)
				listed(full)
				_, add = list(full, 2)
				return append(costs, cost(add)-costs[0])
			},
			"Redis.CheckUser": func() []int {
				u := user()
				h := listed(u)
				return []int{cost(func() error { return r.CheckUser(ctx, u, h, time.Now().Add(time.Hour)) })}
			},
			"Redis.RemoveUser": func() []int {
				u := user()
				h := listed(u)
				return []int{cost(func() error { return r.RemoveUser(ctx, u, h, handle()) })}
			},
			"Redis.UserRecords": func() []int {
				u := user()
				read := func() error { _, err := r.UserRecords(ctx, u); return err }
				h := listed(u)
				listed(u)
				costs := []int{cost(read)}
				ok(r.Delete(ctx, h))
				return append(costs, cost(read)-costs[0])
			},
			"Redis.RevokeUser": func() []int {
				u := user()
				revoke := func() error { _, err := r.RevokeUser(ctx, u, time.Now().Add(time.Hour)); return err }
				listed(u)
				listed(u)
				costs := []int{cost(revoke)}
				u = user()
				return append(costs, cost(revoke))
			},
		}
		// Scripts that the server does not know yet cost a round trip more, once.
		for _, measure := range measured {
			measure()
		}
		redistest.CheckCosts(t, []string{"Redis"}, measured, func() {})

		h, _ := make1()
		counter.Reset()
		finds(t, r, h, nil)
		if got := counter.Commands(); !slices.Equal(got, []string{"get"}) {
			t.Errorf("Get sent %v, want a GET", got)
		}
	})
}

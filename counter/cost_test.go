package counter

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestCosts counts the round trips of what the Cost: lines describe, in their order, and
// compares.
func TestCosts(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, opts := range []Options{{}, {TTL: time.Hour}, {TTL: time.Hour, Sliding: true}} {
			opts.Prefix = redistest.Prefix(t) + name(opts)
			rdb := s.Client(t)
			counter := redistest.Count(t, rdb)
			r := newCounter(t, rdb, opts)
			b := newBuffered(t, r, BufferedOptions{MaxKeys: 2})
			series := newSeries(t, rdb, SeriesOptions{Prefix: opts.Prefix})
			u := newUnique(t, rdb, UniqueOptions{Prefix: opts.Prefix, Exact: 3})
			ctx := context.Background()
			cost := func(f func() error) int {
				t.Helper()
				counter.Reset()
				if err := f(); err != nil {
					t.Fatal(err)
				}
				return counter.RoundTrips()
			}
			adding := func(c Counter, key string) func() error { return func() error { return second(c.Add(ctx, key, 1)) } }
			once := func(c Counter) func() error {
				return func() error { _, _, err := c.AddOnce(ctx, "k", time.Now().String(), 1); return err }
			}
			// One that does not know the server's clock.
			stranger := func() *Redis { return newCounter(t, rdb, opts) }
			// On a cluster the tag keeps them on one node.
			three := []string{"{k}1", "{k}2", "{k}3"}
			measured := map[string]func() []int{
				"Redis.Add":     func() []int { return []int{cost(adding(r, "k"))} },
				"Redis.AddOnce": func() []int { return []int{cost(once(r)), cost(once(stranger()))} },
				"Redis.Get":     func() []int { return []int{cost(func() error { return second(r.Get(ctx, "k")) })} },
				"Redis.GetMany": func() []int { return []int{cost(func() error { return second(r.GetMany(ctx, three)) })} },
				"Redis.Take":    func() []int { return []int{cost(func() error { return second(r.Take(ctx, "k")) })} },
				"Redis.Reset":   func() []int { return []int{cost(func() error { return r.Reset(ctx, three...) })} },
				"Buffered.Add": func() []int {
					check(t, b.Flush(ctx))
					check(t, b.Flush(ctx))
					check(t, b.Flush(ctx)) // it knows no key any more
					first := cost(adding(b, "k"))
					known := cost(adding(b, "k"))
					check(t, second(b.Add(ctx, "{k}2", 1)))
					if direct := cost(adding(b, "{k}3")); direct != first {
						t.Errorf("Add beyond MaxKeys costs %d round trips, want %d", direct, first)
					}
					return []int{known, first}
				},
				"Buffered.Get": func() []int {
					check(t, second(b.Add(ctx, "k", 1)))
					return []int{cost(func() error { return second(b.Get(ctx, "k")) }), cost(func() error { return second(b.Get(ctx, "{k}another")) })}
				},
				"Buffered.AddOnce": func() []int {
					return []int{cost(once(b)), cost(once(newBuffered(t, stranger(), BufferedOptions{})))}
				},
				"Buffered.Flush": func() []int {
					check(t, b.Flush(ctx))
					check(t, second(b.Add(ctx, "k", 1)))
					known := cost(func() error { return b.Flush(ctx) })
					other := newBuffered(t, stranger(), BufferedOptions{})
					check(t, second(other.Add(ctx, "k", 1)))
					return []int{known, cost(func() error { return other.Flush(ctx) }) - known}
				},
				"Series.Add": func() []int { return []int{cost(func() error { return series.Add(ctx, "k", 1) }), 2} },
				"Series.Range": func() []int {
					return []int{cost(func() error {
						return second(series.Range(ctx, "k", time.Now().Add(-5*time.Hour), time.Now(), time.Minute))
					})}
				},
				"Unique.Add": func() []int {
					check(t, u.Add(ctx, "k", "a"))
					some := cost(func() error { return u.Add(ctx, "k", "a", "b", "c") })
					over := cost(func() error { return u.Add(ctx, "k", "d") })
					after := cost(func() error { return u.Add(ctx, "k", "e") })
					if after != some {
						t.Errorf("Add to a HyperLogLog costs %d round trips, want %d", after, some)
					}
					s.Do(t, "unlink", u.key("u", "k"))
					return []int{some, over - some}
				},
				"Unique.Count": func() []int {
					return []int{cost(func() error { _, _, err := u.Count(ctx, "k", "other", "more"); return err })}
				},
			}
			// Scripts that the server does not know yet cost a round trip more, once.
			check(t, second(r.Add(ctx, "k", 1)))
			check(t, second(r.Add(ctx, "{k}0", 1)))
			for _, measure := range measured {
				measure()
			}
			redistest.CheckCosts(t, []string{"Redis", "Buffered", "Series", "Unique"}, measured, func() {})

			counter.Reset()
			check(t, second(r.Get(ctx, "k")))
			if got := counter.Commands(); !slices.Equal(got, []string{"get"}) {
				t.Errorf("Get sent %v, want a GET", got)
			}
		}
	})
}

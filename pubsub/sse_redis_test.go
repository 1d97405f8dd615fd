package pubsub_test

import (
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// redisFronts are two instances: each has a client, a bus and an SSE of its own.
func redisFronts(t *testing.T, s *redistest.Server, o pubsub.Options, opts *pubsub.SSEOptions) (buses []*pubsub.Redis, fronts []front) {
	t.Helper()
	o.Prefix, o.Timeout = redistest.Prefix(t), 20*time.Second
	for range 2 {
		bus, err := pubsub.New(s.Client(t), &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closes(t, bus) })
		buses = append(buses, bus)
		fronts = append(fronts, newFront(t, bus, opts))
	}
	return buses, fronts
}

// TestSSERedis: clients of two instances have the events of both, and go on at either.
func TestSSERedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Run("live", func(t *testing.T) {
			buses, fronts := redisFronts(t, s, pubsub.Options{}, nil)
			one, other := fronts[0].connect(t, "", "a"), fronts[1].connect(t, "", "a", "b")
			one.greeted()
			other.greeted()
			for i, bus := range buses {
				say(t, bus, "a", count(3*i, 3)...)
			}
			one.has(count(0, 6)...)
			other.has(count(0, 6)...)
			// The second instance has them in memory as well.
			again := fronts[1].connect(t, one.got()[2].lastID, "a")
			again.has(count(3, 3)...)
		})
		for name, buffer := range map[string]int{"from memory": 10_000, "from the history": 2} {
			t.Run(name, func(t *testing.T) {
				buses, fronts := redisFronts(t, s, pubsub.Options{HistoryLen: 10_000}, &pubsub.SSEOptions{Buffer: buffer})
				n := 0
				resumes(t, fronts, 3, []string{"a"}, 150, func(topic, text string) {
					say(t, buses[n%2], topic, text)
					n++
				})
			})
		}
		t.Run("too old", func(t *testing.T) {
			buses, fronts := redisFronts(t, s, pubsub.Options{HistoryLen: 10}, &pubsub.SSEOptions{Buffer: 3})
			one := fronts[0].connect(t, "", "a")
			one.greeted()
			say(t, buses[0], "a", count(1, 5)...)
			one.has(count(1, 5)...)
			one.close()
			say(t, buses[1], "a", count(6, 95)...)
			late := fronts[1].connect(t, one.id(), "a")
			redistest.Eventually(t, "the last event is there", func() bool {
				all := late.all()
				return len(all) > 0 && all[len(all)-1] == "100"
			})
			if got, missed, unknown := late.missed(); got+missed != 95 || missed == 0 || unknown {
				t.Errorf("of 95 events %d have arrived and %d are announced: %q", got, missed, late.all())
			}
		})
	})
}

// TestSSEOutage: what is published while an instance is cut off from Redis is announced to
// its clients or, where there is a history, they have it all the same.
func TestSSEOutage(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		for name, o := range map[string]pubsub.Options{"live": {}, "replayable": {HistoryLen: 1000}} {
			t.Run(name, func(t *testing.T) {
				buses, fronts := redisFronts(t, s, o, nil)
				one, other := fronts[0].connect(t, "", "a"), fronts[1].connect(t, "", "a")
				one.greeted()
				other.greeted()
				say(t, buses[0], "a", count(0, 10)...)
				for i := 0; ; i++ {
					s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub")
					say(t, buses[0], "a", count(10+10*i, 10)...)
					if i == 9 {
						break
					}
				}
				for _, src := range []*source{one, other} {
					redistest.Eventually(t, "all is there or announced", func() bool {
						got, missed, unknown := src.missed()
						if unknown {
							t.Fatalf("a gap does not tell how many: %q", src.all())
						}
						return got+missed >= 110
					})
					if got, missed, _ := src.missed(); got+missed != 110 || missed > 0 && o.HistoryLen > 0 {
						t.Errorf("of 110 events %d have arrived and %d are announced", got, missed)
					}
				}
			})
		}
	})
}

// TestSSERedisStorm is TestSSEStorm on real servers.
func TestSSERedisStorm(t *testing.T) {
	t.Parallel()
	redistest.Long(t)
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		buses, fronts := redisFronts(t, s, pubsub.Options{HistoryLen: 1000}, nil)
		storm(t, fronts[0], fronts[1], func(texts ...string) { say(t, buses[0], "a", texts...) })
	})
}

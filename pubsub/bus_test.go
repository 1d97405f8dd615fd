package pubsub_test

import (
	"context"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
	"github.com/freshet-go/freshet/pubsub/pubsubtest"
)

func TestMemoryBus(t *testing.T) {
	t.Parallel()
	newBus := func(opts *pubsub.Options) func(t *testing.T) pubsub.Bus {
		return func(t *testing.T) pubsub.Bus {
			m, err := pubsub.NewMemory(opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closes(t, m) })
			return m
		}
	}
	t.Run("live", func(t *testing.T) {
		pubsubtest.Run(t, newBus(nil), pubsubtest.Features{Patterns: true})
	})
	t.Run("replayable", func(t *testing.T) {
		pubsubtest.Run(t, newBus(&pubsub.Options{HistoryLen: 1000}), pubsubtest.Features{Patterns: true, Replay: true})
	})
}

// closes closes a bus and fails the test if that does not end.
func closes(t *testing.T, b interface{ Close(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestRedisBus(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		for _, c := range []struct {
			name     string
			opts     pubsub.Options
			features pubsubtest.Features
		}{
			{"live", pubsub.Options{}, pubsubtest.Features{Patterns: true, Shared: true}},
			{"replayable", pubsub.Options{HistoryLen: 1000}, pubsubtest.Features{Patterns: true, Shared: true, Replay: true}},
			{"unsharded", pubsub.Options{Unsharded: true}, pubsubtest.Features{Patterns: true, Shared: true}},
		} {
			if c.opts.Unsharded && s.Topology() != redistest.Cluster {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				c.opts.Prefix, c.opts.Timeout = prefix+c.name, 20*time.Second
				pubsubtest.Run(t, func(t *testing.T) pubsub.Bus {
					r, err := pubsub.New(s.Client(t), &c.opts)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { closes(t, r) })
					return r
				}, c.features)
			})
		}
	})
}

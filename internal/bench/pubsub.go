package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// pubsubWorkloads are the workloads of package pubsub.
func pubsubWorkloads() []workload {
	return []workload{
		publishWorkload(1), publishWorkload(128), appendWorkload(1), appendWorkload(128),
		deliverWorkload(1), deliverWorkload(1000), replayWorkload(), sseWorkload(),
	}
}

// bus is what everything under comparison that carries events is made to look like.
type bus interface {
	Publish(ctx context.Context, data []byte) error
	// Subscribe returns when what is published will arrive. The handler has the data of one
	// event after the other.
	Subscribe(ctx context.Context, handle func(data []byte)) error
	// Replay hands the handler that many of the latest events.
	Replay(ctx context.Context, n int, handle func(data []byte)) error
	Close()
}

// openBus opens a bus with one topic, of that name.
type openBus func(ctx context.Context, url, topic string) (bus, error)

// eventSize is that of an event's data.
const eventSize = 128

type busRival struct {
	name, note string
	open       openBus
}

func (w *workload) addBuses(rivals []busRival, ready func(ctx context.Context, env *environment, b bus) (*loop, error)) {
	for _, r := range rivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			b, err := r.open(ctx, env.server.url, env.prefix)
			if err != nil {
				return nil, err
			}
			run, err := ready(ctx, env, b)
			if err != nil {
				b.Close()
				return nil, err
			}
			run.server, run.check = env.server, func(int64, int64, int64) error { return nil }
			return &trial{run.round, b.Close}, nil
		}})
	}
}

// publishing is a closed loop of callers that publish.
func publishing(callers int) func(context.Context, *environment, bus) (*loop, error) {
	return func(_ context.Context, _ *environment, b bus) (*loop, error) {
		data := make([]byte, eventSize)
		return &loop{callers: callers, items: 1, op: func(ctx context.Context, _ *rand.Rand) error { return b.Publish(ctx, data) }}, nil
	}
}

// publishWorkload publishes events that nobody subscribes to.
func publishWorkload(callers int) workload {
	w := workload{
		name:    fmt.Sprintf("pubsub/publish/%d", callers),
		about:   fmt.Sprintf("Publish of %d bytes to one topic, %s. The baseline is go-redis's PUBLISH, which neither numbers events nor keeps their order.", eventSize, callersText(callers)),
		metrics: loopMetrics("event"), primary: throughput, baseline: "PUBLISH",
	}
	lone(&w, callers)
	w.addBuses([]busRival{
		{"PUBLISH", "", openPublish}, {"rueidis", "", openRueidisBus}, {"freshet", "numbered, in order", openFreshetBus(0)},
	}, publishing(callers))
	return w
}

// appendWorkload publishes events that are kept.
func appendWorkload(callers int) workload {
	w := workload{
		name:    fmt.Sprintf("pubsub/append/%d", callers),
		about:   fmt.Sprintf("Publish of %d bytes to one topic that keeps 10,000, %s. The baseline is go-redis's XADD; Freshet's are published as well.", eventSize, callersText(callers)),
		metrics: loopMetrics("event"), primary: throughput, baseline: "XADD",
	}
	lone(&w, callers)
	w.addBuses([]busRival{
		{"XADD", "", openXAdd}, {"watermill-redisstream", "", openWatermill}, {"freshet", "numbered, in order", openFreshetBus(keptEvents)},
	}, publishing(callers))
	return w
}

// keptEvents is how long a history is.
const keptEvents = 10_000

// awaited counts the subscribers that have an event, for the callers that wait for it. The
// first eight bytes of the event are the number of the caller.
type awaited struct {
	subscribers int64
	had         []atomic.Int64
	all         []chan struct{}
}

func newAwaited(callers, subscribers int) *awaited {
	a := &awaited{subscribers: int64(subscribers), had: make([]atomic.Int64, callers), all: make([]chan struct{}, callers)}
	for i := range a.all {
		a.all[i] = make(chan struct{}, 1)
	}
	return a
}

func (a *awaited) handle(data []byte) {
	caller := binary.BigEndian.Uint64(data)
	if a.had[caller].Add(1)%a.subscribers == 0 {
		a.all[caller] <- struct{}{}
	}
}

// loop is a closed loop of callers that publish an event and wait until all have it.
func (a *awaited) loop(publish func(ctx context.Context, data []byte) error) *loop {
	free := make(chan uint64, len(a.all))
	for i := range a.all {
		free <- uint64(i)
	}
	return &loop{callers: len(a.all), items: int(a.subscribers), op: func(ctx context.Context, _ *rand.Rand) error {
		caller := <-free
		defer func() { free <- caller }()
		data := make([]byte, eventSize)
		binary.BigEndian.PutUint64(data, caller)
		if err := publish(ctx, data); err != nil {
			return err
		}
		select {
		case <-a.all[caller]:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return errors.New("an event has not arrived at all subscribers")
		}
	}}
}

// deliverWorkload publishes events to subscribers, and waits for them.
func deliverWorkload(subscribers int) workload {
	const callers = 128
	w := workload{
		name:    fmt.Sprintf("pubsub/deliver/%d", subscribers),
		about:   fmt.Sprintf("Deliveries of %d bytes to %d subscribers of one topic in this process, of events that %d callers publish and wait for. The baseline is go-redis, with a PubSub for each.", eventSize, subscribers, callers),
		metrics: loopMetrics("delivery"), primary: throughput, baseline: "go-redis",
	}
	w.addBuses([]busRival{
		{"go-redis", "a connection each", openPublish}, {"rueidis", "one connection", openRueidisBus}, {"freshet", "one connection", openFreshetBus(0)},
	}, func(ctx context.Context, env *environment, b bus) (*loop, error) {
		n := min(subscribers, env.scale.keys)
		a := newAwaited(callers, n)
		for range n {
			if err := b.Subscribe(ctx, a.handle); err != nil {
				return nil, err
			}
		}
		return a.loop(b.Publish), nil
	})
	return w
}

// replayWorkload reads a history.
func replayWorkload() workload {
	w := workload{
		name:    "pubsub/replay",
		about:   fmt.Sprintf("The history of a topic, of up to %d events of %d bytes, from its beginning. The baseline is XRANGE on go-redis, 100 at a time.", keptEvents, eventSize),
		metrics: loopMetrics("event"), primary: throughput, baseline: "XRANGE",
	}
	w.addBuses([]busRival{
		{"XRANGE", "", openXAdd}, {"watermill-redisstream", "fan-out", openWatermill}, {"freshet", "", openFreshetBus(keptEvents)},
	}, func(ctx context.Context, env *environment, b bus) (*loop, error) {
		n := min(keptEvents, env.scale.keys)
		data := make([]byte, eventSize)
		for range n {
			if err := b.Publish(ctx, data); err != nil {
				return nil, err
			}
		}
		return &loop{callers: 1, items: n, op: func(ctx context.Context, _ *rand.Rand) error {
			had := 0
			if err := b.Replay(ctx, n, func([]byte) { had++ }); err != nil {
				return err
			}
			if had != n {
				return fmt.Errorf("%d events were replayed of %d", had, n)
			}
			return nil
		}}, nil
	})
	return w
}

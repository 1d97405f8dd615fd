package pubsub

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// benchClient is a client of the server that the environment names.
func benchClient(b *testing.B) redis.UniversalClient {
	b.Helper()
	url := os.Getenv("FRESHET_BENCH")
	if url == "" {
		b.Skip("FRESHET_BENCH names no server")
	}
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// BenchmarkPublish is of one caller and of 128, to one topic that nobody subscribes to.
func BenchmarkPublish(b *testing.B) {
	for _, o := range []Options{{}, {HistoryLen: 10_000}} {
		for _, callers := range []int{1, 128} {
			b.Run(fmt.Sprintf("history=%d/callers=%d", o.HistoryLen, callers), func(b *testing.B) {
				bus := newBus(b, benchClient(b), o)
				data := make([]byte, 128)
				b.ReportAllocs()
				var n atomic.Int64
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for n.Add(1) <= int64(b.N) {
							if err := bus.Publish(context.Background(), "topic", Event{Data: data}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// BenchmarkReceive publishes from 128 callers to subscriptions of one bus, and waits until
// all have had all.
func BenchmarkReceive(b *testing.B) {
	for _, subs := range []int{1, 1000} {
		b.Run(fmt.Sprintf("subscriptions=%d", subs), func(b *testing.B) {
			bus := newBus(b, benchClient(b), Options{})
			publisher := newBus(b, benchClient(b), Options{})
			var had, announced atomic.Int64
			for range subs {
				subscribes(b, bus, "topic", func(context.Context, Event) error { had.Add(1); return nil }, &SubscribeOptions{
					Buffer: 1 << 16, OnGap: func(_ context.Context, g Gap) { announced.Add(g.Missed) },
				})
			}
			data := make([]byte, 128)
			b.ReportAllocs()
			b.ResetTimer()
			var n atomic.Int64
			var wg sync.WaitGroup
			for range 128 {
				wg.Go(func() {
					for n.Add(1) <= int64(b.N) {
						if err := publisher.Publish(context.Background(), "topic", Event{Data: data}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			redistest.Eventually(b, "all have had all", func() bool { return had.Load()+announced.Load() >= int64(b.N*subs) })
			b.StopTimer()
			b.ReportMetric(float64(had.Load())/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(announced.Load()), "dropped")
		})
	}
}

// BenchmarkFanOut hands decoded frames to 1,000 subscriptions, without a server.
func BenchmarkFanOut(b *testing.B) {
	m, err := NewMemory(nil)
	if err != nil {
		b.Fatal(err)
	}
	var had atomic.Int64
	for range 1000 {
		subscribes(b, m, "topic", func(context.Context, Event) error { had.Add(1); return nil }, &SubscribeOptions{Buffer: 1 << 20})
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Publish(context.Background(), "topic", Event{ID: "x"}); err != nil {
			b.Fatal(err)
		}
	}
	redistest.Eventually(b, "all have had all", func() bool { return had.Load() == int64(b.N)*1000 })
	b.ReportMetric(float64(had.Load())/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkDecode decodes a frame of 16 events.
func BenchmarkDecode(b *testing.B) {
	events := make([]Event, 16)
	for i := range events {
		events[i] = Event{ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Type: "order.placed", Key: "42", Data: make([]byte, 128)}
	}
	s := frameOf("1 epoch 6 p:1 9 16 q:77 -\n", events...)
	b.ReportAllocs()
	for b.Loop() {
		f, err := parseFrame(s)
		if err != nil || f.events("topic")[15] == nil {
			b.Fatal(err)
		}
	}
}

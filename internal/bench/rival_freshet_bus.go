package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/pubsub"
)

// freshetBus is Freshet, with the time that it waits for Redis of go-redis.
type freshetBus struct {
	rdb   *redis.Client
	bus   *pubsub.Redis
	topic string
}

func openFreshetBus(history int) openBus {
	return func(_ context.Context, url, topic string) (bus, error) {
		rdb, err := dialGoRedis(url)
		if err != nil {
			return nil, err
		}
		b, err := pubsub.New(rdb, &pubsub.Options{HistoryLen: history, Timeout: 5 * time.Second})
		if err != nil {
			return nil, err
		}
		return &freshetBus{rdb, b, topic}, nil
	}
}

func (b *freshetBus) Publish(ctx context.Context, data []byte) error {
	return b.bus.Publish(ctx, b.topic, pubsub.Event{Data: data})
}

func (b *freshetBus) Subscribe(ctx context.Context, handle func([]byte)) error {
	_, err := b.bus.Subscribe(context.WithoutCancel(ctx), b.topic, func(_ context.Context, e pubsub.Event) error {
		handle(e.Data)
		return nil
	}, nil)
	return err
}

func (b *freshetBus) Replay(ctx context.Context, n int, handle func([]byte)) error {
	had, all := 0, make(chan error, 1)
	sub, err := b.bus.Subscribe(ctx, b.topic, func(_ context.Context, e pubsub.Event) error {
		handle(e.Data)
		if had++; had == n {
			all <- nil
		}
		return nil
	}, &pubsub.SubscribeOptions{Since: time.Now().Add(-time.Hour), OnGap: func(context.Context, pubsub.Gap) { all <- errors.New("there is a gap") }})
	if err != nil {
		return err
	}
	if err := <-all; err != nil {
		return err
	}
	return sub.Close(ctx)
}

func (b *freshetBus) Close() {
	_ = b.bus.Close(context.Background())
	_ = b.rdb.Close()
}

package main

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// publishBus is PUBLISH and SUBSCRIBE, as go-redis has them.
type publishBus struct {
	rdb   *redis.Client
	topic string
	subs  []*redis.PubSub
}

func openPublish(_ context.Context, url, topic string) (bus, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &publishBus{rdb: rdb, topic: topic}, nil
}

func (b *publishBus) Publish(ctx context.Context, data []byte) error {
	return b.rdb.Publish(ctx, b.topic, data).Err()
}

func (b *publishBus) Subscribe(ctx context.Context, handle func([]byte)) error {
	ps := b.rdb.Subscribe(ctx, b.topic)
	b.subs = append(b.subs, ps)
	if _, err := ps.Receive(ctx); err != nil {
		return err
	}
	go func() {
		for m := range ps.Channel() {
			handle([]byte(m.Payload))
		}
	}()
	return nil
}

func (b *publishBus) Replay(context.Context, int, func([]byte)) error { return errSkip }

func (b *publishBus) Close() {
	for _, ps := range b.subs {
		_ = ps.Close()
	}
	_ = b.rdb.Close()
}

// xaddBus is XADD and XRANGE.
type xaddBus struct{ publishBus }

func openXAdd(_ context.Context, url, topic string) (bus, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &xaddBus{publishBus{rdb: rdb, topic: topic}}, nil
}

func (b *xaddBus) Publish(ctx context.Context, data []byte) error {
	return b.rdb.XAdd(ctx, &redis.XAddArgs{Stream: b.topic, MaxLen: keptEvents, Values: []any{"e", data}}).Err()
}

func (b *xaddBus) Replay(ctx context.Context, n int, handle func([]byte)) error {
	for from := "-"; n > 0; {
		entries, err := b.rdb.XRangeN(ctx, b.topic, from, "+", int64(min(n, 100))).Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			text, _ := e.Values["e"].(string)
			handle([]byte(text))
			from = "(" + e.ID
			n--
		}
		if len(entries) == 0 {
			break
		}
	}
	return nil
}

// rueidisBus is rueidis, whose subscriptions share a connection.
type rueidisBus struct {
	rueidisGet
	topic string
	ctx   context.Context
	stop  context.CancelFunc
}

func openRueidisBus(_ context.Context, url, topic string) (bus, error) {
	c, err := dialRueidis(url)
	if err != nil {
		return nil, err
	}
	b := &rueidisBus{rueidisGet: c, topic: topic}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

func (b *rueidisBus) Publish(ctx context.Context, data []byte) error {
	return b.Do(ctx, b.B().Publish().Channel(b.topic).Message(rueidis.BinaryString(data)).Build()).Error()
}

func (b *rueidisBus) Subscribe(_ context.Context, handle func([]byte)) error {
	confirmed, ended := make(chan struct{}, 1), make(chan error, 1)
	hook := rueidis.WithOnSubscriptionHook(b.ctx, func(rueidis.PubSubSubscription) {
		select {
		case confirmed <- struct{}{}:
		default:
		}
	})
	go func() {
		ended <- b.Receive(hook, b.B().Subscribe().Channel(b.topic).Build(), func(m rueidis.PubSubMessage) { handle([]byte(m.Message)) })
	}()
	select {
	case <-confirmed:
		return nil
	case err := <-ended:
		return err
	}
}

func (b *rueidisBus) Replay(context.Context, int, func([]byte)) error { return errSkip }

func (b *rueidisBus) Close() {
	b.stop()
	b.rueidisGet.Close()
}

// watermillBus is watermill on streams, with its defaults.
type watermillBus struct {
	rdb   *redis.Client
	pub   *redisstream.Publisher
	topic string
}

func openWatermill(_ context.Context, url, topic string) (bus, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: rdb, DefaultMaxlen: keptEvents}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return &watermillBus{rdb, pub, topic}, nil
}

func (b *watermillBus) Publish(ctx context.Context, data []byte) error {
	m := message.NewMessage(watermill.NewULID(), data)
	m.SetContext(ctx)
	return b.pub.Publish(b.topic, m)
}

func (b *watermillBus) Subscribe(context.Context, func([]byte)) error { return errSkip }

func (b *watermillBus) Replay(ctx context.Context, n int, handle func([]byte)) error {
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: b.rdb, FanOutOldestId: "0", BlockTime: 50 * time.Millisecond, DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // and not its Close, which closes the client
	messages, err := sub.Subscribe(ctx, b.topic)
	if err != nil {
		return err
	}
	for m := range messages {
		handle(m.Payload)
		m.Ack()
		if n--; n == 0 {
			return nil
		}
	}
	return ctx.Err()
}

func (b *watermillBus) Close() { _ = b.rdb.Close() }

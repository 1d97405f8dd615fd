package pubsub_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/pubsub"
)

// exampleClient is a client of an in-process server; a service has its own.
func exampleClient() (rdb redis.UniversalClient, stop func()) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: m.Addr()})
	return c, func() {
		_ = c.Close()
		m.Close()
	}
}

type order struct{ Number int }

var orders = pubsub.Topic[order]{Name: "orders", Type: "order.placed"}

// One service publishes, and any number of others receive.
func Example() {
	rdb, stop := exampleClient()
	defer stop()
	ctx := context.Background()

	bus, err := pubsub.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bus.Close(ctx)
	done := make(chan struct{})
	_, err = bus.Subscribe(ctx, "orders", orders.Handler(func(_ context.Context, m pubsub.Message[order]) error {
		fmt.Println(m.Type, m.Value.Number, m.Seq)
		if m.Value.Number == 43 {
			close(done)
		}
		return nil
	}), &pubsub.SubscribeOptions{
		OnGap: func(_ context.Context, g pubsub.Gap) { fmt.Println("missed", g.Missed) },
	})
	if err != nil {
		log.Fatal(err)
	}
	for n := 42; n <= 43; n++ {
		if err := orders.Publish(ctx, bus, order{Number: n}); err != nil {
			log.Fatal(err)
		}
	}
	<-done
	// Output:
	// order.placed 42 1
	// order.placed 43 2
}

// A subscription goes on where another has ended, in whatever process.
func ExampleSubscribeOptions_after() {
	rdb, stop := exampleClient()
	defer stop()
	ctx := context.Background()

	bus, err := pubsub.New(rdb, &pubsub.Options{HistoryLen: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer bus.Close(ctx)
	seen := make(chan string)
	handler := func(_ context.Context, e pubsub.Event) error {
		seen <- string(e.Data)
		return nil
	}
	publish := func(text string) {
		if err := bus.Publish(ctx, "news", pubsub.Event{Data: []byte(text)}); err != nil {
			log.Fatal(err)
		}
	}
	sub, err := bus.Subscribe(ctx, "news", handler, nil)
	if err != nil {
		log.Fatal(err)
	}
	publish("one")
	fmt.Println(<-seen)
	if err := sub.Close(ctx); err != nil {
		log.Fatal(err)
	}
	publish("two") // while nobody listens
	if _, err = bus.Subscribe(ctx, "news", handler, &pubsub.SubscribeOptions{After: sub.Position()}); err != nil {
		log.Fatal(err)
	}
	publish("three")
	fmt.Println(<-seen)
	fmt.Println(<-seen)
	// Output:
	// one
	// two
	// three
}

// Close lets handlers finish, for no longer than its context allows.
func ExampleRedis_Close() {
	rdb, stop := exampleClient()
	defer stop()
	ctx := context.Background()

	bus, err := pubsub.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	begun := make(chan struct{})
	sub, err := bus.Subscribe(ctx, "jobs", func(context.Context, pubsub.Event) error {
		close(begun)
		time.Sleep(10 * time.Millisecond)
		fmt.Println("done")
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, "jobs", pubsub.Event{}); err != nil {
		log.Fatal(err)
	}
	<-begun
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := bus.Close(ctx); err != nil {
		log.Fatal(err)
	}
	<-sub.Done()
	fmt.Println(sub.Err())
	// Output:
	// done
	// pubsub: closed
}

// A test, or a program that is one process, needs no Redis.
func ExampleMemory() {
	bus, err := pubsub.NewMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	got := make(chan string)
	_, err = bus.Subscribe(ctx, "user.*", func(_ context.Context, e pubsub.Event) error {
		got <- e.Topic + " " + e.Type
		return nil
	}, &pubsub.SubscribeOptions{Pattern: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, "user.42", pubsub.Event{Type: "renamed"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-got)
	// Output:
	// user.42 renamed
}

// Systems that speak CloudEvents get them.
func ExampleEvent_CloudEvent() {
	e := pubsub.Event{
		ID: "1", Type: "order.placed", Key: "42", ContentType: "application/json", Data: []byte(`{"number":42}`),
		Topic: "orders", Publisher: "WEB1", Seq: 7,
	}
	b, err := e.CloudEvent()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(b))
	// Output:
	// {"specversion":"1.0","id":"1","source":"/bus/WEB1","type":"order.placed","subject":"42","datacontenttype":"application/json","sequence":"00000000000000000007","data":{"number":42}}
}

package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/ratelimit"
)

// open returns a client of a Redis for one example, and how to stop it.
func open() (rdb *redis.Client, stop func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	m.ClockTTL(true)
	rdb = redis.NewClient(&redis.Options{Addr: m.Addr()})
	return rdb, func() {
		_ = rdb.Close()
		m.Close()
	}
}

// Three an hour for each user.
func ExampleRedis_Allow() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "mail", ratelimit.PerHour(3), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	for range 4 {
		r, err := limiter.Allow(ctx, "ada")
		if err != nil {
			log.Fatal(err)
		}
		if r.Allowed {
			fmt.Println("sent,", r.Remaining, "left")
		} else {
			fmt.Println("again in", r.RetryAfter.Round(time.Minute))
		}
	}
	// Output:
	// sent, 2 left
	// sent, 1 left
	// sent, 0 left
	// again in 20m0s
}

// A short limit and a long one, decided together: what one denies is taken from none.
func ExampleOptions_also() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "api", ratelimit.PerMinute(10), &ratelimit.Options{
		Also: []ratelimit.Limit{{Name: "daily", Quota: 15, Period: 24 * time.Hour, Algorithm: ratelimit.FixedWindow}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	for range 2 {
		r, err := limiter.AllowN(ctx, "ada", 8)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Allowed, r.Limit.Name, r.Remaining)
	}
	limits, err := limiter.Peek(ctx, "ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(limits[1].Limit.Name, limits[1].Remaining)
	// Output:
	// true api 2
	// false daily 2
	// daily 7
}

// Plans: who pays may do more.
func ExampleOptions_limitFor() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	paid := map[string]bool{"ada": true}
	limiter, err := ratelimit.New(rdb, "api", ratelimit.PerHour(100), &ratelimit.Options{
		LimitFor: func(_ context.Context, user string) ([]ratelimit.Limit, error) {
			if paid[user] {
				return []ratelimit.Limit{ratelimit.PerHour(10_000)}, nil
			}
			return nil, nil // the limit of New
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	for _, user := range []string{"ada", "bob"} {
		r, err := limiter.Allow(ctx, user)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, r.Remaining)
	}
	// Output:
	// ada 9999
	// bob 99
}

// As much of a batch as is left.
func ExampleRedis_AllowUpTo() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "export", ratelimit.PerHour(100), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	for range 3 {
		r, err := limiter.AllowUpTo(ctx, "ada", 70)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("rows:", r.Granted)
	}
	// Output:
	// rows: 70
	// rows: 30
	// rows: 0
}

// A worker that keeps to a rate.
func ExampleRedis_Wait() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "crawler", ratelimit.Limit{Quota: 100, Period: time.Second, Burst: 1}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	start := time.Now()
	for range 6 {
		if err := limiter.Wait(ctx, "example.org", 1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(time.Since(start) >= 50*time.Millisecond)

	err = limiter.Wait(ctx, "example.org", 2) // more than the burst: no wait cures it
	fmt.Println(errors.Is(err, ratelimit.ErrExceedsBurst))
	// Output:
	// true
	// true
}

// What failed does not count.
func ExampleRedis_Refund() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "login", ratelimit.PerHour(5), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	if _, err := limiter.Allow(ctx, "ada"); err != nil {
		log.Fatal(err)
	}
	if err := limiter.Refund(ctx, "ada", 1); err != nil { // the password was right
		log.Fatal(err)
	}
	r, err := limiter.Allow(ctx, "ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Remaining)
	// Output:
	// 4
}

// Code that takes a Limiter can be tested without Redis.
func ExampleNewMemory() {
	send := func(ctx context.Context, l ratelimit.Limiter, to string) string {
		if r, err := l.Allow(ctx, to); err != nil || !r.Allowed {
			return "later"
		}
		return "sent"
	}
	limiter, err := ratelimit.NewMemory(ratelimit.PerHour(1), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(send(context.Background(), limiter, "ada"), send(context.Background(), limiter, "ada"))
	// Output:
	// sent later
}

// While Redis is away every call is still a decision.
func ExampleOptions_onUnavailable() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // nobody is there
	defer rdb.Close()
	ctx := context.Background()
	limiter, err := ratelimit.New(rdb, "api", ratelimit.PerHour(100), &ratelimit.Options{
		Instances: 20, // each may do five
	})
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close(ctx)

	r, err := limiter.Allow(ctx, "ada")
	fmt.Println(r.Allowed, r.Degraded, r.Remaining, err)
	// Output:
	// true true 4 <nil>
}

package counter_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/counter"
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

// Failed logins of the last hour.
func ExampleRedis_Add() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	failed, err := counter.New(rdb, &counter.Options{Prefix: "failed", TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		n, err := failed.Add(ctx, "ada", 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
	}
	if err := failed.Reset(ctx, "ada"); err != nil { // the password was right
		log.Fatal(err)
	}
	n, err := failed.Get(ctx, "ada")
	fmt.Println(n, err)
	// Output:
	// 1
	// 2
	// 3
	// 0 <nil>
}

// A message that is delivered twice is counted once.
func ExampleRedis_AddOnce() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	sold, err := counter.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}

	for _, order := range []string{"order 1", "order 2", "order 1"} {
		n, applied, err := sold.AddOnce(ctx, "product:42", order, 3)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n, applied)
	}
	// Output:
	// 3 true
	// 6 true
	// 6 false
}

// What was counted goes into a database, once.
func ExampleRedis_Take() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	views, err := counter.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}

	if _, err := views.Add(ctx, "product:42", 7); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		n, err := views.Take(ctx, "product:42")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("views = views +", n)
	}
	// Output:
	// views = views + 7
	// views = views + 0
}

// A thousand views are one command.
func ExampleNewBuffered() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := counter.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	views, err := counter.NewBuffered(c, &counter.BufferedOptions{
		Interval: time.Second,
		OnError:  func(err error) { log.Print(err) },
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 1000 {
		if _, err := views.Add(ctx, "product:42", 1); err != nil {
			log.Fatal(err)
		}
	}
	if err := views.Close(ctx); err != nil { // when the service ends
		log.Fatal(err)
	}
	n, err := c.Get(ctx, "product:42")
	fmt.Println(n, err)
	// Output:
	// 1000 <nil>
}

// A curve of the last two hours.
func ExampleSeries_Range() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	views, err := counter.NewSeries(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		if err := views.Add(ctx, "product:42", 1); err != nil {
			log.Fatal(err)
		}
	}
	now := time.Now()
	points, err := views.Range(ctx, "product:42", now.Add(-2*time.Hour), now, 5*time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	var sum int64
	for _, p := range points {
		sum += p.N
	}
	fmt.Println(sum)
	// Output:
	// 3
}

// Who came on one day or the other.
func ExampleUnique_Count() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	visitors, err := counter.NewUnique(rdb, &counter.UniqueOptions{TTL: 30 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}

	if err := visitors.Add(ctx, "monday", "ada", "bob", "ada"); err != nil {
		log.Fatal(err)
	}
	if err := visitors.Add(ctx, "tuesday", "ada", "eve"); err != nil {
		log.Fatal(err)
	}
	n, relErr, err := visitors.Count(ctx, "monday", "tuesday")
	fmt.Println(n, relErr, err)
	// Output:
	// 3 0 <nil>
}

// The views of each page, once per visitor and half an hour.
func ExampleMiddleware() {
	rdb, stop := open()
	defer stop()
	views, err := counter.New(rdb, &counter.Options{OnceFor: 30 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	count := counter.Middleware(views, &counter.MiddlewareOptions{
		Visitor: func(r *http.Request) string { return r.Header.Get("X-User") },
	})
	h := count(http.FileServer(http.Dir(".")))

	for _, user := range []string{"ada", "ada", "bob"} {
		r := httptest.NewRequest("GET", "/doc.go", nil)
		r.Header.Set("X-User", user)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	n, err := views.Get(context.Background(), "/doc.go")
	fmt.Println(n, err)
	// Output:
	// 2 <nil>
}

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/cache"
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

type Product struct {
	Name  string
	Price int
}

// A loader with a cache in front of it.
func ExampleCached() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	products, err := cache.NewCached(c, "product", func(ctx context.Context, id string) (Product, error) {
		fmt.Println("query the database for", id)
		return Product{Name: "Teapot", Price: 2400}, nil
	}, &cache.CachedOptions{TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		p, err := products.Get(ctx, "42")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.Name, p.Price)
	}
	// Output:
	// query the database for 42
	// Teapot 2400
	// Teapot 2400
	// Teapot 2400
}

// What does not exist is remembered too, for NotFoundTTL.
func ExampleNewCached_notFound() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	users, err := cache.NewCached(c, "user", func(ctx context.Context, id string) (string, error) {
		fmt.Println("query the database for", id)
		return "", fmt.Errorf("no row with id %s: %w", id, cache.ErrNotFound)
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		if _, err := users.Get(ctx, "7"); errors.Is(err, cache.ErrNotFound) {
			fmt.Println("not found")
		}
	}
	// Output:
	// query the database for 7
	// not found
	// not found
	// not found
}

// A function whose results are kept: calls with equal arguments share one.
func ExampleFunc() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	type query struct {
		Words []string
		Limit int
	}
	search, err := cache.Func(c, "search", func(ctx context.Context, q query) ([]string, error) {
		fmt.Println("searching for", strings.Join(q.Words, " "))
		return []string{"Teapot", "Teacup"}[:q.Limit], nil
	}, &cache.CachedOptions{TTL: 10 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}

	for _, limit := range []int{2, 2, 1} {
		found, err := search(ctx, query{Words: []string{"tea"}, Limit: limit})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(found)
	}
	// Output:
	// searching for tea
	// [Teapot Teacup]
	// [Teapot Teacup]
	// searching for tea
	// [Teapot]
}

// The plain form, for bytes.
func ExampleRedis_GetOrLoad() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, &cache.Options{Prefix: "shop", TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	for range 2 {
		page, err := c.GetOrLoad(ctx, "page:/", func(ctx context.Context) ([]byte, error) {
			fmt.Println("render")
			return []byte("<h1>Welcome</h1>"), nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", page)
	}
	// Output:
	// render
	// <h1>Welcome</h1>
	// <h1>Welcome</h1>
}

// Many values at once: one read, and one query for what is missing.
func ExampleCached_GetMany() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	products, err := cache.NewCachedMany(c, "product", func(ctx context.Context, ids []string) (map[string]Product, error) {
		fmt.Println("query the database for", ids)
		rows := make(map[string]Product)
		for _, id := range ids {
			if id != "404" { // what is left out does not exist
				rows[id] = Product{Name: "Product " + id}
			}
		}
		return rows, nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	if err := products.Set(ctx, "1", Product{Name: "Teapot"}, 0); err != nil {
		log.Fatal(err)
	}
	got, err := products.GetMany(ctx, []string{"1", "2", "404"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(got), got["1"].Name, got["2"].Name)
	// Output:
	// query the database for [2 404]
	// 2 Teapot Product 2
}

// After the row was changed: nobody gets the old value any more.
func ExampleRedis_Delete() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	price := "24.00"
	load := func(context.Context) ([]byte, error) { return []byte(price), nil }

	before, _ := c.GetOrLoad(ctx, "price", load)
	price = "19.00"                                // first the database,
	if err := c.Delete(ctx, "price"); err != nil { // then the cache
		log.Fatal(err)
	}
	after, _ := c.GetOrLoad(ctx, "price", load)
	fmt.Printf("%s, then %s\n", before, after)
	// Output:
	// 24.00, then 19.00
}

// A loader says how long its value is good for.
func ExampleSetTTL() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	load := func(ctx context.Context) ([]byte, error) {
		fmt.Println("load")
		cache.SetTTL(ctx, 0) // this once: do not store it
		return []byte("incomplete"), nil
	}
	for range 2 {
		if _, err := c.GetOrLoad(ctx, "report", load); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// load
	// load
}

// A conditional refresh: the origin is asked whether the old value is still good.
func ExampleOld() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, &cache.Options{StaleOnError: time.Hour}) // keeps values past their TTL
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	type feed struct{ ETag, Body string }
	feeds, err := cache.NewCached(c, "feed", func(ctx context.Context, url string) (feed, error) {
		if old, ok := cache.Old[feed](ctx); ok {
			fmt.Println("GET, If-None-Match:", old.ETag)
			return feed{}, cache.ErrNotModified // the origin said 304
		}
		fmt.Println("GET")
		return feed{ETag: `"v1"`, Body: "news"}, nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	f, err := feeds.Get(ctx, "example.org")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Body)
	if f, err = feeds.Refresh(ctx, "example.org"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Body)
	// Output:
	// GET
	// news
	// GET, If-None-Match: "v1"
	// news
}

// An old value is better than an error.
func ExampleOptions_staleOnError() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	c, err := cache.New(rdb, &cache.Options{
		TTL:          10 * time.Millisecond,
		StaleOnError: time.Hour,
		OnError:      func(err error) { fmt.Println("log:", err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	if err := c.Set(ctx, "weather", []byte("sunny"), 0); err != nil {
		log.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	v, err := c.GetOrLoad(ctx, "weather", func(context.Context) ([]byte, error) {
		return nil, errors.New("the weather service is down")
	})
	fmt.Printf("%s, %v\n", v, err)
	// Output:
	// log: the weather service is down
	// sunny, <nil>
}

// fake is a cache for tests that stores nothing.
type fake struct{}

func (fake) GetOrLoad(ctx context.Context, _ string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	return load(ctx)
}
func (fake) Set(context.Context, string, []byte, time.Duration) error { return nil }
func (fake) Delete(context.Context, ...string) error                  { return nil }

// Code that takes a Cache can be tested without Redis.
func ExampleCache() {
	greet := func(ctx context.Context, c cache.Cache, name string) string {
		v, err := c.GetOrLoad(ctx, name, func(context.Context) ([]byte, error) { return []byte("Hello, " + name), nil })
		if err != nil {
			return "Hello"
		}
		return string(v)
	}
	fmt.Println(greet(context.Background(), fake{}, "Ada"))
	// Output:
	// Hello, Ada
}

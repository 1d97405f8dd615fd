// Command cache is the cache package in one page: a shop with one product, whose
// page is expensive to make. Run it (go run ./examples/cache), read twice, edit:
//
//	curl localhost:8080/products/1
//	curl -X PUT -d 'Copper kettle' localhost:8080/products/1
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/cache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())
	c, err := cache.New(redis.NewClient(&redis.Options{Addr: m.Addr()}), nil)
	check(err)

	var db sync.Map
	db.Store("1", "Kettle")
	products, err := cache.NewCached(c, "product", func(_ context.Context, id string) (string, error) {
		name, ok := db.Load(id)
		if !ok {
			return "", cache.ErrNotFound // remembered too
		}
		return render(name.(string)), nil
	}, nil)
	check(err)

	http.HandleFunc("GET /products/{id}", func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		page, err := products.Get(r.Context(), r.PathValue("id"))
		answer(w, fmt.Sprintf("%s, in %v", page, time.Since(start)), err)
	})
	http.HandleFunc("PUT /products/{id}", func(w http.ResponseWriter, r *http.Request) {
		name, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 100))
		if err == nil {
			db.Store(r.PathValue("id"), string(name))             // first the database,
			err = products.Delete(r.Context(), r.PathValue("id")) // then the cache
		}
		answer(w, "saved", err)
	})
	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	log.Printf("look at http://%s/products/1", ln.Addr())
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	_ = srv.Serve(ln)
	check(c.Close(context.Background()))
}

// render is the expensive part: a quarter of a million hashes.
func render(name string) string {
	sum := sha256.Sum256([]byte(name))
	for range 250_000 {
		sum = sha256.Sum256(sum[:])
	}
	return fmt.Sprintf("%s, seal %x", name, sum[:4])
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, "no such product, or it cannot be had now", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, text)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

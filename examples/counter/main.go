// Command counter is the counter package in one page: the views of articles, written once
// a second, with how many different visitors there were and a curve of the last minutes.
// Run it (go run ./examples/counter) and read a little:
//
//	for i in 1 2 3 4 5; do curl localhost:8080/articles/redis; done
//	curl -A somebody-else localhost:8080/articles/redis
//	curl localhost:8080/views/redis
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/counter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})

	c, err := counter.New(rdb, &counter.Options{Prefix: "views"})
	check(err)
	views, err := counter.NewBuffered(c, &counter.BufferedOptions{OnError: func(err error) { log.Print(err) }})
	check(err)
	curve, err := counter.NewSeries(rdb, &counter.SeriesOptions{Prefix: "views", Minutes: time.Hour})
	check(err)
	visitors, err := counter.NewUnique(rdb, &counter.UniqueOptions{Prefix: "views", TTL: 24 * time.Hour})
	check(err)

	mux := http.NewServeMux()
	article := func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		// What cannot be counted keeps nobody from reading.
		if err := curve.Add(r.Context(), name, 1); err != nil {
			log.Print(err)
		}
		if err := visitors.Add(r.Context(), name, r.RemoteAddr[:strings.LastIndex(r.RemoteAddr, ":")]+r.UserAgent()); err != nil {
			log.Print(err)
		}
		fmt.Fprintln(w, "All about", name)
	}
	count := counter.Middleware(views, &counter.MiddlewareOptions{Key: func(r *http.Request) string { return r.PathValue("name") }})
	mux.Handle("GET /articles/{name}", count(http.HandlerFunc(article)))
	mux.HandleFunc("GET /views/{name}", func(w http.ResponseWriter, r *http.Request) {
		name, now := r.PathValue("name"), time.Now()
		n, err := views.Get(r.Context(), name)
		different, _, err2 := visitors.Count(r.Context(), name)
		points, err3 := curve.Range(r.Context(), name, now.Add(-9*time.Minute), now, time.Minute)
		if cmp.Or(err, err2, err3) != nil {
			http.Error(w, "the views are not known at the moment", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%d views by %d visitors\n", n, different)
		for _, p := range points {
			fmt.Fprintln(w, p.Time.Format("15:04"), strings.Repeat("#", int(p.N)))
		}
	})

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	log.Printf("look at http://%s/articles/redis", ln.Addr())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	_ = srv.Serve(ln)
	check(views.Close(context.Background())) // writes what was gathered
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Command ratelimit is the ratelimit package in one page: an API that gives each
// client address a burst of five requests, two seconds for another, and a hundred
// an hour; and a report of which two may be made at once. Run it
// (go run ./examples/ratelimit) and ask too often:
//
//	for i in 1 2 3 4 5 6 7; do curl -i localhost:8080/time; done
//	for i in 1 2 3; do curl localhost:8080/report & done; wait
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/ratelimit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})

	hourly := ratelimit.PerHour(100)
	hourly.Name = "hourly"
	l, err := ratelimit.New(rdb, "api", ratelimit.Limit{Quota: 30, Period: time.Minute, Burst: 5},
		&ratelimit.Options{Also: []ratelimit.Limit{hourly}})
	check(err)
	reports, err := ratelimit.NewConcurrency(rdb, "reports", 2, nil)
	check(err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /time", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "It is", time.Now().Format(time.TimeOnly))
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		lease, err := reports.Acquire(r.Context(), "all")
		if errors.Is(err, ratelimit.ErrFull) {
			http.Error(w, "two are being made, come back later", http.StatusServiceUnavailable)
			return
		}
		if err == nil { // a limit that cannot be asked keeps nobody waiting
			defer func() { _ = lease.Release(r.Context()) }()
		}
		time.Sleep(time.Second) // the work
		fmt.Fprintln(w, "All is well.")
	})
	limit := ratelimit.Middleware(l, nil) // by the address of the connection

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	log.Printf("look at http://%s/time", ln.Addr())
	srv := &http.Server{Handler: limit(mux), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	_ = srv.Serve(ln)
	check(l.Close(context.Background()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

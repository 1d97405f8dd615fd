// Command leaderboard is the leaderboard package in one page: a guessing game whose scores
// count this week, in the last hour and for ever. Run it (go run ./examples/leaderboard)
// and play:
//
//	curl -X POST 'localhost:8080/play?player=ada&guess=42'
//	curl 'localhost:8080/week/top?n=3'
//	curl 'localhost:8080/hour/around?member=ada'
//	curl 'localhost:8080/ever/member?member=ada'
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})

	lastHour := leaderboard.Rolling(time.Hour)
	board, err := leaderboard.New(rdb, "guess", &leaderboard.Options{
		Periods:   []leaderboard.Period{leaderboard.Weekly, lastHour, leaderboard.AllTime},
		WeekStart: time.Monday,
	})
	check(err)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /play", func(w http.ResponseWriter, r *http.Request) {
		player := r.FormValue("player")
		guess, err := strconv.Atoi(r.FormValue("guess"))
		if player == "" || err != nil || guess < 0 || guess > 100 {
			http.Error(w, "a player, and a guess from 0 to 100", http.StatusBadRequest)
			return
		}
		points := int64(100 - max(guess-secret, secret-guess))
		results, err := board.Submit(r.Context(), leaderboard.Score{Member: player, Value: points})
		switch {
		case errors.Is(err, leaderboard.ErrUnavailable), errors.Is(err, leaderboard.ErrUnknownOutcome):
			http.Error(w, "try again: only your best counts", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, "it does not count", http.StatusInternalServerError)
		default:
			fmt.Fprintf(w, "%d points. You are number %d of %d this week.\n", points, results[0].Rank, results[0].Total)
		}
	})
	for path, view := range map[string]*leaderboard.Redis{
		"/week": board, "/hour": board.In(lastHour), "/ever": board.In(leaderboard.AllTime),
	} {
		mux.Handle(path+"/", http.StripPrefix(path, leaderboard.Handler(view, nil)))
	}

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	log.Printf("look at http://%s/week/top", ln.Addr())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.Background()) })
	_ = srv.Serve(ln)
}

// secret is what is to be guessed.
var secret = rand.IntN(101)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

package leaderboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

// open returns a client of a Redis for one example, in which it is ten past midnight, and
// how to stop it.
func open() (rdb *redis.Client, stop func()) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	m.SetTime(time.Date(2026, time.May, 5, 0, 10, 0, 0, time.UTC))
	rdb = redis.NewClient(&redis.Options{Addr: m.Addr()})
	return rdb, func() {
		_ = rdb.Close()
		m.Close()
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func show(p leaderboard.Page) {
	for _, e := range p.Entries {
		fmt.Println(e.Rank, e.Member, e.Value)
	}
}

// High scores of this week and of all time, in one step.
func ExampleNew() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "puzzle", &leaderboard.Options{
		Periods: []leaderboard.Period{leaderboard.Weekly, leaderboard.AllTime},
	})
	check(err)
	for _, s := range []leaderboard.Score{
		{Member: "ada", Value: 1200}, {Member: "bob", Value: 900}, {Member: "cy", Value: 1200}, {Member: "dee", Value: 300},
	} {
		_, err := board.Submit(ctx, s)
		check(err)
	}
	top, err := board.Range(ctx, 0, 10)
	check(err)
	show(top)
	best, err := board.In(leaderboard.AllTime).Range(ctx, 0, 1)
	check(err)
	fmt.Println("of all time:", best.Entries[0].Member)
	// Output:
	// 1 ada 1200
	// 1 cy 1200
	// 3 bob 900
	// 4 dee 300
	// of all time: ada
}

// What became of a score.
func ExampleRedis_Submit() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "laps", &leaderboard.Options{Ascending: true}) // the fastest is first
	check(err)
	for _, ms := range []int64{83_500, 84_000, 81_250} {
		results, err := board.Submit(ctx, leaderboard.Score{Member: "ada", Value: ms})
		check(err)
		fmt.Println(results[0].Changed, results[0].Old, results[0].New, results[0].Rank)
	}
	_, err = board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 3_000_000_000})
	fmt.Println(errors.Is(err, leaderboard.ErrScoreRange))
	// Output:
	// true 0 83500 1
	// false 83500 83500 1
	// true 83500 81250 1
	// true
}

// Points that are added up, once, however often the call is repeated.
func ExampleScore_opID() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "points", &leaderboard.Options{Mode: leaderboard.Sum})
	check(err)
	for range 3 { // the queue delivers the order again
		results, err := board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 50, OpID: "order-17"})
		check(err)
		fmt.Println(results[0].New)
	}
	// Output:
	// 50
	// 50
	// 50
}

// Those around a player, and a player's friends.
func ExampleRedis_Around() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "puzzle", nil)
	check(err)
	var scores []leaderboard.Score
	for i := range 100 {
		scores = append(scores, leaderboard.Score{Member: fmt.Sprint("player", i), Value: int64(10 * i)})
	}
	_, err = board.Submit(ctx, scores...)
	check(err)
	near, err := board.Around(ctx, "player50", 3)
	check(err)
	show(near)
	friends, err := board.Get(ctx, "player7", "player90", "nobody")
	check(err)
	show(friends)
	_, err = board.Around(ctx, "nobody", 3)
	fmt.Println(errors.Is(err, leaderboard.ErrNotFound))
	// Output:
	// 49 player51 510
	// 50 player50 500
	// 51 player49 490
	// 10 player90 900
	// 93 player7 70
	// true
}

// A tier, a percentile, and where a score would be.
func ExampleRedis_Between() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "rating", &leaderboard.Options{Mode: leaderboard.Last})
	check(err)
	var scores []leaderboard.Score
	for i := range 101 {
		scores = append(scores, leaderboard.Score{Member: fmt.Sprint("player", i), Value: int64(1000 + 10*i)})
	}
	_, err = board.Submit(ctx, scores...)
	check(err)
	gold, err := board.Between(ctx, 1500, 1799, 0, 2)
	check(err)
	show(gold)
	fmt.Println(gold.Total, "have gold")
	median, err := board.ScoreAt(ctx, 50)
	check(err)
	rank, err := board.RankOf(ctx, 1995)
	check(err)
	fmt.Println(median, rank)
	// Output:
	// 22 player79 1790
	// 23 player78 1780
	// 30 have gold
	// 1500 2
}

// The result of a game that ended before midnight comes after it.
func ExampleRedis_At() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "daily", &leaderboard.Options{
		Periods: []leaderboard.Period{leaderboard.Daily},
		Grace:   time.Hour,
		Retain:  7 * 24 * time.Hour,
	})
	check(err)
	ended := time.Date(2026, time.May, 4, 23, 58, 0, 0, time.UTC)
	_, err = board.At(ended).Submit(ctx, leaderboard.Score{Member: "ada", Value: 10})
	check(err)
	winners, err := board.Previous(1).Range(ctx, 0, 3)
	check(err)
	show(winners)
	_, err = board.Previous(3).Submit(ctx, leaderboard.Score{Member: "bob", Value: 99})
	fmt.Println(errors.Is(err, leaderboard.ErrSealed))
	// Output:
	// 1 ada 10
	// true
}

// All entries, as an archive keeps them.
func ExampleRedis_All() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	board, err := leaderboard.New(rdb, "puzzle", &leaderboard.Options{Ranking: leaderboard.Dense})
	check(err)
	_, err = board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 3}, leaderboard.Score{Member: "bob", Value: 3}, leaderboard.Score{Member: "cy", Value: 1})
	check(err)
	for e, err := range board.All(ctx) {
		check(err)
		fmt.Println(e.Rank, e.Member)
	}
	// Output:
	// 1 ada
	// 1 bob
	// 2 cy
}

// A sorted set that exists becomes a board.
func ExampleOptions_raw() {
	rdb, stop := open()
	defer stop()
	ctx := context.Background()
	check(rdb.ZAdd(ctx, "highscores", redis.Z{Score: 70, Member: "ada"}, redis.Z{Score: 90, Member: "bob"}).Err())
	board, err := leaderboard.New(rdb, "highscores", &leaderboard.Options{Raw: true})
	check(err)
	_, err = board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 95})
	check(err)
	top, err := board.Range(ctx, 0, 10)
	check(err)
	show(top)
	fmt.Println(rdb.ZScore(ctx, "highscores", "ada").Val())
	// Output:
	// 1 ada 95
	// 2 bob 90
	// 95
}

// A test of what uses a Board needs no Redis.
func ExampleNewMemory() {
	ctx := context.Background()
	var board leaderboard.Board
	board, err := leaderboard.NewMemory(&leaderboard.Options{Mode: leaderboard.Sum})
	check(err)
	_, err = board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 3}, leaderboard.Score{Member: "ada", Value: 4})
	check(err)
	top, err := board.Range(ctx, 0, 1)
	check(err)
	show(top)
	// Output:
	// 1 ada 7
}

// A board in JSON, with metadata.
func ExampleHandler() {
	rdb, stop := open()
	defer stop()
	board, err := leaderboard.New(rdb, "puzzle", &leaderboard.Options{Meta: 100})
	check(err)
	_, err = board.Submit(context.Background(), leaderboard.Score{Member: "ada", Value: 3, Meta: []byte(`{"country":"GB"}`)})
	check(err)
	mux := http.NewServeMux()
	mux.Handle("/board/", http.StripPrefix("/board", leaderboard.Handler(board, &leaderboard.HandlerOptions{
		Meta: func(meta []byte) any { return json.RawMessage(meta) },
	})))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/board/top?n=3", "/board/member?member=bob", "/board/top?n=1000"} {
		res, err := http.Get(server.URL + path)
		check(err)
		body, err := io.ReadAll(res.Body)
		check(err)
		check(res.Body.Close())
		fmt.Println(res.StatusCode, string(body))
	}
	// Output:
	// 200 {"entries":[{"member":"ada","value":3,"rank":1,"meta":{"country":"GB"}}],"total":1}
	// 404 {"title":"Not Found","status":404,"detail":"The member is not on the board."}
	// 400 {"title":"Bad Request","status":400,"detail":"n is more than 100."}
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/pubsub"
)

// OrderNews is what everybody may know of an order that was just placed.
type OrderNews struct {
	Number int64      `json:"number"`
	Placed time.Time  `json:"placed"`
	City   string     `json:"city"`
	Lines  []NewsLine `json:"lines"`
}

// NewsLine is one product of it.
type NewsLine struct {
	Product  int64  `json:"product"`
	Name     string `json:"name"`
	Quantity int64  `json:"quantity"`
}

var placed = pubsub.Topic[OrderNews]{Name: "orders", Type: "order"}

// newsKept is how many orders a browser may miss, while its network or its process is
// away, and still be told.
const newsKept = 1000

// live tells the browsers of all processes what was ordered in any of them.
type live struct {
	bus    *pubsub.Redis
	events *pubsub.SSE
}

func newLive(rdb redis.UniversalClient) (*live, error) {
	bus, err := pubsub.New(rdb, &pubsub.Options{
		Prefix:     "storefront",
		HistoryLen: newsKept,
		OnError:    func(err error) { slog.Warn("live", "err", err) },
	})
	if err != nil {
		return nil, err
	}
	everybody := func(*http.Request) ([]string, error) { return []string{placed.Name}, nil }
	events, err := pubsub.NewSSE(bus, everybody, nil)
	if err != nil {
		return nil, err
	}
	return &live{bus, events}, nil
}

// close ends the streams first: they are requests, which a server waits for.
func (l *live) close(ctx context.Context) error {
	return errors.Join(l.events.Close(ctx), l.bus.Close(ctx))
}

// tell publishes an order. It need not succeed: the database knows the order, and an
// order is not held up by those who want to hear of it. Who asks for one order again
// tells of it again, in case nobody was told: a page shows each number once.
func (s *shop) tell(ctx context.Context, user string, o *Order) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	who, err := s.db.account(ctx, user)
	if err != nil {
		return err
	}
	news := OrderNews{Number: o.Number, Placed: o.Placed, City: who.City}
	for _, l := range o.Lines {
		news.Lines = append(news.Lines, NewsLine{l.Product, l.Name, l.Quantity})
	}
	return placed.Publish(ctx, s.live.bus, news)
}

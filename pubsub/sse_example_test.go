package pubsub_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/freshet-go/freshet/pubsub"
)

// Everybody gets the events of the room that they may be in.
func ExampleNewSSE() {
	ctx := context.Background()
	bus, err := pubsub.NewMemory(&pubsub.Options{HistoryLen: 1000}) // or New, for several processes
	if err != nil {
		log.Fatal(err)
	}
	topics := func(r *http.Request) ([]string, error) {
		room := r.FormValue("room")
		if room == "secret" {
			return nil, errors.New("not for you")
		}
		return []string{"room." + room}, nil
	}
	events, err := pubsub.NewSSE(bus, topics, nil)
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(events) // or mux.Handle("GET /events", events)

	res, err := http.Get(srv.URL + "/?room=tea") // in a page: new EventSource("/events?room=tea")
	if err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, "room.tea", pubsub.Event{Type: "message", Data: []byte("the water boils")}); err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "event:") || strings.HasPrefix(line, "data:") {
			fmt.Println(line)
		}
		if strings.HasPrefix(lines.Text(), "data:") {
			break
		}
	}
	if err := res.Body.Close(); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(events.Close(ctx), bus.Close(ctx)); err != nil { // in this order
		log.Fatal(err)
	}
	srv.Close()
	// Output:
	// event: message
	// data: the water boils
}

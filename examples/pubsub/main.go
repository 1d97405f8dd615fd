// Command pubsub is the pubsub package in one page: a board on which everybody writes and
// which everybody sees, served by two instances as if they were two machines. Run it (go run
// ./examples/pubsub), open both addresses that it names, and write. A page that was offline
// shows what was written meanwhile when it is back.
package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
	"unicode/utf8"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/pubsub"
)

// note is what is written on the board.
type note struct {
	Text string `json:"text"`
	By   string `json:"by"` // the instance
}

var board = pubsub.Topic[note]{Name: "board", Type: "note"}

// An EventSource connects again by itself, unless it was answered with an error. Then the
// page makes a new one that goes on where the old one was.
const page = `<!DOCTYPE html>
<title>Board</title>
<form><input name="text" autofocus><button>Write</button></form>
<ul></ul>
<script>
let last = "";
const show = (text) => {
	const item = document.createElement("li");
	item.textContent = text;
	document.querySelector("ul").prepend(item);
};
const connect = () => {
	const source = new EventSource("/events?lastEventId=" + encodeURIComponent(last));
	source.addEventListener("note", (e) => {
		last = e.lastEventId;
		const note = JSON.parse(e.data);
		show(note.text + " (" + note.by + ")");
	});
	source.addEventListener("gap", (e) => show("There may be more: " + e.data));
	source.onerror = () => {
		if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000 + 2000 * Math.random());
	};
};
connect();
document.querySelector("form").onsubmit = (e) => {
	e.preventDefault();
	fetch("/notes", {method: "POST", body: new URLSearchParams(new FormData(e.target))});
	e.target.reset();
};
</script>`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := miniredis.NewMiniRedis() // or let NewClient connect to a real server
	m.ClockTTL(true)
	check(m.Start())

	one, err := newInstance(m.Addr(), "one", cmp.Or(os.Getenv("ADDR"), "localhost:8080"))
	check(err)
	two, err := newInstance(m.Addr(), "two", "localhost:0")
	check(err)
	log.Printf("look at http://%s/", one.ln.Addr())
	log.Printf("look at http://%s/ too", two.ln.Addr())
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	check(errors.Join(one.close(closing), two.close(closing)))
	m.Close()
}

// instance is what runs on a machine: a client, a bus, and a server for browsers.
type instance struct {
	rdb    *redis.Client
	bus    *pubsub.Redis
	events *pubsub.SSE
	ln     net.Listener
	srv    *http.Server
}

func newInstance(redisAddr, name, addr string) (*instance, error) {
	in := &instance{rdb: redis.NewClient(&redis.Options{Addr: redisAddr})}
	var err error
	in.bus, err = pubsub.New(in.rdb, &pubsub.Options{
		HistoryLen: 1000, // so that nobody misses what is written while they are away
		Timeout:    5 * time.Second,
		OnError:    func(err error) { log.Print(err) },
	})
	if err != nil {
		return nil, err
	}
	everybody := func(*http.Request) ([]string, error) { return []string{board.Name}, nil }
	if in.events, err = pubsub.NewSSE(in.bus, everybody, nil); err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /events", in.events)
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("text")
		if text == "" || len(text) > 200 || !utf8.ValidString(text) {
			http.Error(w, "a note has up to 200 characters", http.StatusBadRequest)
			return
		}
		if err := board.Publish(r.Context(), in.bus, note{Text: text, By: name}); err != nil {
			log.Print(err)
			http.Error(w, "please try again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	})
	in.srv = &http.Server{
		Handler:           http.NewCrossOriginProtection().Handler(mux),
		ReadHeaderTimeout: 5 * time.Second,
	}
	if in.ln, err = net.Listen("tcp", addr); err != nil {
		return nil, err
	}
	go func() { _ = in.srv.Serve(in.ln) }()
	return in, nil
}

// close ends the streams first: Shutdown would wait for them.
func (in *instance) close(ctx context.Context) error {
	return errors.Join(in.events.Close(ctx), in.srv.Shutdown(ctx), in.bus.Close(ctx), in.rdb.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

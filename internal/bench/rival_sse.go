package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/freshet-go/freshet/pubsub"
)

// sseClients is how many browsers there are.
const sseClients = 100

// sender is what every server of events for browsers is made to look like.
type sender interface {
	http.Handler
	Publish(ctx context.Context, data []byte) error
	Close()
}

// sseWorkload sends events to browsers, and waits until each has them.
func sseWorkload() workload {
	w := workload{
		name:    "pubsub/sse",
		about:   "Deliveries to 100 clients of server-sent events over loopback, of events of 128 bytes, in hexadecimal, that 16 callers publish in this process and wait for. The clients are in this process too, and the same for all.",
		metrics: loopMetrics("delivery"), primary: throughput, baseline: "r3labs/sse",
	}
	for _, r := range []struct {
		name string
		open func() (sender, error)
	}{{"r3labs/sse", openR3labs}, {"tmaxmax/go-sse", openTmaxmax}, {"freshet", openFreshetSSE}} {
		w.contenders = append(w.contenders, contender{r.name, "", func(ctx context.Context, env *environment) (*trial, error) {
			return openSending(env, r.open)
		}})
	}
	return w
}

func openSending(env *environment, open func() (sender, error)) (*trial, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	clients := min(sseClients, env.scale.keys)
	a := newAwaited(16, clients)
	srv := httptest.NewServer(s)
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	end := func() {
		cancel()
		reading.Wait()
		s.Close()
		srv.Close()
	}
	var connected atomic.Int64
	for range clients {
		reading.Go(func() { readEvents(ctx, srv.URL+"/?stream=a", func() { connected.Add(1) }, a.handle) })
	}
	// Some send nothing, not even a header, before there is an event.
	for begun := time.Now(); connected.Load() < int64(clients); time.Sleep(10 * time.Millisecond) {
		err := s.Publish(ctx, []byte(hello))
		if err == nil && time.Since(begun) > time.Minute {
			err = fmt.Errorf("only %d of %d clients are connected", connected.Load(), clients)
		}
		if err != nil {
			end()
			return nil, err
		}
	}
	run := a.loop(func(ctx context.Context, data []byte) error { return s.Publish(ctx, hex.AppendEncode(nil, data)) })
	run.server, run.check = env.server, func(int64, int64, int64) error { return nil }
	return &trial{run.round, end}, nil
}

// hello is an event for those who connect.
const hello = "hello"

// readEvents is a client until ctx ends. It calls connected with the first event, and handle
// with the data of each but the hellos.
func readEvents(ctx context.Context, url string, connected func(), handle func([]byte)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	res, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	data, first := make([]byte, eventSize), true
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if first {
			first = false
			connected()
		}
		if n, err := hex.Decode(data, text); err == nil && n == eventSize {
			handle(data)
		}
	}
}

type r3labsSSE struct{ *r3labs.Server }

func openR3labs() (sender, error) {
	s := r3labs.New()
	s.AutoReplay = false // it would keep every event
	s.CreateStream("a")
	return r3labsSSE{s}, nil
}

func (s r3labsSSE) Publish(_ context.Context, data []byte) error {
	s.Server.Publish("a", &r3labs.Event{Data: data})
	return nil
}

type tmaxmaxSSE struct{ *tmaxmax.Server }

func openTmaxmax() (sender, error) { return tmaxmaxSSE{new(tmaxmax.Server)}, nil }

func (s tmaxmaxSSE) Publish(_ context.Context, data []byte) error {
	m := new(tmaxmax.Message)
	m.AppendData(string(data))
	return s.Server.Publish(m)
}

func (s tmaxmaxSSE) Close() { _ = s.Shutdown(context.Background()) }

type freshetSSE struct {
	*pubsub.SSE
	bus *pubsub.Memory
}

func openFreshetSSE() (sender, error) {
	bus, err := pubsub.NewMemory(nil)
	if err != nil {
		return nil, err
	}
	s, err := pubsub.NewSSE(bus, func(r *http.Request) ([]string, error) { return r.URL.Query()["stream"], nil }, nil)
	if err != nil {
		return nil, err
	}
	return freshetSSE{s, bus}, nil
}

func (s freshetSSE) Publish(ctx context.Context, data []byte) error {
	return s.bus.Publish(ctx, "a", pubsub.Event{Data: data})
}

func (s freshetSSE) Close() {
	_ = s.SSE.Close(context.Background())
	_ = s.bus.Close(context.Background())
}

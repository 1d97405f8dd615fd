package pubsub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/freshet-go/freshet/internal/drain"
	"github.com/freshet-go/freshet/internal/response"
)

var _ http.Handler = (*SSE)(nil)

// SSE is an [http.Handler] that sends events to browsers, as server-sent events for
// EventSource. Make one with [NewSSE]. It is safe for concurrent use.
//
// All clients of a topic share one subscription of the bus, and each event is encoded once.
// A client has one goroutine, that of its request, and can hold up nobody else: one that
// does not accept what is sent within WriteTimeout is cut off, and comes back.
//
// The first thing a client is sent is an id, and so is one with every event. It says where
// the client is in all its topics, and a browser that connects again, to this process or
// another, sends it as Last-Event-ID and goes on there. Where the topics are replayable it
// has every event once that is still in the history; where they are not, those that are
// still in the memory of the process that it has come to. What a client does not get is
// announced as an event named gap, in the place of the events, whose data is a [Gap] in JSON:
//
//	{"topic":"orders","reason":"Trimmed","missed":12}
//
// An EventSource connects again by itself after a broken connection, but never after an
// answer that is not 200, such as that of a proxy while a process is replaced. A page that
// wants to go on then makes a new one, and adds ?lastEventId= and the last lastEventId to
// its URL, escaped. A browser has up to six connections to a server that speaks HTTP/1.1,
// all tabs together, and a hundred if it speaks HTTP/2.
type SSE struct {
	bus    Bus
	choose func(*http.Request) ([]string, error)
	o      SSEOptions
	n      sseCounters

	running *drain.Group // requests, and subscriptions that are being made

	mu      sync.Mutex
	topics  map[string]*sseTopic
	clients map[*client]struct{}
}

// NewSSE returns a handler that sends the events of a bus. For each request topics says
// whose events it gets: at most 64 topics, to be told apart by their names. It is where to
// check who asks, since what it returns is sent. If it returns none, the answer is 204,
// after which a browser does not connect again.
func NewSSE(bus Bus, topics func(*http.Request) ([]string, error), opts *SSEOptions) (*SSE, error) {
	if bus == nil {
		return nil, errors.New("pubsub: the bus is nil")
	}
	if topics == nil {
		return nil, errors.New("pubsub: the function that chooses topics is nil")
	}
	o, err := sseSettings(opts)
	if err != nil {
		return nil, err
	}
	return &SSE{
		bus: bus, choose: topics, o: o, running: drain.New(),
		topics: make(map[string]*sseTopic), clients: make(map[*client]struct{}),
	}, nil
}

// maxTopics is how many topics a client may have: its id grows with them, and has to fit
// into the header that proxies allow.
const maxTopics = 64

// ServeHTTP sends events until the client goes away, or is cut off, or Close is called, or
// the bus is closed.
func (s *SSE) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		response.Problem{Status: http.StatusMethodNotAllowed, Detail: "Events can only be asked for with GET."}.Write(w)
		return
	}
	if !s.running.Enter() {
		s.refuse(w, r, ErrClosed, 0)
		return
	}
	defer s.running.Done()
	defer s.n.clients.Add(-1)
	if n := s.n.clients.Add(1); s.o.MaxClients > 0 && n > int64(s.o.MaxClients) {
		s.refuse(w, r, ErrTooManyClients, 0)
		return
	}
	topics, err := s.choose(r)
	if err != nil {
		s.refuse(w, r, err, http.StatusForbidden)
		return
	}
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	switch {
	case len(topics) == 0:
		w.WriteHeader(http.StatusNoContent)
		return
	case len(topics) > maxTopics:
		s.refuse(w, r, fmt.Errorf("pubsub: a client has %d topics, and %d are allowed", len(topics), maxTopics), 0)
		return
	case topics[0] == "":
		s.refuse(w, r, errEmptyTopic, 0)
		return
	}
	c := newClient(s, w, r)
	if err := c.serve(topics); err != nil {
		s.refuse(w, r, err, 0)
	}
}

// Close ends all responses, so that browsers connect elsewhere, and refuses new requests
// with [ErrClosed]. Clients are still sent what has arrived for them. Close returns when all
// is sent and over, or with the context's error when ctx ends first; who is then not
// finished is cut off. Closing again waits again.
//
// Call it when the server is to shut down: [http.Server.Shutdown] waits for requests and
// tells them nothing. [http.Server.RegisterOnShutdown] is a place.
func (s *SSE) Close(ctx context.Context) error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.running.Close(over) // only closes the door
	s.mu.Lock()
	for _, t := range s.topics {
		t.cancel()
	}
	s.mu.Unlock()
	err := s.running.Close(ctx)
	if err != nil {
		s.mu.Lock()
		for c := range s.clients {
			c.cut()
		}
		s.mu.Unlock()
	}
	return err
}

// refuse answers a request to which nothing was sent; status is of errors that are not known.
func (s *SSE) refuse(w http.ResponseWriter, r *http.Request, err error, status int) {
	s.n.refused.Add(1)
	if s.o.ErrorHandler != nil {
		s.o.ErrorHandler(w, r, err)
		return
	}
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case slices.ContainsFunc([]error{
		ErrTooManyClients, ErrClosed, ErrUnavailable, context.DeadlineExceeded, context.Canceled,
	}, is):
		// Not the same for all who are refused at once.
		wait := 1 + rand.N(int64(2*max(s.o.Retry, defaultRetry)/time.Second))
		w.Header().Set("Retry-After", strconv.FormatInt(wait, 10))
		response.Problem{Status: http.StatusServiceUnavailable, Detail: "Events cannot be sent now."}.Write(w)
	case status == http.StatusForbidden:
		response.Problem{Status: status, Detail: "These events are not for you."}.Write(w)
	default:
		response.Problem{Status: http.StatusInternalServerError, Detail: "Something is wrong with the events."}.Write(w)
	}
}

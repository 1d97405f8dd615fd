package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/counter"
)

const (
	// viewsWait is how long a view may take to be counted.
	viewsWait = time.Second
	// viewsQueue is how many views may wait to be noted; more are not.
	viewsQueue = 10_000
	// viewsClose is how long to try to write what was gathered when the shop closes.
	viewsClose = 3 * time.Second
)

// views counts how often each product is looked at, when, and by how many.
type views struct {
	total    *counter.Buffered
	curve    *counter.Series
	visitors *counter.Unique
	visitor  func(*http.Request) string
	count    func(http.Handler) http.Handler
	queue    chan view
	closing  chan struct{} // closed when the shop closes
	done     chan struct{} // closed when what waited then has been noted
}

// A view is what is noted of one, besides that it was.
type view struct {
	id      int64
	visitor string
}

func newViews(rdb redis.UniversalClient, address func(*http.Request) string) (*views, error) {
	c, err := counter.New(rdb, &counter.Options{Prefix: "storefront", Timeout: viewsWait})
	if err != nil {
		return nil, err
	}
	v := &views{queue: make(chan view, viewsQueue), closing: make(chan struct{}), done: make(chan struct{}), visitor: func(r *http.Request) string { return address(r) + " " + r.UserAgent() }}
	warn := func(err error) { slog.Warn("views", "err", err) }
	if v.total, err = counter.NewBuffered(c, &counter.BufferedOptions{OnError: warn}); err != nil {
		return nil, err
	}
	if v.curve, err = counter.NewSeries(rdb, &counter.SeriesOptions{Prefix: "storefront", Timeout: viewsWait, Minutes: -1, Days: -1}); err != nil {
		return nil, err
	}
	// The key has the day in it.
	if v.visitors, err = counter.NewUnique(rdb, &counter.UniqueOptions{Prefix: "storefront", Timeout: viewsWait, TTL: 48 * time.Hour}); err != nil {
		return nil, err
	}
	v.count = counter.Middleware(v.total, &counter.MiddlewareOptions{
		Key:     func(r *http.Request) string { return r.PathValue("id") },
		OnError: warn,
	})
	go v.note()
	return v, nil
}

func (v *views) close(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), viewsClose)
	defer cancel()
	close(v.closing)
	select {
	case <-v.done:
	case <-closing.Done():
	}
	// Views that are lost are no reason to say that the shop did not close well.
	if err := v.total.Close(closing); err != nil {
		slog.Warn("views", "err", err)
	}
}

func day(id int64, t time.Time) string {
	return strconv.FormatInt(id, 10) + ":" + t.UTC().Format(time.DateOnly)
}

// seen has it noted who looked at a product and when; that somebody did, count does. The
// answer does not wait for it.
func (v *views) seen(r *http.Request, id int64) {
	select {
	case v.queue <- view{id, v.visitor(r)}:
	default:
		slog.Warn("views", "request", requestID(r.Context()), "err", "too many wait to be noted")
	}
}

func (v *views) note() {
	defer close(v.done)
	ctx := context.Background()
	for {
		var seen view
		select {
		case seen = <-v.queue:
		case <-v.closing:
			select {
			case seen = <-v.queue:
			default:
				return
			}
		}
		if err := v.curve.Add(ctx, strconv.FormatInt(seen.id, 10), 1); err != nil {
			slog.Warn("views", "err", err)
		}
		if err := v.visitors.Add(ctx, day(seen.id, time.Now()), seen.visitor); err != nil {
			slog.Warn("views", "err", err)
		}
	}
}

// An Hour is a bar of the curve.
type Hour struct {
	Start time.Time `json:"start"`
	Views int64     `json:"views"`
}

// getViews answers with the views of a product, of today's visitors and of the last 24
// hours.
func (s *shop) getViews(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(w, r)
	if !ok {
		return
	}
	key, now := strconv.FormatInt(id, 10), time.Now().UTC()
	total, err := s.views.total.Get(r.Context(), key)
	visitors, stdErr, err2 := s.views.visitors.Count(r.Context(), day(id, now))
	points, err3 := s.views.curve.Range(r.Context(), key, now.Truncate(time.Hour).Add(-23*time.Hour), now, time.Hour)
	if err := errors.Join(err, err2, err3); err != nil {
		if errors.Is(err, counter.ErrUnavailable) {
			problem(w, http.StatusServiceUnavailable, "The views are out of reach just now. Try again in a moment.")
			return
		}
		failed(w, r, "read views", err)
		return
	}
	hours := make([]Hour, len(points))
	for i, p := range points {
		hours[i] = Hour{p.Time, p.N}
	}
	writeJSON(w, http.StatusOK, struct {
		Views    int64  `json:"views"`
		Visitors int64  `json:"visitors"`
		Exact    bool   `json:"visitors_exact"`
		Hours    []Hour `json:"hours"`
	}{total, visitors, stdErr == 0, hours})
}

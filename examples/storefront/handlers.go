package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/freshet-go/freshet/cache"
	"github.com/freshet-go/freshet/counter"
	"github.com/freshet-go/freshet/pubsub"
	"github.com/freshet-go/freshet/ratelimit"
	"github.com/freshet-go/freshet/session"
)

const (
	maxEditBytes  = 16 << 10
	maxNameRunes  = 120
	maxPriceCents = 100_000_000
	maxStock      = 1_000_000
	maxTextBytes  = 64 << 10
)

// shop is what the handlers share. Each package of Freshet that joins brings
// its own routes and its own section of the page.
type shop struct {
	db        *store
	cache     *cache.Redis
	limits    *limits
	sessions  *session.Manager[visit]
	views     *views
	boards    *boards
	live      *live
	pages     *cache.Cached[ProductPage]
	summarize func(context.Context, string) (Summary, error)
}

// Summary is the cached result of summarizing one text.
type Summary struct {
	Text      string
	LoadedFor string
}

func newShop(db *store, c *cache.Redis, l *limits, m *session.Manager[visit], b *boards, v *views, lv *live) (*shop, error) {
	s := &shop{db: db, cache: c, limits: l, sessions: m, boards: b, views: v, live: lv}
	var err error
	s.pages, err = cache.NewCached(c, "product", s.loadPage, &cache.CachedOptions{TTL: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	s.summarize, err = cache.Func(c, "summary", func(ctx context.Context, text string) (Summary, error) {
		return Summary{Text: summarize(text), LoadedFor: requestID(ctx)}, nil
	}, &cache.CachedOptions{TTL: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	page(mux)
	// What makes work is limited, and not what is needed to see how the shop is.
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET /products":      s.listProducts,
		"PUT /products/{id}": s.putProduct,
		"GET /summarize":     s.getSummary,
		"POST /summarize":    s.getSummary,
		"GET /session":       s.getSession,
		"POST /cart":         s.postCart,
		"POST /logout":       s.postLogout,
		"GET /bestsellers":   s.getBestsellers,

		"GET /products/{id}/views": s.getViews,
	} {
		mux.Handle(pattern, s.limits.perClient(handler))
	}
	mux.Handle("GET /products/{id}", s.limits.perClient(s.views.count(http.HandlerFunc(s.getProduct))))
	mux.Handle("GET /events", s.limits.perClient(s.live.events))
	mux.Handle("POST /login", s.limits.perClient(s.limits.logins(http.HandlerFunc(s.postLogin))))
	loggedIn := s.sessions.RequireLogin(0)
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET /profile":             s.getProfile,
		"GET /devices":             s.getDevices,
		"DELETE /devices":          s.deleteDevices,
		"DELETE /devices/{handle}": s.deleteDevice,
		"POST /orders":             s.postOrder,
		"GET /ranking":             s.getRanking,
	} {
		mux.Handle(pattern, s.limits.perClient(loggedIn(handler)))
	}
	mux.HandleFunc("GET /stats", s.getStats)
	mux.HandleFunc("GET /healthz", s.getHealth)
	// Pages of other origins must not edit our products with a visitor's browser, nor
	// log it in or out, whether or not it sends the cookie with such requests. All
	// requests may have a session: those that do not ask for it cost nothing.
	return identify(secure(http.NewCrossOriginProtection().Handler(s.sessions.Middleware(mux))))
}

// loadPage runs on a miss, once for everybody who waits for the same product.
// Its context is detached from the caller's life but keeps the values, hence
// the id of the request that caused it.
func (s *shop) loadPage(ctx context.Context, key string) (ProductPage, error) {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return ProductPage{}, err
	}
	p, err := s.db.ProductPage(ctx, id)
	if errors.Is(err, errNoProduct) {
		return ProductPage{}, cache.ErrNotFound // remembered too, for 30 s
	}
	if err != nil {
		return ProductPage{}, err
	}
	p.LoadedFor = requestID(ctx)
	return *p, nil
}

// source says where a value came from: loaded if this very request's load made
// it, else "cache". A request that waited for another's load counts as
// "cache": it caused no work.
//
// The value itself carries the id of the request it was loaded for. A flag set
// by the loader would be wrong now and then: a load in the background (an
// early refresh) would set it while the caller is given the cached value.
func source(ctx context.Context, loadedFor, loaded string) string {
	if loadedFor == requestID(ctx) {
		return loaded
	}
	return "cache"
}

func (s *shop) getProduct(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(w, r)
	if !ok {
		return
	}
	start := time.Now()
	p, err := s.pages.Get(r.Context(), strconv.FormatInt(id, 10))
	if errors.Is(err, cache.ErrNotFound) {
		noProduct(w, id)
		return
	}
	if err != nil {
		failed(w, r, "read a product", err)
		return
	}
	s.views.seen(r, id)
	writeJSON(w, http.StatusOK, struct {
		Product ProductPage `json:"product"`
		Source  string      `json:"source"`
		TookMS  float64     `json:"took_ms"`
	}{p, source(r.Context(), p.LoadedFor, "db"), tookMS(start)})
}

// putProduct updates the database, then deletes what the cache holds: in this
// order, so that nobody can load the old version after the Delete.
func (s *shop) putProduct(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(w, r)
	if !ok {
		return
	}
	edit, ok := readEdit(w, r)
	if !ok {
		return
	}
	start := time.Now()
	// From here on the reader's leaving must not stop us halfway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	p, mentioned, err := s.db.Update(ctx, id, edit)
	if errors.Is(err, errNoProduct) {
		noProduct(w, id)
		return
	}
	if err != nil {
		// A commit that failed may still have happened.
		if err := s.pages.Delete(ctx, strconv.FormatInt(id, 10)); err != nil {
			slog.Warn("delete after a failed update", "product", id, "err", err)
		}
		failed(w, r, "update a product", err)
		return
	}
	answer := struct {
		Product *Product `json:"product"`
		TookMS  float64  `json:"took_ms"`
		Warning string   `json:"warning,omitempty"`
	}{Product: p}
	keys := make([]string, len(mentioned))
	for i, m := range mentioned {
		keys[i] = strconv.FormatInt(m, 10)
	}
	if err := s.pages.Delete(ctx, keys...); err != nil {
		// The edit is saved, so this is not a failure of the request; yet the
		// client must know that others may not see it. This process bypasses
		// the cache for these products and retries until the Delete is done.
		slog.Warn("saved, but not deleted from the cache", "product", id, "request", requestID(ctx), "err", err)
		answer.Warning = "Saved. The cache could not be told, so other servers may show the old version for up to five minutes."
	}
	answer.TookMS = tookMS(start)
	writeJSON(w, http.StatusOK, answer)
}

func productID(w http.ResponseWriter, r *http.Request) (int64, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		problem(w, http.StatusBadRequest, "A product's id is a positive whole number.")
		return 0, false
	}
	return id, true
}

func noProduct(w http.ResponseWriter, id int64) {
	problem(w, http.StatusNotFound, fmt.Sprintf("There is no product %d.", id))
}

// readEdit decodes and checks the body of a PUT, or answers and returns false.
func readEdit(w http.ResponseWriter, r *http.Request) (e Edit, ok bool) {
	var body struct {
		Name       *string `json:"name"`
		PriceCents *int64  `json:"price_cents"`
		Stock      *int64  `json:"stock"`
	}
	const shape = "The body must be one JSON object of name (text), price_cents and stock (whole numbers)."
	if !readJSON(w, r, maxEditBytes, &body, shape) {
		return e, false
	}
	if body.Name == nil || body.PriceCents == nil || body.Stock == nil {
		problem(w, http.StatusBadRequest, "A product needs name, price_cents and stock.")
		return e, false
	}
	e = Edit{Name: strings.TrimSpace(*body.Name), PriceCents: *body.PriceCents, Stock: *body.Stock}
	switch {
	case e.Name == "" || utf8.RuneCountInString(e.Name) > maxNameRunes || strings.ContainsFunc(e.Name, unicode.IsControl):
		problem(w, http.StatusBadRequest, fmt.Sprintf("name must have 1 to %d characters on one line.", maxNameRunes))
	case e.PriceCents < 0 || e.PriceCents > maxPriceCents:
		problem(w, http.StatusBadRequest, fmt.Sprintf("price_cents must be from 0 to %d.", maxPriceCents))
	case e.Stock < 0 || e.Stock > maxStock:
		problem(w, http.StatusBadRequest, fmt.Sprintf("stock must be from 0 to %d.", maxStock))
	default:
		return e, true
	}
	return e, false
}

func (s *shop) listProducts(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	number := 1
	if text := q.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			problem(w, http.StatusBadRequest, "page must be a positive whole number.")
			return
		}
		number = n
	}
	if len(q.Get("q")) > 200 {
		problem(w, http.StatusBadRequest, "q may have up to 200 bytes.")
		return
	}
	start := time.Now()
	list, total, err := s.db.List(r.Context(), q.Get("q"), q.Get("category"), number)
	if err != nil {
		failed(w, r, "list products", err)
		return
	}
	categories := make([]string, len(departments))
	for i, d := range departments {
		categories[i] = d.name
	}
	writeJSON(w, http.StatusOK, struct {
		Products   []Product `json:"products"`
		Page       int       `json:"page"`
		Pages      int       `json:"pages"`
		Total      int       `json:"total"`
		Categories []string  `json:"categories"`
		TookMS     float64   `json:"took_ms"`
	}{list, number, max(1, (total+pageSize-1)/pageSize), total, categories, tookMS(start)})
}

// getSummary takes the text from ?text=, or from the body of a POST when it is
// long.
func (s *shop) getSummary(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("text")
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTextBytes+1))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); err != nil && !tooLarge {
			problem(w, http.StatusBadRequest, "The body did not arrive.")
			return
		}
		text = string(body)
	}
	text = strings.TrimSpace(text)
	switch {
	case len(text) > maxTextBytes:
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The text may have up to %d bytes.", maxTextBytes))
		return
	case text == "":
		problem(w, http.StatusBadRequest, "There is no text: pass it as ?text= or POST it.")
		return
	case !utf8.ValidString(text):
		problem(w, http.StatusBadRequest, "The text must be UTF-8.")
		return
	}
	start := time.Now()
	sum, err := s.summarize(r.Context(), text)
	if err != nil {
		failed(w, r, "summarize", err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Summary string  `json:"summary"`
		Source  string  `json:"source"`
		TookMS  float64 `json:"took_ms"`
	}{sum.Text, source(r.Context(), sum.LoadedFor, "computed"), tookMS(start)})
}

func (s *shop) getStats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Cache          cache.Stats           `json:"cache"`
		RateLimit      ratelimit.Stats       `json:"rate_limit"`
		Sessions       session.ManagerStats  `json:"sessions"`
		Boards         boardStats            `json:"boards"`
		Views          counter.BufferedStats `json:"views"`
		Events         pubsub.Stats          `json:"events"`
		Browsers       pubsub.SSEStats       `json:"browsers"`
		ProductQueries int64                 `json:"product_queries"`
	}{s.cache.Stats(), s.limits.client.Stats(), s.sessions.Stats(), s.boards.stats(), s.views.total.Stats(), s.live.bus.Stats(), s.live.events.Stats(), s.db.queries.Load()})
}

// getHealth looks at the database only: the shop works without Redis, more
// slowly, so a dead Redis is no reason to restart it.
func (s *shop) getHealth(w http.ResponseWriter, r *http.Request) {
	if err := s.db.db.PingContext(r.Context()); err != nil {
		failed(w, r, "ping the database", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

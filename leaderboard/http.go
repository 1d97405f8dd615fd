package leaderboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/response"
)

// HandlerOptions are what [Handler] does.
type HandlerOptions struct {
	// MaxRows bounds how many entries one request gets. Zero: 100. At most 1,000.
	MaxRows int

	// MaxAge is for how long a response may be cached, in whole seconds. Zero: 1 second.
	// Negative: not at all. Change it to how late a client may see a score.
	MaxAge time.Duration

	// Meta makes of an entry's metadata what is in its JSON. Nil: a string, in base64.
	// Set it to, say, json.RawMessage for metadata that is JSON. It is not called for
	// entries without.
	Meta func(meta []byte) any

	// ErrorHandler answers a request that the board could not. Nil: status 503, and an
	// application/problem+json that does not tell the error.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

const (
	defaultMaxRows = 100
	defaultRows    = 10 // if the request does not say
	defaultAround  = 5
)

// Handler answers GET and HEAD requests in JSON, with what they ask of b:
//
//	/top?n=10                   the first entries; 10 if n is left out
//	/page?offset=100&n=25       the entries from a place on, which begins at 0
//	/around?member=ada&n=5      those around a member; 5 if n is left out
//	/member?member=ada          that of a member
//	/members?member=a&member=b  those of some, best first, without those who have none
//
// All but /member have the form
//
//	{"entries":[{"member":"ada","value":1200,"rank":1,"meta":"…"}],"total":250}
//
// and /member that of an entry, with its total. It is to be mounted with
// [http.StripPrefix]. Submits are the application's to accept.
//
// A request that is wrong, or asks for more than MaxRows, has the status 400, a member who
// is not on the board 404, and 404 and 405 have other paths and methods, all as
// application/problem+json.
func Handler(b Board, opts *HandlerOptions) http.Handler {
	h := &handler{board: b}
	if opts != nil {
		h.o = *opts
	}
	if h.o.MaxRows <= 0 {
		h.o.MaxRows = defaultMaxRows
	}
	h.o.MaxRows = min(h.o.MaxRows, most)
	switch {
	case h.o.MaxAge == 0:
		h.cache = "max-age=1"
	case h.o.MaxAge < time.Second:
		h.cache = "no-store"
	default:
		h.cache = fmt.Sprintf("max-age=%d", h.o.MaxAge/time.Second)
	}
	if h.o.ErrorHandler == nil {
		h.o.ErrorHandler = unavailable
	}
	return h
}

type handler struct {
	board Board
	o     HandlerOptions
	cache string
}

// jsonEntry is an Entry in JSON.
type jsonEntry struct {
	Member string `json:"member"`
	Value  int64  `json:"value"`
	Rank   int    `json:"rank"`
	Meta   any    `json:"meta,omitempty"`
	Total  *int   `json:"total,omitempty"` // if it is alone
}

type jsonPage struct {
	Entries []jsonEntry `json:"entries"`
	Total   int         `json:"total"`
}

// errRequest is what is wrong with a request, for its client.
type errRequest string

func (e errRequest) Error() string { return string(e) }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer func(*http.Request) (any, error)
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "top":
		answer = h.top
	case "page":
		answer = h.page
	case "around":
		answer = h.around
	case "member":
		answer = h.member
	case "members":
		answer = h.members
	default:
		writeProblem(w, http.StatusNotFound, "There is no such page.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeProblem(w, http.StatusMethodNotAllowed, "Only GET and HEAD are allowed.")
		return
	}
	body, err := answer(r)
	var wrong errRequest
	switch {
	case errors.As(err, &wrong):
		writeProblem(w, http.StatusBadRequest, wrong.Error())
	case errors.Is(err, ErrNotFound):
		writeProblem(w, http.StatusNotFound, "The member is not on the board.")
	case err != nil:
		h.o.ErrorHandler(w, r, err)
	default:
		h.write(w, r, body)
	}
}

func (h *handler) top(r *http.Request) (any, error) {
	n, err := h.rows(r, defaultRows)
	if err != nil {
		return nil, err
	}
	return h.list(h.board.Range(r.Context(), 0, n))
}

func (h *handler) page(r *http.Request) (any, error) {
	n, err := h.rows(r, defaultRows)
	if err != nil {
		return nil, err
	}
	offset, err := parameter(r, "offset", 0)
	if err != nil {
		return nil, err
	}
	return h.list(h.board.Range(r.Context(), offset, n))
}

func (h *handler) around(r *http.Request) (any, error) {
	n, err := h.rows(r, defaultAround)
	if err != nil {
		return nil, err
	}
	member, err := single(r)
	if err != nil {
		return nil, err
	}
	return h.list(h.board.Around(r.Context(), member, n))
}

func (h *handler) member(r *http.Request) (any, error) {
	member, err := single(r)
	if err != nil {
		return nil, err
	}
	p, err := h.board.Get(r.Context(), member)
	if err != nil {
		return nil, err
	}
	if len(p.Entries) == 0 {
		return nil, ErrNotFound
	}
	e := h.entry(p.Entries[0])
	e.Total = &p.Total
	return e, nil
}

func (h *handler) members(r *http.Request) (any, error) {
	members := r.URL.Query()["member"]
	if len(members) > h.o.MaxRows {
		return nil, errRequest(fmt.Sprintf("There are more than %d members.", h.o.MaxRows))
	}
	return h.list(h.board.Get(r.Context(), members...))
}

// single is the member that a request is about.
func single(r *http.Request) (string, error) {
	members := r.URL.Query()["member"]
	if len(members) != 1 {
		return "", errRequest("There must be one member.")
	}
	return members[0], nil
}

// rows is how many rows are asked for.
func (h *handler) rows(r *http.Request, otherwise int) (int, error) {
	n, err := parameter(r, "n", min(otherwise, h.o.MaxRows))
	switch {
	case err != nil:
		return 0, err
	case n < 1:
		return 0, errRequest("n is less than 1.")
	case n > h.o.MaxRows:
		return 0, errRequest(fmt.Sprintf("n is more than %d.", h.o.MaxRows))
	}
	return n, nil
}

// parameter is a number in the query that is not negative.
func parameter(r *http.Request, name string, otherwise int) (int, error) {
	values, ok := r.URL.Query()[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || n < 0 || len(values) > 1 {
		return 0, errRequest(name + " is not a number from 0 on.")
	}
	return n, nil
}

func (h *handler) entry(e Entry) jsonEntry {
	j := jsonEntry{Member: e.Member, Value: e.Value, Rank: e.Rank}
	switch {
	case e.Meta == nil:
	case h.o.Meta != nil:
		j.Meta = h.o.Meta(e.Meta)
	default:
		j.Meta = e.Meta
	}
	return j
}

func (h *handler) list(p Page, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	j := jsonPage{Entries: make([]jsonEntry, len(p.Entries)), Total: p.Total}
	for i, e := range p.Entries {
		j.Entries[i] = h.entry(e)
	}
	return j, nil
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, body any) {
	text, err := json.Marshal(body)
	if err != nil { // what Meta returned
		h.o.ErrorHandler(w, r, fmt.Errorf("leaderboard: HandlerOptions.Meta: %w", err))
		return
	}
	w.Header().Set("Cache-Control", h.cache)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // whoever has left gets none
}

func unavailable(w http.ResponseWriter, _ *http.Request, _ error) {
	writeProblem(w, http.StatusServiceUnavailable, "The board could not be read.")
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	response.Problem{Status: status, Detail: detail}.Write(w)
}

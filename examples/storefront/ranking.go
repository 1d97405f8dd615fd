package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/freshet-go/freshet/leaderboard"
)

const (
	bestsellersShown = 10
	customersShown   = 7 // with the customer in the middle
)

// Bestseller is a product's place among those that were sold this week.
type Bestseller struct {
	Rank    int     `json:"rank"`
	Product Product `json:"product"`
	Sold    int64   `json:"sold"`
}

// getBestsellers lists what is sold most this week, by the clock of Redis.
func (s *shop) getBestsellers(w http.ResponseWriter, r *http.Request) {
	b, err := s.boards.current(r.Context())
	if err != nil {
		failed(w, r, "read the boards' name", err)
		return
	}
	page, err := b.products.Range(r.Context(), 0, bestsellersShown)
	if err != nil {
		boardFailed(w, r, err)
		return
	}
	products, err := s.db.Products(r.Context(), members(page)...)
	if err != nil {
		failed(w, r, "read the best sellers", err)
		return
	}
	list := []Bestseller{}
	for _, e := range page.Entries {
		if p, ok := products[memberID(e)]; ok {
			list = append(list, Bestseller{e.Rank, p, e.Value})
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Products []Bestseller `json:"products"`
		Total    int          `json:"total"`
	}{list, page.Total})
}

// Ranked is a customer's place among those who have bought something this week.
type Ranked struct {
	Rank       int    `json:"rank"`
	Name       string `json:"name"`
	City       string `json:"city"`
	SpentCents int64  `json:"spent_cents"`
	You        bool   `json:"you,omitempty"`
}

// getRanking lists who is around the customer who asks. Who has not bought anything this
// week is not on the board: then the list is empty, and the rank 0.
func (s *shop) getRanking(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	me, err := s.db.customer(r.Context(), sess.User())
	if err != nil {
		failed(w, r, "read a customer", err)
		return
	}
	b, err := s.boards.current(r.Context())
	if err != nil {
		failed(w, r, "read the boards' name", err)
		return
	}
	answer := struct {
		Customers []Ranked `json:"customers"`
		Rank      int      `json:"rank"`
		Total     int      `json:"total"`
	}{Customers: []Ranked{}}
	page, err := b.customers.Around(r.Context(), strconv.FormatInt(me, 10), customersShown)
	if errors.Is(err, leaderboard.ErrNotFound) {
		page, err = b.customers.Range(r.Context(), 0, 0)
	}
	if err != nil {
		boardFailed(w, r, err)
		return
	}
	customers, err := s.db.customers(r.Context(), members(page)...)
	if err != nil {
		failed(w, r, "read customers", err)
		return
	}
	answer.Total = page.Total
	for _, e := range page.Entries {
		id := memberID(e)
		c := customers[id]
		row := Ranked{e.Rank, c.Name, c.City, e.Value, id == me}
		if row.You {
			answer.Rank = e.Rank
		} else {
			row.Name = initialled(c.Name)
		}
		answer.Customers = append(answer.Customers, row)
	}
	writeJSON(w, http.StatusOK, answer)
}

// initialled is what others may know of a name: “Ada B.”
func initialled(name string) string {
	first, last, ok := strings.Cut(name, " ")
	if !ok {
		return first
	}
	initial, _ := utf8.DecodeRuneInString(last)
	return first + " " + string(initial) + "."
}

func members(page leaderboard.Page) []int64 {
	ids := make([]int64, len(page.Entries))
	for i, e := range page.Entries {
		ids[i] = memberID(e)
	}
	return ids
}

func memberID(e leaderboard.Entry) int64 {
	id, _ := strconv.ParseInt(e.Member, 10, 64) // as count wrote it
	return id
}

// boardFailed answers when a board cannot be read.
func boardFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, leaderboard.ErrUnavailable) {
		slog.Warn("boards", "request", requestID(r.Context()), "err", err)
		problem(w, http.StatusServiceUnavailable, "This week's lists are out of reach just now. Orders are counted all the same. Try again in a moment.")
		return
	}
	failed(w, r, "read a board", err)
}

// boardStats are the counters of both boards.
type boardStats struct {
	Products  leaderboard.Stats `json:"products"`
	Customers leaderboard.Stats `json:"customers"`
}

func (b *boards) stats() boardStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return boardStats{b.last.products.Stats(), b.last.customers.Stats()}
}

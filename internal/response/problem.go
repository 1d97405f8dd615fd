package response

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Problem is an answer of RFC 9457. Its texts are for clients.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"` // zero: what the status is called
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	// Violated is a member of the type quota-exceeded.
	Violated []string `json:"violated-policies,omitempty"`
}

// Write answers with the problem, which nobody may keep.
func (p Problem) Write(w http.ResponseWriter) {
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	body, _ := json.Marshal(p) // strings and a number can be
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // whoever has left gets none
}

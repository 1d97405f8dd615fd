package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// askAs sends a request as a proxy does that was called from an address.
func (p *program) askAs(t *testing.T, from, method, path, body string) answer {
	t.Helper()
	return p.send(t, p.client, http.Header{"X-Forwarded-For": {from}}, method, path, body)
}

// testLimit asks two processes on one Redis for more than they allow.
func testLimit(t *testing.T, bin string) {
	url := redistest.Private(t, redistest.Standalone).URL()
	const limit = 12
	flags := []string{"-limit=" + strconv.Itoa(limit), "-hops=1", "REDIS_URL=" + url}
	ps := []*program{start(t, bin, flags...), start(t, bin, flags...)}

	// exhaust asks until it is denied. While it does, some tokens come back.
	exhaust := func(from, method, path, body string, status, atLeast int) (denied answer) {
		t.Helper()
		for n := range 2 * limit {
			a := ps[n%2].askAs(t, from, method, path, body)
			if a.status == http.StatusTooManyRequests {
				if n < atLeast {
					t.Errorf("%s %s: only %d requests were allowed, want %d", method, path, n, atLeast)
				}
				return a
			}
			if a.status != status || a.header.Get("X-RateLimit-Limit") == "" {
				t.Errorf("%s %s: status %d, header %v", method, path, a.status, a.header)
			}
		}
		t.Errorf("%s %s: %d requests were allowed", method, path, 2*limit)
		return denied
	}
	const client = "192.0.2.1"
	if a := ps[0].askAs(t, client, "GET", "/products", ""); a.header.Get("RateLimit-Policy") != `"client";q=12;w=60` ||
		a.header.Get("RateLimit") != `"client";r=11;t=5` || a.header.Get("X-RateLimit-Remaining") != "11" {
		t.Errorf("the first answer has the header %v", a.header)
	}
	a := exhaust(client, "GET", "/products/1", "", http.StatusOK, limit-1)
	if retry, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || retry < 1 || retry > 5 ||
		a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(a.text, "more than 12 requests a minute. Try again in ") {
		t.Errorf("a denial: header %v, %s", a.header, a.text)
	}
	for _, path := range []string{"/products", "/summarize?text=x"} {
		// A client cannot be another by what it sends.
		if a := ps[1].askAs(t, "203.0.113.7, "+client, "GET", path, ""); a.status != http.StatusTooManyRequests {
			t.Errorf("GET %s after the limit: status %d", path, a.status)
		}
	}
	for _, path := range []string{"/", "/assets/app.js", "/healthz", "/stats"} {
		if a := ps[0].askAs(t, client, "GET", path, ""); a.status != http.StatusOK || a.header.Get("RateLimit") != "" {
			t.Errorf("GET %s, which is not limited: status %d, header %v", path, a.status, a.header)
		}
	}
	if a := ps[0].askAs(t, "192.0.2.2", "GET", "/products", ""); a.status != http.StatusOK {
		t.Errorf("another client: status %d", a.status)
	}

	// Logins have a stricter limit, and count for the other too.
	const guesser, guess = "2001:db8:1:2::1", `{"user":"ada","password":"guess"}`
	a = ps[0].askAs(t, guesser, "POST", "/login", guess)
	if a.status != http.StatusUnauthorized || a.header.Get("RateLimit-Policy") != `"client";q=12;w=60, "login";q=10;w=60` ||
		!strings.Contains(a.text, "User or password is wrong") {
		t.Errorf("POST /login: status %d, header %v, %s", a.status, a.header, a.text)
	}
	a = exhaust("2001:db8:1:2:ffff::2", "POST", "/login", guess, http.StatusUnauthorized, loginsPerMinute-1)
	if !strings.Contains(a.text, "more than 10 requests a minute") {
		t.Errorf("POST /login after the limit: %s", a.text)
	}
	if a := ps[0].askAs(t, guesser, "GET", "/products", ""); a.status != http.StatusOK {
		t.Errorf("GET /products after too many logins: status %d", a.status)
	}
	total := make(map[string]int64)
	for _, p := range ps {
		for name, n := range p.get(t, "/stats").RateLimit {
			total[name] += n
		}
	}
	if total["Allowed"] == 0 || total["Denied"] == 0 || total["Degraded"] > 0 {
		t.Errorf("stats of both: %v", total)
	}
}

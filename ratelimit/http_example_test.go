package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/freshet-go/freshet/ratelimit"
)

// Requests that end in an error of ours are given back.
func ExampleMiddleware() {
	rdb, stop := open()
	defer stop()
	l, err := ratelimit.New(rdb, "api", ratelimit.PerHour(2), nil)
	if err != nil {
		panic(err)
	}
	limit := ratelimit.Middleware(l, &ratelimit.MiddlewareOptions{
		Key: ratelimit.Header("X-Api-Key"),
		Done: func(ctx context.Context, key string, n, status int) {
			if status >= 500 {
				_ = l.Refund(ctx, key, n)
			}
		},
	})
	h := limit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))

	for _, path := range []string{"/broken", "/broken", "/a", "/b", "/c"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("X-Api-Key", "secret")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(path, w.Code, "remaining", w.Header().Get("X-RateLimit-Remaining"))
	}
	// Output:
	// /broken 500 remaining 1
	// /broken 500 remaining 1
	// /a 200 remaining 1
	// /b 200 remaining 0
	// /c 429 remaining 0
}

func ExampleClientIP() {
	client, err := ratelimit.ClientIP(&ratelimit.ClientIPOptions{
		Header:  "X-Forwarded-For",
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Header.Add("X-Forwarded-For", "127.0.0.1") // sent by the client
	r.Header.Add("X-Forwarded-For", "203.0.113.9, 10.0.0.2")
	fmt.Println(client(r))
	// Output: 203.0.113.9
}

func ExampleConcurrency() {
	rdb, stop := open()
	defer stop()
	exports, err := ratelimit.NewConcurrency(rdb, "exports", 1, nil)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	lease, err := exports.Acquire(ctx, "customer 42")
	if err != nil {
		panic(err)
	}
	_, err = exports.Acquire(ctx, "customer 42")
	fmt.Println(errors.Is(err, ratelimit.ErrFull))
	fmt.Println(lease.Renew(ctx)) // if it takes long
	fmt.Println(lease.Release(ctx))
	// Output:
	// true
	// <nil>
	// <nil>
}

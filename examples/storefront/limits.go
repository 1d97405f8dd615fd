package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/ratelimit"
)

// loginsPerMinute is how often one address may try to log in.
const loginsPerMinute = 10

// limits are what one client address may do, in all processes together.
type limits struct {
	client, login     *ratelimit.Redis
	perClient, logins func(http.Handler) http.Handler
	address           func(*http.Request) string // whose limit it is
}

func newLimits(rdb redis.UniversalClient, perMinute, hops int) (*limits, error) {
	var proxies ratelimit.ClientIPOptions
	if hops > 0 {
		proxies = ratelimit.ClientIPOptions{Header: "X-Forwarded-For", Hops: hops}
	}
	address, err := ratelimit.ClientIP(&proxies)
	if err != nil {
		return nil, err
	}
	opts := &ratelimit.Options{
		Prefix:  "storefront",
		OnError: func(err error) { slog.Warn("limit", "err", err) },
	}
	l := &limits{address: address}
	if l.client, err = ratelimit.New(rdb, "client", ratelimit.PerMinute(perMinute), opts); err != nil {
		return nil, err
	}
	if l.login, err = ratelimit.New(rdb, "login", ratelimit.PerMinute(loginsPerMinute), opts); err != nil {
		return nil, err
	}
	answers := &ratelimit.MiddlewareOptions{
		Key:    address,
		Denied: tooMany,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			failed(w, r, "limit a request", err)
		},
	}
	l.perClient = ratelimit.Middleware(l.client, answers)
	l.logins = ratelimit.Middleware(l.login, answers)
	return l, nil
}

func (l *limits) close(ctx context.Context) error {
	return errors.Join(l.client.Close(ctx), l.login.Close(ctx))
}

// tooMany answers in the words of this shop; the header says the same to programs.
func tooMany(w http.ResponseWriter, _ *http.Request, res ratelimit.Result) {
	wait := math.Ceil(res.RetryAfter.Seconds())
	problem(w, http.StatusTooManyRequests, fmt.Sprintf("That is more than %d requests a minute. Try again in %.0f s.", res.Limit.Quota, wait))
}

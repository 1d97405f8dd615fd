package cache

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/redistest"
)

func unconnected(t *testing.T) *redis.Client {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field string
		opts  Options
	}{
		{"Prefix", Options{Prefix: "a b"}},
		{"Prefix", Options{Prefix: "a{b"}},
		{"Prefix", Options{Prefix: "\xff"}},
		{"TTL", Options{TTL: -1}},
		{"TTL", Options{TTL: maxTTL + 1}},
		{"Jitter", Options{Jitter: 1}},
		{"Jitter", Options{Jitter: math.NaN()}},
		{"StaleFor", Options{StaleFor: maxTTL + 1}},
		{"StaleOnError", Options{StaleOnError: math.MaxInt64}},
		{"EarlyRefresh", Options{EarlyRefresh: math.NaN()}},
		{"NotFoundTTL", Options{NotFoundTTL: math.MaxInt64}},
	} {
		if _, err := New(unconnected(t), &test.opts); err == nil || !strings.Contains(err.Error(), "Options."+test.field+" ") {
			t.Errorf("New(%+v) = %v, want an error that names Options.%s", test.opts, err, test.field)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, opts := range []*Options{nil, {}} {
		c, err := New(unconnected(t), opts)
		if err != nil {
			t.Fatal(err)
		}
		got := c.o.Options
		want := Options{
			Prefix: "cache", TTL: 5 * time.Minute, Jitter: 0.1, EarlyRefresh: 1, NotFoundTTL: 30 * time.Second,
			LoadTimeout: 30 * time.Second, Timeout: 100 * time.Millisecond, MaxLoads: 64,
		}
		if got.OnError != nil {
			t.Error("the default OnError is not nil")
		}
		if got.OnError = nil; !equalOptions(got, want) {
			t.Errorf("New(%v): options %+v, want %+v", opts, got, want)
		}
	}
	off := &Options{Jitter: -1, StaleFor: -1, StaleOnError: -1, EarlyRefresh: -1, NotFoundTTL: -1, LoadTimeout: -1, Timeout: -1, MaxLoads: -1, CompressAbove: -1}
	given := *off
	c, err := New(unconnected(t), off)
	if err != nil {
		t.Fatal(err)
	}
	want := Options{Prefix: "cache", TTL: 5 * time.Minute, LoadTimeout: never, Timeout: never, CompressAbove: -1}
	if !equalOptions(c.o.Options, want) || c.places != nil {
		t.Errorf("all off: options %+v, want %+v", c.o.Options, want)
	}
	if !equalOptions(*off, given) {
		t.Errorf("New changed the options that it was given to %+v", *off)
	}
	off.TTL = time.Hour
	if c.o.TTL != 5*time.Minute {
		t.Error("the options are not copied")
	}
}

func equalOptions(a, b Options) bool {
	return a.Prefix == b.Prefix && a.TTL == b.TTL && a.Jitter == b.Jitter && a.StaleFor == b.StaleFor &&
		a.StaleOnError == b.StaleOnError && a.EarlyRefresh == b.EarlyRefresh && a.NotFoundTTL == b.NotFoundTTL &&
		a.LoadTimeout == b.LoadTimeout && a.Timeout == b.Timeout && a.MaxLoads == b.MaxLoads && a.CompressAbove == b.CompressAbove
}

func TestRefusedClients(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	cluster := func(o redis.ClusterOptions) redis.UniversalClient {
		o.Addrs = []string{"127.0.0.1:1"}
		rdb := redis.NewClusterClient(&o)
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	for name, rdb := range map[string]redis.UniversalClient{
		"nil": nil, "typed nil": (*redis.Client)(nil), "Ring": ring,
		"ReadOnly": cluster(redis.ClusterOptions{ReadOnly: true}), "RouteByLatency": cluster(redis.ClusterOptions{RouteByLatency: true}),
		"RouteRandomly": cluster(redis.ClusterOptions{RouteRandomly: true}),
	} {
		if _, err := New(rdb, nil); err == nil || !strings.HasPrefix(err.Error(), "cache: ") {
			t.Errorf("New with %s = %v, want an error", name, err)
		}
	}
}

// No key or value in the text of an error.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	const key, value = "SECRETKEY", "SECRETVALUE"
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		c := newCache(t, p.Client(t), Options{Prefix: redistest.Prefix(t), Timeout: 100 * time.Millisecond, OnError: func(err error) {
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("OnError(%v) names a key or value", err)
			}
		}})
		_, _, _ = c.Peek(t.Context(), "warm")
		check := func(errs ...error) {
			t.Helper()
			for _, err := range errs {
				if err == nil || strings.Contains(err.Error(), "SECRET") {
					t.Errorf("error %q names a key or value, or is nil", err)
				}
			}
		}
		all := func() {
			t.Helper()
			_, _, peek := c.Peek(t.Context(), key+"2")
			check(c.Set(t.Context(), key, []byte(value), 0), c.Delete(t.Context(), key), c.Expire(t.Context(), key),
				c.Hold(t.Context(), time.Second, key), peek)
		}
		p.Blackhole(true)
		all()
		p.Blackhole(false)
		p.Refuse(true)
		all()
		p.Refuse(false)
	})
	for _, err := range []error{
		&exec.Error{Kind: exec.Unavailable, Err: errLate}, &exec.Error{Kind: exec.UnknownOutcome, Err: errLate},
	} {
		if w := wrap("set", err); !errors.Is(w, ErrUnavailable) || !errors.Is(w, errLate) {
			t.Errorf("wrap(%v) = %v, want ErrUnavailable and the cause", err, w)
		}
	}
	if w := wrap("set", &exec.Error{Kind: exec.Refused, Err: errLate}); errors.Is(w, ErrUnavailable) || !errors.Is(w, errLate) {
		t.Errorf("wrap of a refusal = %v, want the cause and not ErrUnavailable", w)
	}
}

// The longest times that are allowed add up without an overflow.
func TestLongestTimes(t *testing.T) {
	c := newCaches(t, redistest.Mini(t), 1, Options{TTL: maxTTL, Jitter: 0.99, StaleFor: maxTTL, LoadTimeout: -1})[0]
	for range 1000 {
		if ms := c.expiry(c.o.jittered(c.o.TTL), false); ms < maxTTL.Milliseconds() {
			t.Fatalf("a value with a TTL of 50 years expires after %d ms", ms)
		}
	}
}

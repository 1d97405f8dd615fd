package session

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	for name, test := range map[string]struct {
		rdb  redis.UniversalClient
		opts *Options
		want string
	}{
		"a prefix with a space": {rdb, &Options{Prefix: "a b"}, "Options.Prefix"},
		"a prefix with a brace": {rdb, &Options{Prefix: "{a"}, "Options.Prefix"},
		"no client":             {nil, nil, "nil"},
		"a nil client":          {(*redis.Client)(nil), nil, "nil"},
		"a ring":                {redis.NewRing(&redis.RingOptions{}), nil, "Ring"},
		"reads from replicas":   {redis.NewClusterClient(&redis.ClusterOptions{ReadOnly: true}), nil, "ReadOnly"},
	} {
		_, err := New(test.rdb, test.opts)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "session: ") {
			t.Errorf("New with %s = %v, want an error that names %s", name, err, test.want)
		}
		if test.rdb != nil && test.rdb != rdb && !strings.Contains(name, "nil") {
			test.rdb.Close()
		}
	}
	if _, err := NewMemory(&Options{Prefix: "a b"}); err == nil {
		t.Error("NewMemory with a prefix with a space = nil, want an error")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for opts, want := range map[*Options]Options{
		nil:                           {Prefix: "session", Timeout: time.Second},
		{Timeout: -1, Prefix: "shop"}: {Prefix: "shop", Timeout: never},
	} {
		if s, err := newSettings(opts); err != nil || s.Options != want {
			t.Errorf("newSettings(%+v) = %+v, %v, want %+v", opts, s.Options, err, want)
		}
	}
	r := newStore(t, redistest.Mini(t).Client(t), Options{Timeout: -1})
	logsIn(t, r, "user") // with unbounded times
}

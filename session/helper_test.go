package session

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// some is one topology of each kind, and all of them if FRESHET_LONG is set: for tests
// that wait for a Timeout on each.
func some() []redistest.Topology {
	on := []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}
	if redistest.IsLong() {
		on = append(on, redistest.RESP2, redistest.Sentinel)
	}
	return on
}

// newStore returns a store. Its Timeout is long unless the test sets it: a busy machine
// is not what most tests are about.
func newStore(t testing.TB, rdb redis.UniversalClient, opts Options) *Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 20 * time.Second
	}
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	r, err := New(rdb, &opts)
	if err != nil {
		t.Fatalf("New(%+v) = %v", opts, err)
	}
	return r
}

// fresh is a record that lives for an hour.
func fresh(data string) Record {
	return Record{Login: 1, Deadline: time.Now().Add(time.Hour), Data: []byte(data)}
}

// creates makes a record of an hour under a new handle.
func creates(t testing.TB, s Store, data string) (handle string, r Record) {
	t.Helper()
	handle = newHandle()
	r, err := s.Create(t.Context(), handle, fresh(data), time.Hour)
	if err != nil {
		t.Fatalf("Create = %v", err)
	}
	return handle, r
}

// newHandle makes a handle, or the name of a user.
func newHandle() string { return rand.Text() }

// logsIn makes a record that is listed.
func logsIn(t testing.TB, r *Redis, user string) (handle string, rec Record) {
	t.Helper()
	since := time.Now()
	handle, rec = creates(t, r, "x")
	if _, err := r.AddUser(t.Context(), user, handle, since, rec.Deadline, 0); err != nil {
		t.Fatalf("AddUser = %v", err)
	}
	return handle, rec
}

// wants fails the test unless an error is what it should be; nil wants none.
func wants(t testing.TB, call string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", call, err, want)
	}
}

// finds fails the test unless Get returns what it should; nil wants the record.
func finds(t testing.TB, s Store, handle string, want error) Record {
	t.Helper()
	r, err := s.Get(t.Context(), handle)
	wants(t, "Get", err, want)
	return r
}

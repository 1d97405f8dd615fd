package session

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// fixed is a store of one record, which costs nothing: what is left is the manager's work.
type fixed struct {
	Store

	rec Record
}

func (f *fixed) Get(context.Context, string) (Record, error) { return f.rec, nil }

// discard is a response that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// reading returns a handler whose session exists, and a request of it.
func reading(tb testing.TB, o ManagerOptions) (h http.Handler, r *http.Request) {
	mem := newMemory(tb)
	m := newManager(tb, mem, o)
	b := newBrowser(tb, m)
	b.visit(func(s *Session[cart]) {
		check(tb, s.Update(putItem("tea")))
		check(tb, s.Login(tb.Context(), "alice"))
	})
	t, _ := parseToken(b.cookie)
	rec, err := mem.Get(tb.Context(), t.handle)
	check(tb, err)
	m = newManager(tb, &fixed{rec: rec}, o)
	r = httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", m.jar.name+"="+b.cookie)
	return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		if err != nil || s.User() != "alice" || len(s.Data().Items) != 1 {
			tb.Errorf("Get() = %v, %v", s, err)
		}
		_, _ = w.Write([]byte("ok"))
	})), r
}

func BenchmarkMiddleware(b *testing.B) {
	b.Run("session=none", func(b *testing.B) {
		m := newManager(b, newMemory(b), ManagerOptions{})
		h := m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
		measure(b, h, httptest.NewRequest("GET", "/", nil))
	})
	for _, c := range []struct {
		name string
		o    ManagerOptions
	}{
		{"read", ManagerOptions{Idle: 2 * time.Hour, TouchEvery: time.Hour}},
		{"read,sealed", ManagerOptions{Idle: 2 * time.Hour, TouchEvery: time.Hour, Keys: [][]byte{key(1)}}},
	} {
		b.Run("session="+c.name, func(b *testing.B) {
			h, r := reading(b, c.o)
			measure(b, h, r)
		})
	}
}

func measure(b *testing.B, h http.Handler, r *http.Request) {
	b.ReportAllocs()
	w := &discard{make(http.Header)}
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

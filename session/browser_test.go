package session

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// cart is what the tests keep in a session.
type cart struct {
	Items []string
	Theme string
	N     int
	State string
}

// newManager returns a manager whose errors fail the test, unless it has another OnError.
func newManager(t testing.TB, store Store, o ManagerOptions) *Manager[cart] {
	t.Helper()
	if o.OnError == nil {
		o.OnError = func(err error) { t.Errorf("OnError(%v)", err) }
	}
	m, err := NewManager[cart](store, &o)
	if err != nil {
		t.Fatalf("NewManager(%+v) = %v", o, err)
	}
	return m
}

// newMemory returns a store for what does not depend on it.
func newMemory(t testing.TB) *Memory {
	t.Helper()
	mem, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// A browser keeps the cookies of one client and asks a manager's handler.
type browser[T any] struct {
	t  testing.TB
	m  *Manager[T]
	mu sync.Mutex
	// cookie is the value of the session's, "" if there is none.
	cookie string
}

func newBrowser[T any](t testing.TB, m *Manager[T]) *browser[T] {
	return &browser[T]{t: t, m: m}
}

// do runs f as the handler of a request, behind the middleware.
func (b *browser[T]) do(f func(w http.ResponseWriter, r *http.Request)) *http.Response {
	b.mu.Lock()
	cookie := b.cookie
	b.mu.Unlock()
	res := b.with(cookie, f)
	b.keep(res)
	return res
}

// with is do with another cookie, and without keeping what the response sets.
func (b *browser[T]) with(cookie string, f func(w http.ResponseWriter, r *http.Request)) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User-Agent", "Firefox")
	if cookie != "" {
		r.Header.Set("Cookie", b.m.jar.name+"="+cookie)
	}
	w := httptest.NewRecorder()
	b.m.Middleware(http.HandlerFunc(f)).ServeHTTP(w, r)
	return w.Result()
}

func (b *browser[T]) keep(res *http.Response) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range res.Cookies() {
		if c.Name == b.m.jar.name {
			b.cookie = c.Value
		}
	}
}

// visit runs f with the session of a request; it must be there.
func (b *browser[T]) visit(f func(s *Session[T])) *http.Response {
	b.t.Helper()
	return b.do(func(_ http.ResponseWriter, r *http.Request) {
		s, err := b.m.Get(r.Context())
		if err != nil {
			b.t.Errorf("Get() = %v", err)
			return
		}
		f(s)
	})
}

// login logs a user in.
func (b *browser[T]) login(user string) *http.Response {
	b.t.Helper()
	return b.visit(func(s *Session[T]) { check(b.t, s.Login(b.t.Context(), user)) })
}

// look returns what the session has, in a request that only reads.
func (b *browser[T]) look() (user string, data T) {
	b.t.Helper()
	b.visit(func(s *Session[T]) { user, data = s.User(), s.Data() })
	return user, data
}

func (b *browser[T]) wants(user string) {
	b.t.Helper()
	if got, _ := b.look(); got != user {
		b.t.Errorf("the user is %q, want %q", got, user)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// wantErr fails the test unless err is want.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// setCookie is the value that a response gives the session's cookie, "" if none.
func cookieOf(res *http.Response) string {
	for _, c := range res.Cookies() {
		if strings.HasSuffix(c.Name, "sid") {
			return c.Value
		}
	}
	return ""
}

// putItem adds to the cart.
func putItem(item string) func(*cart) error {
	return func(c *cart) error {
		c.Items = append(c.Items, item)
		return nil
	}
}

func addOne(c *cart) error { c.N++; return nil }

func body(res *http.Response) string {
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// onStores runs body on a store in memory and on every topology.
func onStores(t *testing.T, body func(t *testing.T, store Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { body(t, newMemory(t)) })
	redistest.Each(t, func(t *testing.T, s *redistest.Server) { body(t, newStore(t, s.Client(t), Options{})) })
}

// errorLog is an OnError that keeps what it is told.
type errorLog struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// has reports whether one of the errors is target.
func (l *errorLog) has(target error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.errs, func(err error) bool { return errors.Is(err, target) })
}

func (l *errorLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.errs)
}

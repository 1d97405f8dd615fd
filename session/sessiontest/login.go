package sessiontest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/freshet-go/freshet/session"
)

// Login returns r with the cookie of a new session in which user is logged in: what a
// handler's test needs that stands behind the manager's Middleware. If fill is not nil,
// the session has the data that it makes. With the user "" nobody is logged in.
//
// The manager is the one under test, usually over [session.NewMemory]. r is not changed.
func Login[T any](t testing.TB, m *session.Manager[T], r *http.Request, user string, fill func(*T) error) *http.Request {
	t.Helper()
	enter := func(_ http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		if err == nil && fill != nil {
			err = s.UpdateNow(r.Context(), fill)
		}
		if err == nil && user != "" {
			err = s.Login(r.Context(), user)
		}
		if err != nil {
			t.Fatalf("sessiontest: login: %v", err)
		}
	}
	w := httptest.NewRecorder()
	visitor := httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/", nil)
	visitor.Header.Set("User-Agent", r.UserAgent())
	m.Middleware(http.HandlerFunc(enter)).ServeHTTP(w, visitor)
	r = r.Clone(r.Context())
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	return r
}

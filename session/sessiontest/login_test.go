package sessiontest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/freshet-go/freshet/session"
	"github.com/freshet-go/freshet/session/sessiontest"
)

func TestLogin(t *testing.T) {
	type data struct{ Visits int }
	store, err := session.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := session.NewManager[data](store, nil)
	if err != nil {
		t.Fatal(err)
	}
	page := m.Middleware(m.RequireLogin(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(w, "%s %d", s.User(), s.Data().Visits)
	})))
	get := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		return w
	}
	r := httptest.NewRequest("GET", "/profile", nil)
	r.Header.Set("User-Agent", "Firefox")
	if w := get(sessiontest.Login(t, m, r, "alice", func(d *data) error { d.Visits = 3; return nil })); w.Body.String() != "alice 3" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if w := get(sessiontest.Login(t, m, r, "bob", nil)); w.Body.String() != "bob 0" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if w := get(sessiontest.Login(t, m, r, "", func(d *data) error { d.Visits = 3; return nil })); w.Code != 401 {
		t.Errorf("with nobody: status %d, %s", w.Code, w.Body)
	}
	if w := get(r); w.Code != 401 || len(r.Cookies()) != 0 {
		t.Errorf("the request itself: status %d, %v", w.Code, r.Cookies())
	}
	if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 1 || list[0].Device != "Firefox" {
		t.Errorf("Alice's sessions are %+v, %v", list, err)
	}
}

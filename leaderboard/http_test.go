package leaderboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/internal/response"
)

// ask sends a request to a handler.
func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestHandler(t *testing.T) {
	t.Parallel()
	boards(t, Options{Meta: 20}, func(t *testing.T, b Board) {
		submits(t, b, Score{Member: "a", Value: 3, Meta: []byte(`{"x":1}`)}, Score{Member: "b/&", Value: 2}, Score{Member: "c", Value: 2}, Score{Member: "d", Value: -1})
		h := http.StripPrefix("/board", Handler(b, &HandlerOptions{MaxRows: 3, Meta: func(m []byte) any { return json.RawMessage(m) }}))
		const a, bb, c, d = `{"member":"a","value":3,"rank":1,"meta":{"x":1}}`, `{"member":"b/\u0026","value":2,"rank":2}`, `{"member":"c","value":2,"rank":2}`, `{"member":"d","value":-1,"rank":4}`
		for target, want := range map[string]string{
			"/top":                                `{"entries":[` + a + "," + bb + "," + c + `],"total":4}`,
			"/top?n=1":                            `{"entries":[` + a + `],"total":4}`,
			"/page?n=1":                           `{"entries":[` + a + `],"total":4}`,
			"/page?offset=0&n=1":                  `{"entries":[` + a + `],"total":4}`,
			"/page?offset=2&n=2":                  `{"entries":[` + c + "," + d + `],"total":4}`,
			"/page?offset=9":                      `{"entries":[],"total":4}`,
			"/around?member=d&n=2":                `{"entries":[` + c + "," + d + `],"total":4}`,
			"/around?member=b%2F%26":              `{"entries":[` + a + "," + bb + "," + c + `],"total":4}`,
			"/member?member=c":                    `{"member":"c","value":2,"rank":2,"total":4}`,
			"/members?member=d&member=x&member=a": `{"entries":[` + a + "," + d + `],"total":4}`,
			"/members":                            `{"entries":[],"total":4}`,
		} {
			w := ask(h, "GET", "/board"+target)
			if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "max-age=1" {
				t.Errorf("%s = %d, %s with %v, want %s", target, w.Code, w.Body, w.Header(), want)
			}
		}
		if w := ask(h, "HEAD", "/board/top"); w.Code != 200 {
			t.Errorf("HEAD = %d", w.Code)
		}
		for target, want := range map[string]int{
			"/top?n=4": 400, "/top?n=0": 400, "/top?n=-1": 400, "/top?n=x": 400, "/top?n=": 400, "/top?n=1&n=2": 400, "/top?n=99999999999999999999": 400,
			"/page?offset=-1": 400, "/page?offset=1.5": 400, "/page?n=4": 400, "/around": 400, "/around?member=a&member=b": 400, "/around?member=a&n=4": 400,
			"/around?member=nobody": 404, "/member?member=nobody": 404, "/member": 400, "/members?member=a&member=b&member=c&member=d": 400,
			"/": 404, "/top/x": 404, "/submit": 404,
		} {
			w := ask(h, "GET", "/board"+target)
			var p response.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != want || p.Status != want || p.Title == "" || p.Detail == "" ||
				w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s = %d, %s with %v, want a problem with %d", target, w.Code, w.Body, w.Header(), want)
			}
		}
		if w := ask(h, "POST", "/board/top"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST = %d with %v", w.Code, w.Header())
		}
	})
}

// How many entries a request gets that does not say, and how many it may ask for.
func TestHandlerRows(t *testing.T) {
	t.Parallel()
	m, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1200 {
		submits(t, m, Score{Member: fmt.Sprint(i), Value: int64(i)})
	}
	members := func(n int) string { return strings.Repeat("&member=x", n)[1:] }
	for _, test := range []struct {
		maxRows int
		target  string
		rows    int // -1: status 400
	}{
		{0, "/top", 10}, {0, "/page?offset=3", 10}, {0, "/around?member=500", 5},
		{0, "/top?n=100", 100}, {0, "/top?n=101", -1}, {0, "/page?n=100", 100}, {0, "/page?n=101", -1},
		{0, "/around?member=500&n=100", 100}, {0, "/around?member=500&n=101", -1},
		{0, "/members?" + members(100), 0}, {0, "/members?" + members(101), -1},
		{7, "/top", 7}, {7, "/top?n=7", 7}, {7, "/top?n=8", -1}, {7, "/around?member=500", 5}, {4, "/around?member=500", 4}, {1, "/top", 1},
		{-1, "/top?n=100", 100}, {-1, "/top?n=101", -1},
		{5000, "/top?n=1000", 1000}, {5000, "/top?n=1001", -1},
	} {
		w := ask(Handler(m, &HandlerOptions{MaxRows: test.maxRows}), "GET", test.target)
		var p jsonPage
		err := json.Unmarshal(w.Body.Bytes(), &p)
		if test.rows < 0 {
			if w.Code != 400 {
				t.Errorf("with MaxRows %d %.40s = %d, want 400", test.maxRows, test.target, w.Code)
			}
			continue
		}
		if err != nil || w.Code != 200 || len(p.Entries) != test.rows || p.Total != 1200 {
			t.Errorf("with MaxRows %d %.40s = %d with %d entries of %d, %v, want %d", test.maxRows, test.target, w.Code, len(p.Entries), p.Total, err, test.rows)
		}
		if h := w.Header(); h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.40s has the headers %v", test.target, h)
		}
	}
}

// failing is a board that has only an error.
type failing struct {
	Board
	err error
}

func (f failing) Range(context.Context, int, int) (Page, error) { return Page{}, f.err }

func TestHandlerFails(t *testing.T) {
	t.Parallel()
	secret := errors.New("secret")
	w := ask(Handler(failing{err: secret}, nil), "GET", "/top")
	if w.Code != 503 || strings.Contains(w.Body.String(), "secret") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the answer is %d %s with %v, want 503 without the error", w.Code, w.Body, w.Header())
	}
	var got error
	ask(Handler(failing{err: secret}, &HandlerOptions{ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }}), "GET", "/top")
	if got != secret {
		t.Errorf("ErrorHandler was given %v", got)
	}
	m, err := NewMemory(&Options{Meta: 5})
	if err != nil {
		t.Fatal(err)
	}
	submits(t, m, Score{Member: "a", Meta: []byte("{")})
	w = ask(Handler(m, &HandlerOptions{Meta: func(m []byte) any { return json.RawMessage(m) }}), "GET", "/top")
	if w.Code != 503 {
		t.Errorf("with metadata that is no JSON the answer is %d %s", w.Code, w.Body)
	}
	for age, want := range map[time.Duration]string{0: "max-age=1", -1: "no-store", time.Second - 1: "no-store", time.Second: "max-age=1", time.Minute + time.Millisecond: "max-age=60"} {
		if got := ask(Handler(m, &HandlerOptions{MaxAge: age}), "GET", "/top").Header().Get("Cache-Control"); got != want {
			t.Errorf("MaxAge %v makes %q, want %q", age, got, want)
		}
	}
	if w := ask(Handler(m, &HandlerOptions{MaxRows: 5000}), "GET", "/top?n=1001"); w.Code != 400 {
		t.Errorf("n=1001 = %d, want 400", w.Code)
	}
	if w := ask(Handler(m, nil), "GET", "/top"); !strings.Contains(w.Body.String(), `"meta":"ew=="`) {
		t.Errorf("the answer is %s, want the metadata in base64", w.Body)
	}
}

// Whatever is asked for has a status that is not 500, and a body that is JSON.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{"/top?n=3", "/page?offset=5&n=1", "/around?member=%ff&n=2", "/members?member=&member=a", "/member?member=a;b", "//top", "/top?n=%"} {
		f.Add("GET", seed)
	}
	r := newBoard(f, redistest.Mini(f).Client(f), Options{})
	submits(f, r, Score{Member: "a", Value: 1}, Score{Member: "\xff", Value: 2})
	h := Handler(r, nil)
	f.Fuzz(func(t *testing.T, method, target string) {
		req, err := http.NewRequest(method, target, nil)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 200 && w.Code != 400 && w.Code != 404 && w.Code != 405 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q = %d %q", method, target, w.Code, w.Body)
		}
	})
}

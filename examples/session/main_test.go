package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/examples/internal/program"
)

// The test builds the program rather than calling it. This makes its result
// depend on the program all the same, so that a changed one is tested again.
func TestMain(m *testing.M) {
	code := m.Run()
	runtime.KeepAlive(main)
	os.Exit(code)
}

// browser is a client with its cookies.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 10 * time.Second}
}

// post sends a form, or gets the page if there is none, and returns what is shown.
func post(t *testing.T, c *http.Client, at string, form url.Values) (status int, page string) {
	t.Helper()
	send := c.Get
	if form != nil {
		send = func(at string) (*http.Response, error) { return c.PostForm(at, form) }
	}
	res, err := send(at)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestProgram(t *testing.T) {
	at, stop := program.Start(t)
	phone, desktop := browser(t), browser(t)
	shows := func(c *http.Client, path string, form url.Values, want ...string) {
		t.Helper()
		status, page := post(t, c, at+path, form)
		for _, w := range want {
			without, not := strings.CutPrefix(w, "no ")
			if status != http.StatusOK || strings.Contains(page, without) == not {
				t.Errorf("%s: status %d, want %q in\n%s", path, status, w, page)
			}
		}
	}
	login := url.Values{"user": {"ada"}, "password": {"tea"}}
	shows(phone, "/note", url.Values{"note": {"buy <milk>"}}, "buy &lt;milk&gt;", "no You are")
	if status, _ := post(t, phone, at+"/login", url.Values{"user": {"ada"}, "password": {"coffee"}}); status != http.StatusForbidden {
		t.Errorf("a wrong password has status %d", status)
	}
	shows(phone, "/login", login, "You are ada", "buy &lt;milk&gt;", "(this one)")
	shows(desktop, "/login", login, "You are ada", "no milk")
	shows(desktop, "/others", url.Values{}, "You are ada")
	shows(phone, "/", nil, "no You are", "no milk")
	shows(desktop, "/logout", url.Values{}, "no You are")
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

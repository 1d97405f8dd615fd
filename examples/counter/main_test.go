package main

import (
	"io"
	"net/http"
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

func ask(t *testing.T, url, agent string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %q, %v", res.StatusCode, b, err)
	}
	return string(b)
}

func TestProgram(t *testing.T) {
	url, stop := program.Start(t)
	for i := range 5 {
		agent := "one"
		if i == 3 {
			agent = "another"
		}
		if got := ask(t, url+"/articles/redis", agent); got != "All about redis\n" {
			t.Errorf("the article is %q", got)
		}
	}
	// The last view is counted before its connection serves the next request.
	got := ask(t, url+"/views/redis", "one")
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if lines[0] != "5 views by 2 visitors" || strings.Count(got, "#") != 5 || len(lines) < 10 {
		t.Errorf("the views are\n%s", got)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

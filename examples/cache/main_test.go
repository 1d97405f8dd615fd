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

func ask(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(b))
}

func TestProgram(t *testing.T) {
	url, stop := program.Start(t)
	// read returns the name and the seal, and how long it took.
	read := func() (string, time.Duration) {
		status, answer := ask(t, "GET", url+"/products/1", "")
		what, took, ok := strings.Cut(answer, ", in ")
		d, err := time.ParseDuration(took)
		if status != http.StatusOK || !ok || err != nil {
			t.Fatalf("GET /products/1 = %d %q", status, answer)
		}
		return what, d
	}
	first, slow := read()
	again, quick := read()
	if first != again || !strings.HasPrefix(first, "Kettle, seal ") {
		t.Errorf("two reads = %q and %q", first, again)
	}
	if quick*2 > slow {
		t.Errorf("the first read took %v, the second %v: not from the cache", slow, quick)
	}
	if status, answer := ask(t, "PUT", url+"/products/1", "Copper kettle"); status != http.StatusOK || answer != "saved" {
		t.Errorf("PUT = %d %q, want 200 saved", status, answer)
	}
	if after, _ := read(); !strings.HasPrefix(after, "Copper kettle, ") {
		t.Errorf("a read after the PUT = %q, want the new name", after)
	}
	if status, _ := ask(t, "GET", url+"/products/2", ""); status != http.StatusNotFound {
		t.Errorf("GET of no product = %d, want 404", status)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

package main

import (
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
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

// ask returns the answer with its body read.
func ask(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
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
	return res, strings.TrimSpace(string(b))
}

func TestProgram(t *testing.T) {
	url, stop := program.Start(t)
	statuses := make(map[int]int)
	var reports sync.WaitGroup
	var mu sync.Mutex
	for range 3 {
		reports.Go(func() {
			res, _ := ask(t, url+"/report")
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
		})
	}
	reports.Wait()
	if statuses[http.StatusOK] != 2 || statuses[http.StatusServiceUnavailable] != 1 {
		t.Errorf("three reports at once had the statuses %v, want 200 twice and 503", statuses)
	}
	// Of the burst of 5 there are 2 left, and every two seconds one more.
	allowed := 0
	for range 100 {
		res, answer := ask(t, url+"/time")
		if res.StatusCode == http.StatusOK && strings.HasPrefix(answer, "It is ") {
			if allowed++; res.Header.Get("RateLimit-Policy") != `"api";q=5;w=10` {
				t.Errorf("the header is %v", res.Header)
			}
			continue
		}
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || !strings.Contains(answer, "quota-exceeded") {
			t.Errorf("status %d, header %v, %q", res.StatusCode, res.Header, answer)
		}
		break
	}
	if allowed < 2 || allowed == 100 {
		t.Errorf("%d requests were allowed before one was denied, want 2", allowed)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

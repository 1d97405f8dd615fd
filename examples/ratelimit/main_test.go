package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test builds the program rather than calling it. This makes its result
// depend on the program all the same, so that a changed one is tested again.
func TestMain(m *testing.M) {
	code := m.Run()
	runtime.KeepAlive(main)
	os.Exit(code)
}

// start builds and starts the real program and returns its address.
func start(t *testing.T) (url string, stop func() error) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "ratelimit.exe")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	out := bufio.NewReader(stderr)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, ok := strings.Cut(strings.TrimSpace(line), "look at ")
	if !ok {
		t.Fatalf("the program said %q, which does not tell where to look", line)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return strings.TrimSuffix(url, "/time"), func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		return cmd.Wait()
	}
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
	if runtime.GOOS == "windows" {
		t.Skip("windows has no interrupt to stop the program with")
	}
	url, stop := start(t)
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

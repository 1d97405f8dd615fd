package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
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

// stream reads what a browser would be sent.
type stream struct {
	*bufio.Scanner
	leave func()
}

func open(t *testing.T, at, lastID string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	leave := func() {
		cancel()
		_ = res.Body.Close()
	}
	t.Cleanup(leave)
	return &stream{bufio.NewScanner(res.Body), leave}
}

// next returns the next note and the id after it.
func (s *stream) next(t *testing.T) (n note, id string) {
	t.Helper()
	has := false
	for s.Scan() {
		field, value, _ := strings.Cut(s.Text(), ": ")
		switch field {
		case "data":
			has = true
			if err := json.Unmarshal([]byte(value), &n); err != nil {
				t.Fatalf("the data is %q", value)
			}
		case "id":
			id = value
		case "":
			if has {
				return n, id
			}
		}
	}
	t.Fatalf("the stream has ended: %v", s.Err())
	return n, id
}

func write(t *testing.T, at, text string, want int) {
	t.Helper()
	res, err := http.PostForm(at+"/notes", url.Values{"text": {text}})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != want {
		t.Errorf("writing %.20q has status %d, want %d", text, res.StatusCode, want)
	}
}

func TestProgram(t *testing.T) {
	at, stop := program.Start(t)
	one, other := open(t, at, ""), open(t, at, "")
	write(t, at, "buy\nmilk", http.StatusNoContent)
	write(t, at, "", http.StatusBadRequest)
	write(t, at, strings.Repeat("x", 201), http.StatusBadRequest)
	got, id := one.next(t)
	if want := (note{Text: "buy\nmilk", By: "one"}); got != want {
		t.Errorf("the first page shows %v, want %v", got, want)
	}
	if got, _ := other.next(t); got.Text != "buy\nmilk" {
		t.Errorf("the second page shows %v", got)
	}
	one.leave()
	write(t, at, "and tea", http.StatusNoContent)
	if got, _ := other.next(t); got.Text != "and tea" {
		t.Errorf("the second page shows %v", got)
	}
	if got, _ := open(t, at, id).next(t); got.Text != "and tea" {
		t.Errorf("the first page shows %v when it is back", got)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

package main

import (
	"encoding/json"
	"fmt"
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

// ask returns the status and the answer.
func ask(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
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
	return res.StatusCode, string(b)
}

func TestProgram(t *testing.T) {
	url, stop := program.Start(t)
	best := make(map[string]int)
	for i, guess := range []int{0, 100, 50, 30} {
		player := []string{"ada", "bob"}[i%2]
		status, answer := ask(t, "POST", fmt.Sprintf("%s/play?player=%s&guess=%d", url, player, guess))
		var points int
		if _, err := fmt.Sscanf(answer, "%d points. You are number", &points); err != nil || status != http.StatusOK {
			t.Fatalf("a game = %d %q", status, answer)
		}
		best[player] = max(best[player], points)
	}
	for _, board := range []string{"week", "hour", "ever"} {
		status, answer := ask(t, "GET", url+"/"+board+"/top")
		var page struct {
			Entries []struct {
				Member      string
				Value, Rank int
			}
			Total int
		}
		if err := json.Unmarshal([]byte(answer), &page); err != nil || status != http.StatusOK || page.Total != 2 || len(page.Entries) != 2 {
			t.Fatalf("the board of %s = %d %q", board, status, answer)
		}
		for _, e := range page.Entries {
			if e.Value != best[e.Member] {
				t.Errorf("%s has %d on the board of %s, want %d", e.Member, e.Value, board, best[e.Member])
			}
		}
		if first := page.Entries[0]; first.Rank != 1 || first.Value != max(best["ada"], best["bob"]) {
			t.Errorf("the first of %s is %+v", board, first)
		}
	}
	if status, answer := ask(t, "GET", url+"/week/around?member=eve"); status != http.StatusNotFound || !strings.Contains(answer, "not on the board") {
		t.Errorf("who has not played = %d %q", status, answer)
	}
	if status, _ := ask(t, "POST", url+"/play?player=ada&guess=101"); status != http.StatusBadRequest {
		t.Errorf("a wrong guess = %d", status)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v, want exit status 0", err)
	}
}

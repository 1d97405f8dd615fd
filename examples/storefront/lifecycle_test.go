package main

import (
	"database/sql"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func testShutdown(t *testing.T, bin string) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted on Windows")
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, bin)
		p.get(t, "/products/1")
		if files, _ := filepath.Glob(filepath.Join(p.temp, "*", "shop.db")); len(files) != 1 {
			t.Fatalf("the temporary database is not below TMPDIR: %v", files)
		}
		if code := p.stop(t, signal); code != 0 {
			t.Errorf("%v: exit code %d, want 0", signal, code)
		}
		if left, _ := os.ReadDir(p.temp); len(left) > 0 {
			t.Errorf("%v left %v behind", signal, left)
		}
	}

	// A request under way is finished: its body arrives after the signal. The
	// server says 100 Continue when the handler begins to read.
	p := start(t, bin)
	r, w := io.Pipe()
	begun := make(chan struct{})
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }})
	req, err := http.NewRequestWithContext(trace, "POST", p.url+"/summarize", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	result := make(chan error, 1)
	status := 0
	go func() {
		res, err := p.client.Do(req)
		if err == nil {
			status = res.StatusCode
			err = res.Body.Close()
		}
		result <- err
	}()
	<-begun
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	poll(t, 5*time.Second, "the program begins to shut down", func() bool { return strings.Contains(p.logged(), "shutting down") })
	if _, err := io.WriteString(w, "One. Two. Three."); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if err := <-result; err != nil || status != http.StatusOK {
		t.Errorf("the request under way: status %d, %v", status, err)
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	// A database that the user named stays, and is used again.
	file := filepath.Join(t.TempDir(), "my shop?#.db")
	p = start(t, bin, "-db="+file)
	p.ask(t, "PUT", "/products/7", `{"name":"Kept","price_cents":1,"stock":1}`)
	p.stop(t, os.Interrupt)
	p = start(t, bin, "-db="+file)
	if got := p.get(t, "/products/7").Product.Name; got != "Kept" {
		t.Errorf("after a restart with -db product 7 is %q", got)
	}
	if code := p.stop(t, os.Interrupt); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func testBadSettings(t *testing.T, bin string) {
	text := filepath.Join(t.TempDir(), "note.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("This is not a database. ", 99)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"REDIS_URL=http://user:hunter2@h"},
		{"REDIS_URL=redis://user:hunter2@h?nonsense=1"},
		{"-addr=127.0.0.1:99999"},
		{"-db=" + text},
		{"-nonsense"},
	} {
		p := launch(t, bin, args...)
		select {
		case <-p.done:
		case <-time.After(15 * time.Second):
			t.Errorf("%q: still running", args)
			continue
		}
		if p.cmd.ProcessState.ExitCode() <= 0 {
			t.Errorf("%q: %v, want an exit code", args, p.cmd.ProcessState)
		}
		if p.logged() == "" || strings.Contains(p.logged(), "hunter2") {
			t.Errorf("%q: the log says %q", args, p.logged())
		}
		if left, _ := os.ReadDir(p.temp); len(left) > 0 {
			t.Errorf("%q left %v behind", args, left)
		}
	}
}

// testInternalError breaks the database: the client is told no more than where
// to find the reason.
func testInternalError(t *testing.T, bin string) {
	file := filepath.Join(t.TempDir(), "shop.db")
	p := start(t, bin, "-db="+file)
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("DROP TABLE order_lines"); err != nil {
		t.Fatal(err)
	}
	a := p.ask(t, "GET", "/products/1", "")
	id := a.header.Get("X-Request-Id")
	if a.status != http.StatusInternalServerError || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.Detail, id) {
		t.Errorf("status %d, %v, %s", a.status, a.header, a.text)
	}
	if strings.Contains(a.text, "order_lines") || strings.Contains(a.text, "SQL") {
		t.Errorf("the answer shows an internal error: %s", a.text)
	}
	poll(t, 5*time.Second, "the log has the reason under the request's id", func() bool {
		return regexp.MustCompile("request=" + id + ".*order_lines").MatchString(p.logged())
	})
}

// testStartLine wants one line, and no password in it. What go-redis says about a server
// that is not there is its own.
func testStartLine(t *testing.T, bin string) {
	p := start(t, bin, "REDIS_URL=redis://user:hunter2@127.0.0.1:1/3")
	ours := slices.DeleteFunc(slices.Collect(strings.Lines(p.logged())), func(line string) bool { return strings.HasPrefix(line, "redis: ") })
	if !strings.Contains(p.line, " redis=redis://127.0.0.1:1/3 ") || len(ours) != 1 || strings.Contains(p.logged(), "hunter2") {
		t.Errorf("the program says %q", p.logged())
	}
	if got := p.get(t, "/products/1").Source; got != "db" {
		t.Errorf("with a Redis that was never there a read has source %q", got)
	}
	p = start(t, bin)
	if !regexp.MustCompile(` redis="embedded miniredis at 127\.0\.0\.1:\d+" `).MatchString(p.line) {
		t.Errorf("the program says %q", p.logged())
	}
}

package main

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// testViews looks at a product, from two browsers.
func testViews(t *testing.T, p *program) {
	const path = "/products/77"
	total := func(a answer) (n int64) {
		for _, h := range a.Hours {
			n += h.Views
		}
		return n
	}
	if a := p.get(t, path+"/views"); a.Views != 0 || a.Visitors != 0 || !a.Exact || len(a.Hours) != 24 || total(a) != 0 {
		t.Errorf("the views of what nobody has seen are %s", a.text)
	}
	for range 3 {
		p.get(t, path)
	}
	p.send(t, p.client, http.Header{"User-Agent": {"another"}}, "GET", path, "")
	p.ask(t, "PUT", path, `{}`) // not a view, and refused
	poll(t, 20*time.Second, "four views by two visitors are shown", func() bool {
		a := p.get(t, path+"/views")
		return a.Views == 4 && a.Visitors == 2 && a.Exact && total(a) == 4
	})
	for _, path := range []string{"/products/0/views", "/products/x/views"} {
		if a := p.ask(t, "GET", path, ""); a.status != http.StatusBadRequest || a.Detail == "" {
			t.Errorf("%s: status %d, %s", path, a.status, a.text)
		}
	}
	if a := p.get(t, "/products/999999/views"); a.Views != 0 {
		t.Errorf("the views of what is not there are %s", a.text)
	}
}

// testViewsStay: what was gathered is written when the shop closes, and seen by another;
// while Redis is away products are shown, and the views say that they are not.
func testViewsStay(t *testing.T, bin string) {
	s := redistest.Private(t, redistest.Standalone)
	env := "REDIS_URL=" + s.URL()
	p := start(t, bin, env)
	for range 5 {
		p.get(t, "/products/9")
	}
	if code := p.stop(t, os.Interrupt); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	p = start(t, bin, env)
	if a := p.get(t, "/products/9/views"); a.Views != 5 {
		t.Errorf("after a restart the views are %s, want 5", a.text)
	}
	s.Kill(t)
	p.get(t, "/products/9")
	if a := p.ask(t, "GET", "/products/10/views", ""); a.status != http.StatusServiceUnavailable || a.Detail == "" {
		t.Errorf("without redis the views are %d, %s", a.status, a.text)
	}
	if code := p.stop(t, os.Interrupt); code != 0 {
		t.Errorf("exit code %d without redis, want 0", code)
	}
}

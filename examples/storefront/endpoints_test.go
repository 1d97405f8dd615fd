package main

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// testEndpoints goes through every promise of one process whose Redis works.
func testEndpoints(t *testing.T, p *program) {
	if got := p.get(t, "/healthz").text; got != "{\"status\":\"ok\"}\n" {
		t.Errorf("/healthz = %q", got)
	}
	t.Run("page", func(t *testing.T) {
		page := p.get(t, "/")
		if !strings.Contains(page.text, "<title>Freshet storefront</title>") || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("/ has headers %v and %.200q", page.header, page.text)
		}
		for path, kind := range map[string]string{"/assets/app.js": "text/javascript", "/assets/style.css": "text/css"} {
			if got := p.get(t, path).header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
				t.Errorf("%s is %q, want %s", path, got, kind)
			}
		}
	})
	t.Run("read", func(t *testing.T) { testRead(t, p) })
	t.Run("edit", func(t *testing.T) { testEdit(t, p) })
	t.Run("one load", func(t *testing.T) {
		before := p.get(t, "/stats").Queries
		put(t, p, 11, "Read by many")
		if got := together(t, "/products/11", 50, p); got["db"] != 1 || got["cache"] != 49 {
			t.Errorf("the sources of 50 reads at once: %v, want one db", got)
		}
		if got := p.get(t, "/stats").Queries - before; got != 1 {
			t.Errorf("50 reads at once ran %d queries, want 1", got)
		}
	})
	t.Run("not found", func(t *testing.T) {
		before := p.get(t, "/stats").Queries
		for range 2 {
			a := p.ask(t, "GET", "/products/999999", "")
			if a.status != http.StatusNotFound || a.header.Get("Content-Type") != "application/problem+json" || a.Detail == "" {
				t.Errorf("status %d, %v, %s", a.status, a.header, a.text)
			}
		}
		if got := p.get(t, "/stats").Queries - before; got != 1 {
			t.Errorf("two reads of what is not there ran %d queries, want 1", got)
		}
	})
	t.Run("list", func(t *testing.T) {
		all := p.get(t, "/products")
		if all.Total != productCount || len(all.Products) != pageSize {
			t.Errorf("the list has %d of %d products", len(all.Products), all.Total)
		}
		linen := p.get(t, "/products?category=Stationery&q="+url.QueryEscape("LINEN notebook"))
		if linen.Total == 0 || linen.Total > 50 {
			t.Errorf("%d linen notebooks", linen.Total)
		}
		for _, x := range linen.Products {
			if x.Category != "Stationery" || !strings.Contains(x.Name, "Linen") || !strings.Contains(x.Name, "Notebook") {
				t.Errorf("a search for linen notebooks found %+v", x)
			}
		}
		if got := p.get(t, "/products?q="+url.QueryEscape("%")).Total; got != 0 {
			t.Errorf("%d names hold a per cent sign", got)
		}
		if last := p.get(t, "/products?page=250"); len(last.Products) != pageSize || last.Products[0].ID != productCount-pageSize+1 {
			t.Errorf("page 250 is %+v", last.Products)
		}
		if past := p.get(t, "/products?page=251"); past.Products == nil || len(past.Products) != 0 {
			t.Errorf("page 251 is %+v, want []", past.Products)
		}
	})
	t.Run("summarize", func(t *testing.T) {
		path := "/summarize?text=" + url.QueryEscape(sample)
		first, second := p.get(t, path), p.get(t, path)
		if first.Source != "computed" || second.Source != "cache" {
			t.Errorf("sources %q, %q, want computed, cache", first.Source, second.Source)
		}
		if want := summarize(sample); first.Summary != want || second.Summary != want {
			t.Errorf("summaries %q, %q, want %q", first.Summary, second.Summary, want)
		}
		if third := p.ask(t, "POST", "/summarize", sample); third.Source != "cache" || third.Summary != first.Summary {
			t.Errorf("by POST: %d %s", third.status, third.text)
		}
		if other := p.get(t, path+"Bees."); other.Source != "computed" {
			t.Errorf("another text has source %q", other.Source)
		}
	})
	t.Run("views", func(t *testing.T) { testViews(t, p) })
	t.Run("bad input", func(t *testing.T) { testBadInput(t, p) })
	t.Run("sessions", func(t *testing.T) { testSessions(t, p) })
	t.Run("orders", func(t *testing.T) { testOrders(t, p) })
	if stats := p.get(t, "/stats"); stats.Cache["Loads"] == 0 || stats.Cache["Hits"] == 0 || stats.Cache["Unavailable"] > 0 || stats.Cache["Corrupt"] > 0 {
		t.Errorf("stats: %s", stats.text)
	}
}

func testRead(t *testing.T, p *program) {
	first := p.get(t, "/products/42")
	second := p.get(t, "/products/42")
	if first.Source != "db" || second.Source != "cache" {
		t.Errorf("sources %q, %q, want db, cache", first.Source, second.Source)
	}
	took := second.TookMS
	for range 9 { // one may be held up by others
		took = min(took, p.get(t, "/products/42").TookMS)
	}
	if took >= first.TookMS {
		t.Errorf("the first read took %v ms, the quickest later one %v ms", first.TookMS, took)
	}
	if a, b := fmt.Sprintf("%+v", first.Product), fmt.Sprintf("%+v", second.Product); a != b {
		t.Errorf("the cache changed the product:\n%s\n%s", a, b)
	}
	x := first.Product
	var units int64
	for _, n := range x.Sales.Quarters {
		units += n
	}
	if x.ID != 42 || x.Name == "" || x.Category == "" || len(x.Together) == 0 || units != x.Sales.Units ||
		x.Sales.Rank < 1 || x.Sales.Rank > x.Sales.RankOf || x.Sales.Orders > x.Sales.Units || x.Sales.AverageOrderCents <= 0 {
		t.Errorf("an odd product: %+v", x)
	}
	if strings.Contains(first.text, "oadedFor") || first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v, body %s", first.header, first.text)
	}
}

// put renames a product and checks that it is so at once.
func put(t *testing.T, p *program, id int, name string) answer {
	t.Helper()
	a := p.ask(t, "PUT", "/products/"+strconv.Itoa(id), fmt.Sprintf(`{"name":%q,"price_cents":1234,"stock":5}`, name))
	if a.status != http.StatusOK || a.Product.Name != name || a.Product.PriceCents != 1234 || a.Product.Stock != 5 {
		t.Errorf("PUT %q: status %d, %s", name, a.status, a.text)
	}
	return a
}

func testEdit(t *testing.T, p *program) {
	old, neighbour := mentioned(t, p)
	path := "/products/" + strconv.FormatInt(old.ID, 10)
	for i := range 20 {
		name := "Edited " + strconv.Itoa(i)
		p.get(t, path) // now it is in the cache
		p.get(t, neighbour)
		if a := put(t, p, int(old.ID), name); a.Warning != "" {
			t.Errorf("warning %q", a.Warning)
		}
		first, second := p.get(t, path), p.get(t, path)
		if first.Product.Name != name || first.Source != "db" || first.Product.PriceCents != 1234 || first.Product.Stock != 5 {
			t.Fatalf("the first read after edit %d: %s", i, first.text)
		}
		if second.Product.Name != name || second.Source != "cache" {
			t.Fatalf("the second read after edit %d: %s", i, second.text)
		}
		// A page that shows the name in its "bought together" follows.
		if next := p.get(t, neighbour); !mentions(next.Product, old.ID, name) {
			t.Fatalf("after edit %d its neighbour does not mention the new name: %s", i, next.text)
		}
	}
	if list := p.get(t, "/products?q="+url.QueryEscape("Edited 19")); list.Total != 1 || list.Products[0].ID != old.ID {
		t.Errorf("the list after the edit: %s", list.text)
	}
}

// mentioned finds a product and the path of another on whose page it is named.
func mentioned(t *testing.T, p *program) (ProductPage, string) {
	t.Helper()
	for id := 10; id < 100; id++ {
		product := p.get(t, "/products/"+strconv.Itoa(id)).Product
		for _, b := range product.Together {
			path := "/products/" + strconv.FormatInt(b.ID, 10)
			if mentions(p.get(t, path).Product, product.ID, product.Name) {
				return product, path
			}
		}
	}
	t.Fatal("no page mentions another product")
	return ProductPage{}, ""
}

func mentions(page ProductPage, id int64, name string) bool {
	return slices.ContainsFunc(page.Together, func(b Pairing) bool { return b.ID == id && b.Name == name })
}

func testBadInput(t *testing.T, p *program) {
	const good = `{"name":"A","price_cents":1,"stock":1}`
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/products/abc", "", 400},
		{"GET", "/products/0", "", 400},
		{"GET", "/products/-1", "", 400},
		{"GET", "/products/99999999999999999999", "", 400},
		{"GET", "/products?page=0", "", 400},
		{"GET", "/products?page=x", "", 400},
		{"GET", "/products?q=" + strings.Repeat("a", 201), "", 400},
		{"GET", "/summarize", "", 400},
		{"GET", "/summarize?text=", "", 400},
		{"GET", "/summarize?text=%20%0a", "", 400},
		{"GET", "/summarize?text=%ff", "", 400},
		{"GET", "/summarize?text=" + strings.Repeat("a", maxTextBytes+1), "", 413},
		{"POST", "/summarize", strings.Repeat("a", maxTextBytes+2), 413},
		{"PUT", "/products/x", good, 400},
		{"PUT", "/products/999999", good, 404},
		{"PUT", "/products/9", "", 415},
		{"PUT", "/products/9", "{", 400},
		{"PUT", "/products/9", "[]", 400},
		{"PUT", "/products/9", good + "{}", 400},
		{"PUT", "/products/9", `{"name":"A","price_cents":1}`, 400},
		{"PUT", "/products/9", `{"name":" ","price_cents":1,"stock":1}`, 400},
		{"PUT", "/products/9", `{"name":"a\nb","price_cents":1,"stock":1}`, 400},
		{"PUT", "/products/9", `{"name":"A","price_cents":1.5,"stock":1}`, 400},
		{"PUT", "/products/9", `{"name":"A","price_cents":-1,"stock":1}`, 400},
		{"PUT", "/products/9", `{"name":"A","price_cents":1,"stock":-1}`, 400},
		{"PUT", "/products/9", `{"name":"A","price_cents":1,"stock":1,"admin":true}`, 400},
		{"PUT", "/products/9", `{"name":"` + strings.Repeat("A", 121) + `","price_cents":1,"stock":1}`, 400},
		{"PUT", "/products/9", `{"name":"` + strings.Repeat("A", maxEditBytes) + `"}`, 413},
	} {
		a := p.ask(t, tt.method, tt.path, tt.body)
		if a.status != tt.want || a.header.Get("Content-Type") != "application/problem+json" || a.Detail == "" {
			t.Errorf("%s %.60s %.60s: status %d, want %d: %s", tt.method, tt.path, tt.body, a.status, tt.want, a.text)
		}
		for _, leak := range []string{"json:", "sql", "strconv", "cache:", ".go"} {
			if strings.Contains(strings.ToLower(a.text), leak) {
				t.Errorf("%s %.60s: the answer shows its insides: %s", tt.method, tt.path, a.text)
			}
		}
	}
	for path, want := range map[string]int{"/nothing": 404, "/assets/none.js": 404, "/assets/../main.go": 404} {
		if got := p.ask(t, "GET", path, ""); got.status != want {
			t.Errorf("GET %s: status %d, want %d", path, got.status, want)
		}
	}
	if got := p.ask(t, "DELETE", "/products/9", "").status; got != http.StatusMethodNotAllowed {
		t.Errorf("DELETE /products/9: status %d", got)
	}

	req, err := http.NewRequest("PUT", p.url+"/products/9", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("an edit from another site's page: status %d", res.StatusCode)
	}
}

// testTwoProcesses shares one database and one Redis between two processes.
func testTwoProcesses(t *testing.T, bin string) {
	redisURL := "REDIS_URL=" + redistest.Private(t, redistest.Standalone).URL()
	file := "-db=" + filepath.Join(t.TempDir(), "shop.db")
	a := start(t, bin, redisURL, file)
	b := start(t, bin, redisURL, file)
	if first, second := a.get(t, "/products/5"), b.get(t, "/products/5"); first.Source != "db" || second.Source != "cache" {
		t.Errorf("sources %q in one process, then %q in the other, want db, cache", first.Source, second.Source)
	}
	for i := range 10 {
		name := "Edited in one process " + strconv.Itoa(i)
		put(t, a, 5, name)
		if got := b.get(t, "/products/5"); got.Product.Name != name {
			t.Fatalf("the other process shows %q after %q was saved", got.Product.Name, name)
		}
		before := a.get(t, "/stats").Queries + b.get(t, "/stats").Queries
		put(t, b, 5, name+" and the other")
		if got := together(t, "/products/5", 50, a, b); got["db"] != 1 || got["cache"] != 49 {
			t.Fatalf("the sources of 50 reads at two processes: %v, want one db", got)
		}
		if got := a.get(t, "/stats").Queries + b.get(t, "/stats").Queries - before; got != 1 {
			t.Fatalf("50 reads at two processes ran %d queries, want 1", got)
		}
	}
}

// testRedisGoesAway kills the server and brings it back.
func testRedisGoesAway(t *testing.T, bin string) {
	server := redistest.Private(t, redistest.Standalone)
	p := start(t, bin, "REDIS_URL="+server.URL())
	p.get(t, "/products/3")
	if got := p.get(t, "/products/3").Source; got != "cache" {
		t.Fatalf("source %q, want cache", got)
	}
	server.Kill(t)
	for i := range 5 {
		began := time.Now()
		if got := p.get(t, "/products/3"); got.Source != "db" {
			t.Errorf("read %d without Redis has source %q", i, got.Source)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("read %d without Redis took %v", i, took)
		}
	}
	if got := together(t, "/products/4", 50, p); got["db"] == 0 || got["db"]+got["cache"] != 50 {
		t.Errorf("the sources of 50 reads without Redis: %v", got)
	}
	if a := put(t, p, 3, "Edited without Redis"); a.Warning == "" || !strings.Contains(a.Warning, "Saved") {
		t.Errorf("an edit that the cache was not told about has warning %q", a.Warning)
	}
	if got := p.get(t, "/products/3"); got.Product.Name != "Edited without Redis" {
		t.Errorf("after it, product 3 is %q", got.Product.Name)
	}
	if got := p.get(t, "/healthz").status; got != http.StatusOK {
		t.Errorf("/healthz without Redis: %d", got)
	}
	server.Restart(t)
	poll(t, 10*time.Second, "reads come from the cache again", func() bool {
		got := p.get(t, "/products/3")
		if got.Product.Name != "Edited without Redis" {
			t.Fatalf("after the restart product 3 is %q", got.Product.Name)
		}
		return got.Source == "cache"
	})
	put(t, p, 3, "Edited afterwards")
	if got := p.get(t, "/products/3"); got.Product.Name != "Edited afterwards" {
		t.Errorf("after that, product 3 is %q", got.Product.Name)
	}
}

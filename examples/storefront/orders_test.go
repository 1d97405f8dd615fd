package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

func ordering(id string, total int64) string {
	return fmt.Sprintf(`{"id":%q,"total_cents":%d}`, id, total)
}

func bestsellers(t *testing.T, p *program) []Bestseller {
	t.Helper()
	var body struct{ Products []Bestseller }
	if a := p.get(t, "/bestsellers"); json.Unmarshal([]byte(a.text), &body) != nil {
		t.Errorf("GET /bestsellers: %s", a.text)
	}
	return body.Products
}

// testOrders buys something, and looks for it in the lists.
func testOrders(t *testing.T, p *program) {
	midWeek(t)
	const product = 2500
	v := newVisitor(t, p, desktop)
	for method, path := range map[string]string{"POST": "/orders", "GET": "/ranking"} {
		if a := v.ask(p, method, path, ""); a.status != http.StatusUnauthorized || a.Detail == "" {
			t.Errorf("%s %s without a login: status %d, %s", method, path, a.status, a.text)
		}
	}
	v.login(p, demoAccounts[1])
	if a := v.must(p, "GET", "/ranking", ""); !strings.Contains(a.text, `"customers":[]`) || a.Rank != 0 || a.Total == 0 {
		t.Errorf("before an order the ranking is %s", a.text)
	}
	if a := p.ask(t, "PUT", "/products/2500", `{"name":"A popular thing","price_cents":1010,"stock":90}`); a.status != http.StatusOK {
		t.Fatalf("PUT: %d %s", a.status, a.text)
	}
	for _, c := range []struct {
		body string
		want int
	}{
		{"", 415}, {"{", 400}, {"[]", 400}, {`{"id":"0123456789abcdef"}`, 400}, {`{"total_cents":1}`, 400},
		{ordering("too-short", 1), 400}, {ordering(strings.Repeat("x", 65), 1), 400}, {ordering("no spaces in an id", 1), 400},
		{`{"id":"0123456789abcdef","total_cents":1.5}`, 400}, {`{"id":"0123456789abcdef","total_cents":1,"user":"ada"}`, 400},
		{ordering(strings.Repeat("x", maxFormBytes), 1), 413}, {ordering("order-of-nothing", 0), 409},
	} {
		a := v.ask(p, "POST", "/orders", c.body)
		if a.status != c.want || a.header.Get("Content-Type") != "application/problem+json" || a.Detail == "" {
			t.Errorf("POST /orders %.60s: status %d, want %d: %s", c.body, a.status, c.want, a.text)
		}
	}

	v.must(p, "POST", "/cart", adding(product, 91))
	if a := v.ask(p, "POST", "/orders", ordering("too-many-of-them", 91*1010)); a.status != http.StatusConflict ||
		a.Detail != "Of “A popular thing” there are 90 left, and not 91." {
		t.Errorf("an order of more than there are: status %d, %s", a.status, a.text)
	}
	v.must(p, "POST", "/cart", adding(product, -11))
	if a := v.ask(p, "POST", "/orders", ordering("old-price-of-them", 80*1000)); a.status != http.StatusConflict ||
		!strings.Contains(a.Detail, "costs 808.00 now") {
		t.Errorf("an order at another price: status %d, %s", a.status, a.text)
	}
	if got := p.get(t, "/products/2500").Product.Stock; got != 90 {
		t.Errorf("after orders that were refused %d are left of 90", got)
	}
	news := hear(t, p, "")
	const id = "the-order-of-them"
	first := v.ask(p, "POST", "/orders", ordering(id, 80*1010))
	if first.status != http.StatusCreated || first.Warning != "" || first.Order.TotalCents != 80*1010 || len(first.Order.Lines) != 1 ||
		first.Order.Lines[0] != (OrderLine{product, "A popular thing", 80, 1010}) || time.Since(first.Order.Placed).Abs() > time.Hour {
		t.Errorf("the order: status %d, %s", first.status, first.text)
	}
	// It is as good as new to who has not got the answer.
	if again := v.must(p, "POST", "/orders", ordering(id, 80*1010)); again.text != first.text {
		t.Errorf("asked again, the order is %s, and was %s", again.text, first.text)
	}
	for range 2 { // as often as it was asked for: nobody knows which answers arrive
		if e := news.next(); e.Number != first.Order.Number {
			t.Errorf("order %d was placed, and browsers are told of %+v", first.Order.Number, e)
		}
	}
	if a := v.must(p, "GET", "/session", ""); cart(a) != "" {
		t.Errorf("after the order the cart is %s", cart(a))
	}
	if got := p.get(t, "/products/2500"); got.Product.Stock != 10 {
		t.Errorf("after the order the product is %s", got.text)
	}
	top := bestsellers(t, p)
	if len(top) != bestsellersShown || top[0].Rank != 1 || top[0].Product.ID != product || top[0].Sold < 80 || top[1].Sold >= 80 {
		t.Errorf("the best sellers are %+v", top)
	}
	me := v.must(p, "GET", "/ranking", "")
	i := slices.IndexFunc(me.Customers, func(r Ranked) bool { return r.You })
	if len(me.Customers) != customersShown || i < 0 || me.Customers[i] != (Ranked{me.Rank, "Grace Murray", "New York", 80 * 1010, true}) || me.Rank == 0 {
		t.Errorf("the ranking is %s", me.text)
	}
	for j, r := range me.Customers {
		if j > 0 && r.SpentCents > me.Customers[j-1].SpentCents || r.Name == "" || j != i && !strings.HasSuffix(r.Name, ".") {
			t.Errorf("row %d of the ranking: %+v", j, r)
		}
	}
}

// testOrdersAtOnce has two processes asked for the same at once.
func testOrdersAtOnce(t *testing.T, bin string) {
	here, there := two(t, bin)
	ps := []*program{here, there}
	ada, grace := newVisitor(t, ps[0], desktop), newVisitor(t, ps[0], phone)
	ada.login(ps[0], demoAccounts[0])
	grace.login(ps[1], demoAccounts[1])
	stock := func(n int) {
		t.Helper()
		if a := ps[0].ask(t, "PUT", "/products/5", fmt.Sprintf(`{"name":"Wanted","price_cents":700,"stock":%d}`, n)); a.status != http.StatusOK {
			t.Fatalf("PUT: %d %s", a.status, a.text)
		}
	}
	// atOnce asks ten times, and returns the answers by status.
	atOnce := func(id func(i int) string, who func(i int) *visitor, total int64) map[int][]answer {
		t.Helper()
		var mu sync.Mutex
		got := make(map[int][]answer)
		redistest.Together(10, func(i int) {
			a := who(i).ask(ps[i%2], "POST", "/orders", ordering(id(i), total))
			mu.Lock()
			defer mu.Unlock()
			got[a.status] = append(got[a.status], a)
		})
		return got
	}
	isAda := func(int) *visitor { return ada }
	left := func(want int64) {
		t.Helper()
		if got := ps[1].get(t, "/products/5").Product.Stock; got != want {
			t.Errorf("%d are left, want %d", got, want)
		}
	}

	// Many tabs order one cart, each under its own id.
	stock(10)
	ada.must(ps[0], "POST", "/cart", adding(5, 3))
	got := atOnce(func(i int) string { return fmt.Sprintf("many-tabs-one-cart-%d", i) }, isAda, 2100)
	if len(got[http.StatusCreated]) != 1 || len(got[http.StatusConflict]) != 9 {
		t.Errorf("many tabs order one cart: %v", got)
	}
	left(7)
	if a := ada.must(ps[1], "GET", "/session", ""); cart(a) != "" {
		t.Errorf("afterwards the cart is %s", cart(a))
	}

	// One tab asks many times.
	ada.must(ps[0], "POST", "/cart", adding(5, 3))
	got = atOnce(func(int) string { return "one-tab-many-times" }, isAda, 2100)
	if len(got[http.StatusCreated]) != 1 || len(got[http.StatusOK]) != 9 {
		t.Errorf("one order many times: %v", got)
	}
	for _, a := range got[http.StatusOK] {
		if a.Order.Number != got[http.StatusCreated][0].Order.Number {
			t.Errorf("one order many times: %s", a.text)
		}
	}
	left(4)
	grace.must(ps[0], "POST", "/cart", adding(5, 1))
	if a := grace.ask(ps[0], "POST", "/orders", ordering("one-tab-many-times", 700)); a.status != http.StatusConflict || strings.Contains(a.text, "lines") {
		t.Errorf("another customer's order: status %d, %s", a.status, a.text)
	}

	// Two customers want the last one.
	stock(1)
	ada.must(ps[0], "POST", "/cart", adding(5, 1))
	got = atOnce(func(i int) string { return []string{"the-last-one-for-ada", "the-last-one-for-grace"}[i%2] },
		func(i int) *visitor { return []*visitor{ada, grace}[i%2] }, 700)
	if len(got[http.StatusCreated]) != 1 || len(got[http.StatusOK]) != 4 || len(got[http.StatusConflict]) != 5 {
		t.Errorf("two customers want the last one: %v", got)
	}
	for _, a := range got[http.StatusConflict] {
		if a.Detail != "Of “Wanted” there are 0 left, and not 1." {
			t.Errorf("who comes too late reads %s", a.text)
		}
	}
	left(0)
}

// What another tab does meanwhile is not lost when the order is taken out of the cart.
func TestOrderedLeavesTheRest(t *testing.T) {
	v := visit{CartName: "a"}
	for _, l := range [][2]int64{{1, 5}, {2, 1}, {3, 2}} {
		if err := v.add(l[0], l[1]); err != nil {
			t.Fatal(err)
		}
	}
	o := &Order{cart: "a", Lines: []OrderLine{{Product: 1, Quantity: 3}, {Product: 2, Quantity: 2}, {Product: 4, Quantity: 1}}}
	v.ordered(o)
	v.ordered(o) // it is taken out once
	if got := fmt.Sprint(v.Cart) + v.CartName; got != "[{1 2} {3 2}]" {
		t.Errorf("the cart is %s", got)
	}
}

func TestWeek(t *testing.T) {
	for day, want := range map[string]string{
		"2026-11-22T23:59:59Z":      "2026-11-16",
		"2026-11-23T00:00:00Z":      "2026-11-23",
		"2026-11-23T00:30:00+01:00": "2026-11-16",
		"2026-11-29T12:00:00Z":      "2026-11-23",
		"2027-01-01T00:00:00Z":      "2026-12-28",
	} {
		at, err := time.Parse(time.RFC3339, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := weekOf(at).Format(time.DateOnly); got != want {
			t.Errorf("the week of %s began on %s, want %s", day, got, want)
		}
		days := make([]int, orderCount)
		for i := range days {
			days[i] = i * orderDays / orderCount
		}
		times := orderTimes(days, at)
		this, _ := slices.BinarySearchFunc(times, weekOf(at), time.Time.Compare)
		if !slices.IsSortedFunc(times, time.Time.Compare) || times[len(times)-1].After(at) || len(times)-this != thisWeek {
			t.Errorf("at %s, %d orders are of this week, the last of %v", day, len(times)-this, times[len(times)-1])
		}
	}
}

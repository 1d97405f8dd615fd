package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A stream is what a browser hears at GET /events.
type stream struct {
	t     *testing.T
	heard chan told // closed when the stream has ended
	body  io.Closer
}

type told struct {
	id, name string
	OrderNews
}

// hear listens from now on, or from after the event with this id.
func hear(t *testing.T, p *program, after string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := (&http.Client{Transport: p.client.Transport}).Do(req) // without a timeout
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" || res.Header.Get("RateLimit") == "" {
		t.Fatalf("GET /events: status %d, %v", res.StatusCode, res.Header)
	}
	s := &stream{t: t, heard: make(chan told, 100), body: res.Body}
	begun := make(chan struct{}) // there is an id to go on from
	go func() {
		defer close(s.heard)
		begin := sync.OnceFunc(func() { close(begun) })
		defer begin()
		var e told
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e.OrderNews); err != nil {
					t.Errorf("an event says %q", value)
				}
			case "":
				begin()
				if e.name != "" {
					s.heard <- e
				}
				e = told{}
			}
		}
	}()
	<-begun
	return s
}

// next is the next event, which is an order.
func (s *stream) next() told {
	s.t.Helper()
	select {
	case e, ok := <-s.heard:
		if !ok || e.name != "order" {
			s.t.Fatalf("heard %+v, %t instead of an order", e, ok)
		}
		return e
	case <-time.After(20 * time.Second):
		s.t.Fatal("no order was heard of")
		panic("unreachable")
	}
}

var orderNames struct {
	sync.Mutex
	n int
}

// buy orders one piece of a product for who is logged in, and returns the order's number.
func (v *visitor) buy(p *program, product int) int64 {
	v.t.Helper()
	orderNames.Lock()
	orderNames.n++
	name := "order-to-be-told-of-" + strconv.Itoa(orderNames.n)
	orderNames.Unlock()
	a := v.must(p, "POST", "/cart", adding(product, 1))
	a = v.ask(p, "POST", "/orders", ordering(name, a.Cart.TotalCents))
	if a.status != http.StatusCreated || a.Warning != "" {
		v.t.Fatalf("POST /orders: status %d, %s", a.status, a.text)
	}
	return a.Order.Number
}

// two starts two programs on one Redis and one database.
func two(t *testing.T, bin string) (a, b *program) {
	t.Helper()
	flags := []string{"REDIS_URL=" + redistest.Private(t, redistest.Standalone).URL(), "-db=" + filepath.Join(t.TempDir(), "shop.db")}
	return start(t, bin, flags...), start(t, bin, flags...)
}

// testLive orders at one program what is heard of at another.
func testLive(t *testing.T, bin string) {
	here, there := two(t, bin)
	s := hear(t, here, "")
	ada := newVisitor(t, there, desktop)
	ada.login(there, demoAccounts[0])
	first := ada.buy(there, 7)
	e := s.next()
	if e.Number != first || e.City != "London" || len(e.Lines) != 1 || e.Lines[0].Product != 7 || e.Lines[0].Name == "" || e.Lines[0].Quantity != 1 ||
		time.Since(e.Placed).Abs() > time.Hour {
		t.Errorf("order %d is told of as %+v", first, e)
	}
	if second := ada.buy(here, 8); s.next().Number != second {
		t.Errorf("order %d is not what is told next", second)
	}

	// What is ordered while nobody listens is heard by who comes back, wherever to.
	if err := s.body.Close(); err != nil {
		t.Error(err)
	}
	missed := []int64{ada.buy(there, 9), ada.buy(here, 10)}
	for _, p := range []*program{there, here} {
		again := hear(t, p, e.id)
		var got []int64
		for range 3 {
			got = append(got, again.next().Number)
		}
		if !slices.Equal(got[1:], missed) {
			t.Errorf("after order %d these are told: %v, want the one that was heard since and %v", first, got, missed)
		}
	}
	if got := there.get(t, "/stats").text; !strings.Contains(got, `"browsers":{"Clients":1,`) {
		t.Errorf("the stats are %s", got)
	}

	if runtime.GOOS == "windows" {
		return // a process cannot be interrupted there
	}
	// Streams do not keep a program from ending.
	last := hear(t, here, "")
	if code := here.stop(t, os.Interrupt); code != 0 {
		t.Errorf("with browsers listening: exit code %d, want 0", code)
	}
	if e, ok := <-last.heard; ok {
		t.Errorf("at the end %+v is heard", e)
	}
}

// gate is the network between a browser and a program.
type gate struct {
	t    *testing.T
	addr string

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
}

func newGate(t *testing.T, p *program) *gate {
	t.Helper()
	g := &gate{t: t, addr: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	g.open(p)
	t.Cleanup(g.close)
	return g
}

// open lets connections through to a program.
func (g *gate) open(p *program) {
	g.t.Helper()
	var ln net.Listener
	poll(g.t, 10*time.Second, "the gate's port is free", func() bool {
		var err error
		ln, err = net.Listen("tcp", g.addr)
		return err == nil
	})
	g.mu.Lock()
	g.ln, g.addr = ln, ln.Addr().String()
	g.mu.Unlock()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go g.carry(c, strings.TrimPrefix(p.url, "http://"))
		}
	}()
}

func (g *gate) carry(c net.Conn, to string) {
	up, err := net.Dial("tcp", to)
	if err != nil {
		_ = c.Close()
		return
	}
	g.mu.Lock()
	if g.ln == nil {
		_ = c.Close()
		_ = up.Close()
	}
	g.conns[c], g.conns[up] = true, true
	g.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, up}, {up, c}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = c.Close(), up.Close()
		})
	}
	both.Wait()
	g.mu.Lock()
	delete(g.conns, c)
	delete(g.conns, up)
	g.mu.Unlock()
}

// close cuts all connections and takes no more.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln == nil {
		return
	}
	_ = g.ln.Close()
	g.ln = nil
	for c := range g.conns {
		_ = c.Close()
	}
}

// testLivePage looks at a page while orders are placed elsewhere, with a network that
// breaks, in a real browser with two tabs.
func testLivePage(t *testing.T, bin string) {
	tab := openBrowser(t)
	here, there := two(t, bin)
	network := newGate(t, here)
	complaints := tab.complaints()
	grace := newVisitor(t, there, phone)
	grace.login(there, demoAccounts[1])

	const isLive = `document.querySelector("#live .when").textContent.startsWith("Live")`
	shows := func(tab browserTab, orders ...int64) {
		t.Helper()
		var want []string
		for _, n := range slices.Backward(orders) {
			want = append(want, strconv.FormatInt(n, 10))
		}
		tab.until("the latest orders are "+strings.Join(want, ", "),
			`[...document.querySelectorAll("#live li")].map((li) => li.dataset.order).join() === "`+strings.Join(want, ",")+`"`)
	}
	tab.do("open the page", chromedp.Navigate("http://"+network.addr+"/"), chromedp.WaitVisible(chromedp.CSS("#live .when")))
	tab.until("it is live", isLive)
	orders := []int64{grace.buy(there, 21)}
	shows(tab, orders...)
	if got := tab.text("#live li"); !strings.Contains(got, "New York") {
		t.Errorf("the order is shown as %q", got)
	}

	ctx, cancel := chromedp.NewContext(tab.ctx)
	defer cancel()
	second := browserTab{t, ctx}
	second.do("open a second tab", chromedp.Navigate("http://"+network.addr+"/"), chromedp.WaitVisible(chromedp.CSS("#live .when")))
	complaintsToo := second.complaints()
	orders = append(orders, grace.buy(here, 22))
	shows(tab, orders...)
	shows(second, orders[1:]...)
	if got := here.get(t, "/stats").text; !strings.Contains(got, `"browsers":{"Clients":1,`) {
		t.Errorf("two tabs of a browser do not share a stream: %s", got)
	}

	// The network is away, and when it is back it leads to the other program.
	network.close()
	tab.until("it is out of touch", `document.querySelector("#live .when").textContent.startsWith("Out of touch")`)
	for range 3 {
		orders = append(orders, grace.buy(here, 23))
	}
	network.open(there)
	shows(tab, orders...)
	shows(second, orders[1:]...)
	tab.until("it is live again", isLive)

	// The tab that had the stream is closed.
	tab.do("look at a product of an order", chromedp.Click(chromedp.CSS("#live button")), chromedp.WaitVisible(chromedp.CSS(".detail h3")))
	tab.do("go elsewhere", chromedp.Navigate("about:blank"))
	orders = append(orders, grace.buy(here, 24))
	shows(second, orders[1:]...)

	for _, width := range []int64{390, 1200} {
		second.do("resize", chromedp.EmulateViewport(width, 844))
		if got, err := chromedp.Run(second.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil || got > width {
			t.Errorf("at a width of %d the page is %d wide, %v", width, got, err)
		}
	}
	second.close(complaintsToo, "net::ERR_")
	tab.close(complaints, "net::ERR_") // what the network has cut
}

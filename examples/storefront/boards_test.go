package main

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/leaderboard"
)

// midWeek waits for the next week if this one is about to end: what a test compares must be
// of one week.
func midWeek(t *testing.T) {
	t.Helper()
	if end := weekOf(time.Now()).AddDate(0, 0, 7); time.Until(end) < 2*time.Minute {
		time.Sleep(time.Until(end) + time.Second)
	}
}

// difference says what the boards in Redis have that is not in the database, or the
// other way round.
func difference(t *testing.T, b *boards) string {
	t.Helper()
	p, err := b.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const from = ` FROM orders o CROSS JOIN order_lines l ON l.order_id = o.id WHERE o.placed >= ? GROUP BY 1` // in this order
	for _, x := range []struct {
		board *leaderboard.Redis
		query string
	}{
		{p.products, `SELECT l.product_id, sum(l.quantity)` + from},
		{p.customers, `SELECT o.customer_id, sum(l.quantity * l.price_cents)` + from},
	} {
		want := make(map[string]int64)
		err := each(t.Context(), b.db.db, x.query, []any{weekOf(time.Now()).UnixMilli()}, func(rows *sql.Rows) error {
			var id, n int64
			err := rows.Scan(&id, &n)
			want[strconv.FormatInt(id, 10)] = n
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := valuesOf(x.board.All(t.Context()))
		if err != nil {
			return err.Error()
		}
		if len(want) == 0 {
			t.Fatal("nothing was sold this week: nothing is shown")
		}
		if !maps.Equal(got, want) {
			return fmt.Sprintf("the board has %d members, the database %d:\n%v\n%v", len(got), len(want), got, want)
		}
	}
	return ""
}

func valuesOf(entries iter.Seq2[leaderboard.Entry, error]) (map[string]int64, error) {
	values := make(map[string]int64)
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		values[e.Member] = e.Value
	}
	return values, nil
}

// newBoards are those of a process that does not catch up by itself.
func newBoards(rdb redis.UniversalClient, db *store) *boards {
	return &boards{rdb: rdb, db: db, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// persist catches up as the program does, which tries again: a busy machine may be too slow
// for the boards' patience.
func (b *boards) persist(t *testing.T) {
	t.Helper()
	err := b.catchUp(t.Context())
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
		t.Logf("count orders: %v", err)
		err = b.catchUp(t.Context())
	}
	if err != nil {
		t.Errorf("count orders: %v", err)
	}
}

func mustCatchUp(t *testing.T, b *boards, what string) {
	t.Helper()
	b.persist(t)
	if d := difference(t, b); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

// TestBoards counts the orders of one database, whatever has happened to the boards.
func TestBoards(t *testing.T) {
	midWeek(t)
	db, err := openStore(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.close() })
	do := func(query string, args ...any) {
		t.Helper()
		if _, err := db.db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	ref := 0
	order := func() {
		t.Helper()
		ref++
		name := fmt.Sprint("order ", ref)
		lines := []cartLine{{Product: int64(ref), Quantity: 1}}
		do(`UPDATE products SET stock = 9, price_cents = 100 WHERE id = ?`, ref)
		if _, _, err := db.placeOrder(t.Context(), purchase{user: "ada", ref: name, cart: name, lines: lines, total: 100}); err != nil {
			t.Fatal(err)
		}
	}
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		proxy := s.Proxy(t)
		a, b := newBoards(proxy.Client(t), db), newBoards(s.Client(t), db)

		// Two processes start at once.
		redistest.Together(4, func(i int) { []*boards{a, b}[i%2].persist(t) })
		mustCatchUp(t, a, "after the start of two processes")

		order()
		proxy.DropRepliesTo(redistest.Command("EVALSHA"), 1) // of whatever it is
		_ = a.catchUp(t.Context())
		mustCatchUp(t, b, "after a lost reply")

		order()
		mustCatchUp(t, a, "after an order")
		do(`UPDATE orders SET board = NULL WHERE placed >= ?`, weekOf(time.Now()).UnixMilli())
		before, err := b.current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mustCatchUp(t, b, "after a process that submitted, and died before it noted that")
		if now, err := b.current(t.Context()); err != nil || now.name != before.name || b.stats().Products.Duplicates == 0 {
			t.Errorf("they were not submitted again: %v", err)
		}

		// The OpIDs may be forgotten.
		do(`UPDATE orders SET board = NULL WHERE id IN (SELECT id FROM orders ORDER BY placed DESC LIMIT 5)`)
		do(`UPDATE orders SET placed = max(placed - ?, ?) WHERE id = (SELECT max(id) FROM orders)`, 2*opIDsLast.Milliseconds(), weekOf(time.Now()).UnixMilli())
		do(`UPDATE board SET since = since - ?`, 2*opIDsLast.Milliseconds())
		a, b = newBoards(a.rdb, db), newBoards(b.rdb, db)
		redistest.Together(4, func(i int) { []*boards{a, b}[i%2].persist(t) })
		mustCatchUp(t, a, "much later")
		if now, err := a.current(t.Context()); err != nil || now.name == before.name {
			t.Errorf("much later the boards are still the same, %v", err)
		}

		// One of them, as on one node of a cluster, and both.
		p, err := a.current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		customers, err := valuesOf(p.customers.All(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		for some := range slices.Chunk(slices.Collect(maps.Keys(customers)), 1000) {
			if _, err := p.customers.Remove(t.Context(), some...); err != nil {
				t.Fatal(err)
			}
		}
		mustCatchUp(t, b, "after one board was lost")
		s.Do(t, "FLUSHALL")
		order()
		mustCatchUp(t, a, "after both were lost")

		// What cannot be counted does not stand in the way of the others.
		if p, err = a.current(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		line := []cartLine{{Product: 2999, Quantity: 7}}
		err = p.count(t.Context(), []sale{
			{order: 1_000_001, customer: 1_000_001, placed: now.AddDate(0, 0, -14), lines: line, cents: 5},
			{order: 1_000_002, customer: 1_000_002, placed: now, lines: line, cents: 1 << 41},
			{order: 1_000_003, customer: 1_000_003, placed: now, lines: line, cents: 6},
		})
		got, getErr := p.customers.Get(t.Context(), "1000001", "1000002", "1000003")
		if err != nil || getErr != nil || len(got.Entries) != 1 || got.Entries[0].Value != 6 {
			t.Errorf("a sale that is too late, one that is too large, and one more: %v, %v, %v", got, err, getErr)
		}
	})
}

// testBoardsCatchUp takes Redis away in the middle of an order.
func testBoardsCatchUp(t *testing.T, bin string) {
	midWeek(t)
	server := redistest.Private(t, redistest.Standalone)
	file := filepath.Join(t.TempDir(), "shop.db")
	p := start(t, bin, "REDIS_URL="+server.URL(), "-db="+file, "-session-wait=1s")
	db, err := openStore(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.close() }()
	boards := newBoards(server.Client(t), db)
	v := newVisitor(t, p, desktop)
	v.login(p, demoAccounts[0])

	// during does something while an order waits for the database.
	during := func(id string, total int64, f func()) (a answer) {
		t.Helper()
		lock, err := db.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lock.Close() }()
		saved := p.get(t, "/stats").Sessions["Saved"]
		if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		var asked sync.WaitGroup
		asked.Go(func() { a = v.ask(p, "POST", "/orders", ordering(id, total)) })
		poll(t, 20*time.Second, "the cart has its name", func() bool { return p.get(t, "/stats").Sessions["Saved"] > saved })
		f()
		if _, err := lock.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		asked.Wait()
		return a
	}
	match := func(what string) {
		t.Helper()
		d := ""
		poll(t, 20*time.Second, what, func() bool {
			d = difference(t, boards)
			return d == ""
		})
	}

	put(t, p, 2001, "Bought without Redis")
	const id = "an-order-without-redis"
	total := v.must(p, "POST", "/cart", adding(2001, 2)).Cart.TotalCents
	first := during(id, total, func() { server.Pause(t) })
	if first.status != http.StatusCreated || first.Order.TotalCents != total || first.Warning == "" {
		t.Errorf("an order while Redis is hung: status %d, %s", first.status, first.text)
	}
	for _, path := range []string{"/bestsellers", "/ranking"} {
		if a := v.ask(p, "GET", path, ""); a.status != http.StatusServiceUnavailable || a.Detail == "" {
			t.Errorf("GET %s while Redis is hung: status %d, %s", path, a.status, a.text)
		}
	}
	server.Resume(t)
	match("the order is counted")
	// The cart may be full still, or not.
	poll(t, 20*time.Second, "sessions are there again", func() bool { return v.ask(p, "GET", "/session", "").status == http.StatusOK })
	if a := v.ask(p, "POST", "/orders", ordering("another-id-for-the-same-cart", total)); a.status != http.StatusConflict {
		t.Errorf("another order of the same cart: status %d, %s", a.status, a.text)
	}
	if a := v.must(p, "GET", "/session", ""); cart(a) != "" {
		t.Errorf("afterwards the cart is %s", cart(a))
	}
	if a := v.must(p, "POST", "/orders", ordering(id, total)); a.Order.Number != first.Order.Number {
		t.Errorf("asked again, the order is %s, and was %s", a.text, first.text)
	}

	// This server forgets everything when it is killed.
	total = v.must(p, "POST", "/cart", adding(2001, 1)).Cart.TotalCents
	if a := during("an-order-before-a-restart", total, func() { server.Kill(t) }); a.status != http.StatusCreated || a.Warning == "" {
		t.Errorf("an order while Redis is gone: status %d, %s", a.status, a.text)
	}
	server.Restart(t)
	match("all orders are counted again")
}

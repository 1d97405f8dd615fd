package main

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"time"
)

//go:embed schema.sql
var schema string

const (
	productCount  = 3000
	customerCount = 4000
	orderCount    = 50000
	orderDays     = 730
	thisWeek      = 300 // of the orders
)

// seed creates the tables and fills them. Every run makes the same shop, so
// that product 42 is the same product tomorrow.
func seed(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	rng := rand.New(rand.NewPCG(2026, 1))
	products := makeProducts(rng)
	ins := inserter{ctx: ctx, tx: tx}
	for i, d := range departments {
		ins.add("categories (id, name)", i+1, d.name)
	}
	for i, p := range products {
		ins.add("products (id, category_id, name, brand, description, price_cents, stock)",
			i+1, p.department+1, p.name, p.brand, p.description, p.price, p.stock)
	}
	first, last, towns := words(firstNames), words(lastNames), words(cities)
	for i := range customerCount {
		ins.add("customers (id, name, city)", i+1, pick(rng, first)+" "+pick(rng, last), pick(rng, towns))
	}
	if err := addAccounts(&ins); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	days := make([]int, orderCount)
	for i := range days {
		// The shop grows: later days get more orders.
		days[i] = max(rng.IntN(orderDays), rng.IntN(orderDays))
	}
	slices.Sort(days)
	placed := orderTimes(days, time.Now())
	for i, day := range days {
		ins.add("orders (id, customer_id, day, placed)", i+1, 1+min(rng.IntN(customerCount), rng.IntN(customerCount)), day, placed[i].UnixMilli())
	}
	ins.add("board (only, name, since)", 1, crand.Text(), time.Now().UnixMilli())
	addLines(&ins, rng, products)
	ins.flush()
	// Indexes are quicker to build at the end than to keep up while inserting.
	ins.exec(`CREATE INDEX lines_by_product ON order_lines (product_id, order_id)`)
	ins.exec(`CREATE INDEX products_by_category ON products (category_id)`)
	ins.exec(`CREATE INDEX orders_by_time ON orders (placed, board)`)
	ins.exec(`CREATE UNIQUE INDEX orders_by_ref ON orders (ref) WHERE ref IS NOT NULL`)
	ins.exec(`CREATE UNIQUE INDEX orders_by_cart ON orders (cart) WHERE cart IS NOT NULL`)
	ins.exec(`PRAGMA user_version = ` + schemaVersion)
	if ins.err != nil {
		return ins.err
	}
	return tx.Commit()
}

// orderTimes are when orders of these days, which ascend, were placed. The last ones are
// spread over this week, however young it is: a shop should have something to show on a
// Monday morning.
func orderTimes(days []int, now time.Time) []time.Time {
	week := weekOf(now)
	before := len(days) - thisWeek
	times := make([]time.Time, len(days))
	for i, day := range days {
		times[i] = week.AddDate(0, 0, day-orderDays)
		if i >= before {
			times[i] = week.Add(now.Sub(week) / thisWeek * time.Duration(i-before))
		}
	}
	return times
}

type product struct {
	department               int
	name, brand, description string
	price, stock             int
	weight                   float64 // how often it is bought
	companions               []int   // what is often bought with it
}

func makeProducts(rng *rand.Rand) []product {
	seen := map[string]bool{}
	var all []product
	for len(all) < productCount {
		d := len(all) % len(departments)
		dep := departments[d]
		f := dep.families[rng.IntN(len(dep.families))]
		brand, material := pick(rng, words(dep.brands)), pick(rng, words(f.materials))
		noun, variant := pick(rng, words(f.nouns)), pick(rng, words(f.variants))
		name := strings.NewReplacer("{brand}", brand, "{material}", material, "{noun}", noun, "{variant}", variant).Replace(f.pattern)
		if seen[name] {
			continue
		}
		seen[name] = true
		units := f.low + int(float64(f.high-f.low)*rng.Float64()*rng.Float64())
		p := product{
			department: d, name: name, brand: brand,
			description: describe(rng, d, brand, material, noun),
			price:       units*100 + pick(rng, []int{0, 0, 50, 90, 95}),
			stock:       rng.IntN(180),
			// A few products sell a lot, most sell a little.
			weight: 1 / (0.04 + rng.Float64()),
		}
		if rng.IntN(20) == 0 {
			p.stock = 0
		}
		all = append(all, p)
	}
	for i := range all {
		for range 4 {
			step := len(departments) * (1 + rng.IntN(12))
			all[i].companions = append(all[i].companions, (i+step)%len(all))
		}
	}
	return all
}

func describe(rng *rand.Rand, d int, brand, material, noun string) string {
	about := pick(rng, words(departments[d].about))
	if departments[d].name == "Books" {
		return "By " + brand + ". " + about
	}
	opening := pick(rng, []string{"%s %s from %s.", "Our %s %s, made by %s.", "The %s %s by %s."})
	s := fmt.Sprintf(opening, strings.ToLower(material), strings.ToLower(noun), brand)
	return strings.ToUpper(s[:1]) + s[1:] + " " + about
}

// addLines fills the orders. Who buys a thing often buys its companions too,
// so "bought together" has something to find.
func addLines(ins *inserter, rng *rand.Rand, products []product) {
	cumulative := make([]float64, len(products))
	total := 0.0
	for i, p := range products {
		total += p.weight
		cumulative[i] = total
	}
	for order := range orderCount {
		var basket []int
		for range 1 + min(rng.IntN(4), rng.IntN(4)) {
			i := sort.SearchFloat64s(cumulative, rng.Float64()*total)
			basket = append(basket, i)
			for _, c := range products[i].companions {
				if rng.IntN(6) == 0 {
					basket = append(basket, c)
				}
			}
		}
		slices.Sort(basket)
		for _, i := range slices.Compact(basket) {
			paid := products[i].price
			if rng.IntN(5) == 0 {
				paid = paid * 85 / 100 // it was on sale that day
			}
			ins.add("order_lines (order_id, product_id, quantity, price_cents)", order+1, i+1, 1+rng.IntN(6)/4, paid)
		}
	}
}

// inserter writes rows a hundred at a time, which is several times quicker
// than one by one. Its first error stops it.
type inserter struct {
	ctx  context.Context
	tx   *sql.Tx
	err  error
	into string
	rows int
	args []any
	stmt *sql.Stmt // for a full batch into this table
}

const batch = 100

func (w *inserter) add(into string, row ...any) {
	if into != w.into {
		w.flush()
		w.into, w.stmt = into, nil
	}
	w.args = append(w.args, row...)
	w.rows++
	if w.rows == batch {
		w.flush()
	}
}

func (w *inserter) flush() {
	if w.rows == 0 || w.err != nil {
		return
	}
	row := "(?" + strings.Repeat(",?", len(w.args)/w.rows-1) + ")"
	query := "INSERT INTO " + w.into + " VALUES " + row + strings.Repeat(","+row, w.rows-1)
	if w.rows < batch {
		w.exec(query, w.args...)
	} else {
		if w.stmt == nil {
			if w.stmt, w.err = w.tx.PrepareContext(w.ctx, query); w.err != nil {
				return
			}
		}
		_, w.err = w.stmt.ExecContext(w.ctx, w.args...)
	}
	w.args, w.rows = w.args[:0], 0
}

func (w *inserter) exec(query string, args ...any) {
	if w.err == nil {
		_, w.err = w.tx.ExecContext(w.ctx, query, args...)
	}
}

func words(list string) []string { return strings.Split(list, "|") }

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

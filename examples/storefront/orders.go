package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Order is one that has been placed.
type Order struct {
	Number     int64       `json:"number"`
	Placed     time.Time   `json:"placed"`
	Lines      []OrderLine `json:"lines"`
	TotalCents int64       `json:"total_cents"`

	cart string // the name of the cart that was ordered
}

// OrderLine is one product of it, at the price that was paid.
type OrderLine struct {
	Product    int64  `json:"product"`
	Name       string `json:"name"`
	Quantity   int64  `json:"quantity"`
	PriceCents int64  `json:"price_cents"`
}

// purchase is what somebody wants to order.
type purchase struct {
	user  string
	ref   string // made by the page; asking again with the same one is asking about the same order
	cart  string // the cart's name: whatever the ref, it is ordered once
	lines []cartLine
	total int64 // what the page showed
}

var (
	errEmptyCart = errors.New("nothing is in the cart")
	errRefTaken  = errors.New("another customer's order has this ref")
)

// cartOrderedError says that the cart was ordered before, under another ref.
type cartOrderedError struct{ by *Order }

func (e *cartOrderedError) Error() string {
	return fmt.Sprintf("the cart is that of order %d", e.by.Number)
}

// totalChangedError says that the page showed another total.
type totalChangedError struct{ now int64 }

func (e *totalChangedError) Error() string { return fmt.Sprintf("the total is %d now", e.now) }

// shortage is what there is too little of.
type shortage []struct {
	name          string
	stock, wanted int64
}

func (s shortage) Error() string { return fmt.Sprintf("too little in stock of %d products", len(s)) }

// placeOrder places an order, or returns the one that has the purchase's ref. It takes
// the stock, for all lines or for none.
//
// Of those who order the same cart at once, in any processes, one inserts the order:
// the database knows each ref and each cart only once. SQLite lets one write at a time,
// so what is left in stock is true until the end.
func (s *store) placeOrder(ctx context.Context, p purchase) (o *Order, placed bool, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = tx.Rollback() }()
	if len(p.lines) == 0 {
		// Not even a cart: this may still be the repetition of an order that was placed.
		o, err := findOrder(ctx, tx, p)
		if errors.Is(err, sql.ErrNoRows) {
			err = errEmptyCart
		}
		return o, false, err
	}
	now := time.Now()
	// The write comes first, as in Update.
	res, err := tx.ExecContext(ctx, `
		INSERT INTO orders (customer_id, day, placed, ref, cart)
		SELECT customer_id, ?, ?, ?, ? FROM accounts WHERE user = ? ON CONFLICT DO NOTHING`,
		orderDays-1, now.UnixMilli(), p.ref, p.cart, p.user)
	if err != nil {
		return nil, false, err
	}
	inserted, err := res.RowsAffected()
	if err != nil {
		return nil, false, err
	}
	if inserted == 0 {
		o, err := findOrder(ctx, tx, p)
		return o, false, err
	}
	o = &Order{Placed: time.UnixMilli(now.UnixMilli()).UTC(), cart: p.cart}
	if o.Number, err = res.LastInsertId(); err != nil {
		return nil, false, err
	}
	if err := takeStock(ctx, tx, o, p.lines); err != nil {
		return nil, false, err
	}
	if o.TotalCents != p.total {
		return nil, false, &totalChangedError{o.TotalCents}
	}
	return o, true, tx.Commit()
}

// takeStock adds the lines to an order, at the prices of now.
func takeStock(ctx context.Context, tx *sql.Tx, o *Order, lines []cartLine) error {
	var missing shortage
	for _, l := range lines {
		line := OrderLine{Product: l.Product, Quantity: l.Quantity}
		var stock int64
		err := tx.QueryRowContext(ctx, `SELECT name, price_cents, stock FROM products WHERE id = ?`, l.Product).
			Scan(&line.Name, &line.PriceCents, &stock)
		if err != nil {
			return err
		}
		if stock < l.Quantity {
			missing = append(missing, struct {
				name          string
				stock, wanted int64
			}{line.Name, stock, l.Quantity})
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE products SET stock = stock - ? WHERE id = ?`, l.Quantity, l.Product); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO order_lines (order_id, product_id, quantity, price_cents) VALUES (?, ?, ?, ?)`,
			o.Number, line.Product, line.Quantity, line.PriceCents); err != nil {
			return err
		}
		o.Lines = append(o.Lines, line)
		o.TotalCents += line.Quantity * line.PriceCents
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// findOrder returns the order with the purchase's ref, or an error that tells who was
// faster. It is sql.ErrNoRows if nobody was.
func findOrder(ctx context.Context, tx *sql.Tx, p purchase) (*Order, error) {
	var o Order
	var placed int64
	var ref, user string
	err := tx.QueryRowContext(ctx, `
		SELECT o.id, o.placed, o.ref, o.cart, a.user FROM orders o JOIN accounts a ON a.customer_id = o.customer_id
		WHERE o.ref = ?1 OR o.cart = nullif(?2, '') ORDER BY o.ref = ?1 DESC LIMIT 1`, p.ref, p.cart).
		Scan(&o.Number, &placed, &ref, &o.cart, &user)
	if err != nil {
		return nil, err
	}
	if ref == p.ref && user != p.user {
		return nil, errRefTaken
	}
	o.Placed = time.UnixMilli(placed).UTC()
	err = each(ctx, tx, `
		SELECT l.product_id, p.name, l.quantity, l.price_cents FROM order_lines l JOIN products p ON p.id = l.product_id
		WHERE l.order_id = ? ORDER BY l.product_id`, []any{o.Number}, func(rows *sql.Rows) error {
		var l OrderLine
		err := rows.Scan(&l.Product, &l.Name, &l.Quantity, &l.PriceCents)
		o.Lines = append(o.Lines, l)
		o.TotalCents += l.Quantity * l.PriceCents
		return err
	})
	if err != nil {
		return nil, err
	}
	if ref != p.ref {
		return nil, &cartOrderedError{&o}
	}
	return &o, nil
}

// sale is an order as the boards count it.
type sale struct {
	order, customer int64
	placed          time.Time
	lines           []cartLine
	cents           int64
}

// uncounted returns some of the orders since a time that are not counted on the board of
// this name, the oldest first.
func (s *store) uncounted(ctx context.Context, board string, since time.Time, most int) ([]sale, error) {
	var all []sale
	err := each(ctx, s.db, `
		SELECT o.id, o.customer_id, o.placed, l.product_id, l.quantity, l.price_cents FROM (
			SELECT id, customer_id, placed FROM orders WHERE placed >= ? AND board IS NOT ? ORDER BY placed, id LIMIT ?
		) o JOIN order_lines l ON l.order_id = o.id ORDER BY o.placed, o.id`,
		[]any{since.UnixMilli(), board, most}, func(rows *sql.Rows) error {
			var x sale
			var placed, cents int64
			var l cartLine
			if err := rows.Scan(&x.order, &x.customer, &placed, &l.Product, &l.Quantity, &cents); err != nil {
				return err
			}
			if len(all) == 0 || all[len(all)-1].order != x.order {
				x.placed = time.UnixMilli(placed)
				all = append(all, x)
			}
			last := &all[len(all)-1]
			last.lines = append(last.lines, l)
			last.cents += l.Quantity * cents
			return nil
		})
	return all, err
}

// counted notes that orders are counted on a board, if that is still the one.
func (s *store) counted(ctx context.Context, board string, sales []sale) error {
	args := []any{board}
	for _, x := range sales {
		args = append(args, x.order)
	}
	_, err := s.db.ExecContext(ctx, `UPDATE orders SET board = ?1 WHERE id IN (?`+strings.Repeat(",?", len(sales)-1)+`)
		AND ?1 = (SELECT name FROM board)`, args...)
	return err
}

// board returns the name of the boards that orders are counted on, and since when they are.
func (s *store) board(ctx context.Context) (name string, since time.Time, err error) {
	var ms int64
	err = s.db.QueryRowContext(ctx, `SELECT name, since FROM board`).Scan(&name, &ms)
	return name, time.UnixMilli(ms), err
}

// replaceBoard gives the boards another name, on which nothing is counted. Of several
// processes that do it at once one does.
func (s *store) replaceBoard(ctx context.Context, old, name string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE board SET name = ?, since = ? WHERE name = ?`, name, time.Now().UnixMilli(), old)
	return err
}

// hasCounted reports whether orders since a time are counted on the board of this name.
func (s *store) hasCounted(ctx context.Context, board string, since time.Time) (has bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM orders WHERE placed >= ? AND board = ?)`, since.UnixMilli(), board).Scan(&has)
	return has, err
}

// customers finds some customers by id.
func (s *store) customers(ctx context.Context, ids ...int64) (map[int64]Account, error) {
	found := make(map[int64]Account, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	err := each(ctx, s.db, `SELECT id, name, city FROM customers WHERE id IN (?`+strings.Repeat(",?", len(ids)-1)+`)`, args, func(rows *sql.Rows) error {
		var id int64
		var a Account
		err := rows.Scan(&id, &a.Name, &a.City)
		found[id] = a
		return err
	})
	return found, err
}

// customer returns the id of the customer who has an account.
func (s *store) customer(ctx context.Context, user string) (id int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT customer_id FROM accounts WHERE user = ?`, user).Scan(&id)
	return id, err
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	_ "modernc.org/sqlite"
)

// schemaVersion is kept in the file, so that a foreign database is refused
// and an earlier run's is used again.
const schemaVersion = "3"

var errNoProduct = errors.New("no such product")

// store is the shop's database.
type store struct {
	db      *sql.DB
	path    string
	tempDir string // removed by close; empty when the user named the file
	queries atomic.Int64
}

// openStore opens the file at path, or a temporary one when path is empty,
// and fills it if it is new.
func openStore(ctx context.Context, path string) (_ *store, err error) {
	s := &store{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("database: %w", err), s.close())
		}
	}()
	if path == "" {
		if s.tempDir, err = os.MkdirTemp("", "storefront-"); err != nil {
			return nil, err
		}
		s.path = filepath.Join(s.tempDir, "shop.db")
	}
	// WAL lets pages be read while an edit is written.
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(5000)", "foreign_keys(1)"}}
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(s.path)}).EscapedPath(), RawQuery: pragmas.Encode()}).String()
	if s.db, err = sql.Open("sqlite", name); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(8)
	s.db.SetMaxIdleConns(8)

	var version string
	var tables int
	err = s.db.QueryRowContext(ctx, `SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&version, &tables)
	switch {
	case err != nil:
		return nil, err
	case tables == 0:
		return s, seed(ctx, s.db)
	case version != schemaVersion:
		return nil, errors.New("this file is not a storefront database, or one of another version")
	}
	return s, nil
}

func (s *store) close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.tempDir != "" {
		errs = append(errs, os.RemoveAll(s.tempDir))
	}
	return errors.Join(errs...)
}

// Product is one row of a listing, and the part of a product that can be edited.
type Product struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	Brand      string `json:"brand"`
	Category   string `json:"category"`
	PriceCents int64  `json:"price_cents"`
	Stock      int64  `json:"stock"`
}

// ProductPage is all that a product's page shows. It is the value that is
// cached.
type ProductPage struct {
	Product
	Description string    `json:"description"`
	Sales       Sales     `json:"sales"`
	Together    []Pairing `json:"bought_together"`

	// LoadedFor is the id of the request whose query made this value: how a
	// request knows its own load from another's (see source).
	LoadedFor string `json:"-"`
}

// Sales sums up two years of orders.
type Sales struct {
	Units             int64   `json:"units"`
	RevenueCents      int64   `json:"revenue_cents"`
	Orders            int64   `json:"orders"`
	Customers         int64   `json:"customers"`
	AverageOrderCents int64   `json:"average_order_cents"` // of the orders that hold it
	Rank              int64   `json:"rank"`                // in its category, by last year's revenue
	RankOf            int64   `json:"rank_of"`
	Quarters          []int64 `json:"quarters"` // units sold, oldest first
}

// Pairing is a product that was in the same basket.
type Pairing struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Times int64  `json:"times"`
}

const productSQL = `
SELECT p.id, p.name, p.brand, c.name, p.price_cents, p.stock, p.description
FROM products p JOIN categories c ON c.id = p.category_id
WHERE p.id = ?`

// rankSQL adds up every product of the category to find the place of one
// among them, by what each earned in the last year.
const rankSQL = `
SELECT units, revenue, place, products FROM (
	SELECT p.id,
		coalesce(sum(l.quantity), 0) AS units,
		coalesce(sum(l.quantity * l.price_cents), 0) AS revenue,
		rank() OVER (ORDER BY coalesce(sum(CASE WHEN o.day >= ?2 THEN l.quantity * l.price_cents END), 0) DESC) AS place,
		count(*) OVER () AS products
	FROM products p
	LEFT JOIN order_lines l ON l.product_id = p.id
	LEFT JOIN orders o ON o.id = l.order_id
	WHERE p.category_id = (SELECT category_id FROM products WHERE id = ?1)
	GROUP BY p.id
) WHERE id = ?1`

// basketSQL looks at the orders that the product was part of.
const basketSQL = `
SELECT count(*), count(DISTINCT customer_id), coalesce(avg(total), 0) FROM (
	SELECT o.customer_id, sum(l.quantity * l.price_cents) AS total
	FROM order_lines mine
	JOIN orders o ON o.id = mine.order_id
	JOIN order_lines l ON l.order_id = mine.order_id
	WHERE mine.product_id = ?
	GROUP BY o.id
)`

const togetherSQL = `
SELECT p.id, p.name, count(*) AS times
FROM order_lines mine
JOIN order_lines l ON l.order_id = mine.order_id AND l.product_id <> mine.product_id
JOIN products p ON p.id = l.product_id
WHERE mine.product_id = ?
GROUP BY p.id ORDER BY times DESC, p.id LIMIT 5`

const quartersSQL = `
SELECT o.day * 8 / ?2 AS quarter, sum(l.quantity)
FROM order_lines l JOIN orders o ON o.id = l.order_id
WHERE l.product_id = ?1 GROUP BY quarter`

// ProductPage runs the queries behind a product's page: tens of milliseconds,
// which is why it is worth caching. They share a transaction, so that they
// describe one moment.
func (s *store) ProductPage(ctx context.Context, id int64) (*ProductPage, error) {
	s.queries.Add(1)
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()

	p := &ProductPage{Sales: Sales{Quarters: make([]int64, 8)}, Together: []Pairing{}}
	err = tx.QueryRowContext(ctx, productSQL, id).Scan(&p.ID, &p.Name, &p.Brand, &p.Category, &p.PriceCents, &p.Stock, &p.Description)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoProduct
	}
	if err != nil {
		return nil, err
	}
	v := &p.Sales
	if err := tx.QueryRowContext(ctx, rankSQL, id, orderDays-365).Scan(&v.Units, &v.RevenueCents, &v.Rank, &v.RankOf); err != nil {
		return nil, fmt.Errorf("rank: %w", err)
	}
	var average float64
	if err := tx.QueryRowContext(ctx, basketSQL, id).Scan(&v.Orders, &v.Customers, &average); err != nil {
		return nil, fmt.Errorf("baskets: %w", err)
	}
	v.AverageOrderCents = int64(average + 0.5)
	err = each(ctx, tx, togetherSQL, []any{id}, func(rows *sql.Rows) error {
		var b Pairing
		err := rows.Scan(&b.ID, &b.Name, &b.Times)
		p.Together = append(p.Together, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bought together: %w", err)
	}
	err = each(ctx, tx, quartersSQL, []any{id, orderDays}, func(rows *sql.Rows) error {
		var quarter, units int64
		err := rows.Scan(&quarter, &units)
		if err == nil && quarter >= 0 && quarter < 8 {
			v.Quarters[quarter] = units
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("quarters: %w", err)
	}
	return p, nil
}

// Edit is what PUT /products/{id} may change.
type Edit struct {
	Name       string
	PriceCents int64
	Stock      int64
}

// Update changes a product. It returns the product as it is now and the ids of
// every product whose page mentions it: if the name changed, those that were
// bought together with it too.
func (s *store) Update(ctx context.Context, id int64, e Edit) (*Product, []int64, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tx.Rollback() }()
	// The write comes first: a transaction that has read cannot start to write
	// when another has written since.
	if _, err := tx.ExecContext(ctx, `UPDATE products SET price_cents = ?, stock = ? WHERE id = ?`, e.PriceCents, e.Stock, id); err != nil {
		return nil, nil, err
	}
	res, err := tx.ExecContext(ctx, `UPDATE products SET name = ?1 WHERE id = ?2 AND name <> ?1`, e.Name, id)
	if err != nil {
		return nil, nil, err
	}
	renamed, err := res.RowsAffected()
	if err != nil {
		return nil, nil, err
	}
	var p Product
	var description string
	err = tx.QueryRowContext(ctx, productSQL, id).Scan(&p.ID, &p.Name, &p.Brand, &p.Category, &p.PriceCents, &p.Stock, &description)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, errNoProduct
	}
	if err != nil {
		return nil, nil, err
	}
	ids := []int64{id}
	if renamed > 0 {
		err = each(ctx, tx, `
			SELECT DISTINCT l.product_id FROM order_lines mine JOIN order_lines l ON l.order_id = mine.order_id
			WHERE mine.product_id = ?1 AND l.product_id <> ?1`, []any{id}, func(rows *sql.Rows) error {
			var other int64
			err := rows.Scan(&other)
			ids = append(ids, other)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return &p, ids, tx.Commit()
}

// pageSize is how many products a listing shows at once.
const pageSize = 12

// List finds products whose name holds every word of q. It answers in a
// millisecond or two, so it is not cached: an edit shows in it at once.
func (s *store) List(ctx context.Context, q, category string, page int) (list []Product, total int, err error) {
	where, args := []string{"1"}, []any{}
	for _, word := range strings.Fields(q) {
		where = append(where, `p.name LIKE ? ESCAPE '\'`)
		args = append(args, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(word)+"%")
	}
	if category != "" {
		where = append(where, "c.name = ?")
		args = append(args, category)
	}
	from := ` FROM products p JOIN categories c ON c.id = p.category_id WHERE ` + strings.Join(where, " AND ")
	if err := s.db.QueryRowContext(ctx, "SELECT count(*)"+from, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	list = []Product{}
	query := `SELECT p.id, p.name, p.brand, c.name, p.price_cents, p.stock` + from +
		` ORDER BY p.id LIMIT ` + strconv.Itoa(pageSize) + ` OFFSET ?`
	err = each(ctx, s.db, query, append(args, (page-1)*pageSize), func(rows *sql.Rows) error {
		var p Product
		err := rows.Scan(&p.ID, &p.Name, &p.Brand, &p.Category, &p.PriceCents, &p.Stock)
		list = append(list, p)
		return err
	})
	return list, total, err
}

// Products finds some products by id, as far as there are such.
func (s *store) Products(ctx context.Context, ids ...int64) (map[int64]Product, error) {
	found := make(map[int64]Product, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	query := `SELECT p.id, p.name, p.brand, c.name, p.price_cents, p.stock FROM products p JOIN categories c ON c.id = p.category_id
		WHERE p.id IN (?` + strings.Repeat(",?", len(ids)-1) + `)`
	err := each(ctx, s.db, query, args, func(rows *sql.Rows) error {
		var p Product
		err := rows.Scan(&p.ID, &p.Name, &p.Brand, &p.Category, &p.PriceCents, &p.Stock)
		found[p.ID] = p
		return err
	})
	return found, err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func each(ctx context.Context, db querier, query string, args []any, row func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

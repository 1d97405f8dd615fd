-- The shop's database. Prices are integers in cents; days are counted from the
-- first day of the two years that the orders span.
CREATE TABLE categories (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);

CREATE TABLE products (
	id          INTEGER PRIMARY KEY,
	category_id INTEGER NOT NULL REFERENCES categories (id),
	name        TEXT NOT NULL,
	brand       TEXT NOT NULL,
	description TEXT NOT NULL,
	price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
	stock       INTEGER NOT NULL CHECK (stock >= 0)
);

CREATE TABLE customers (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	city TEXT NOT NULL
);

CREATE TABLE orders (
	id          INTEGER PRIMARY KEY,
	customer_id INTEGER NOT NULL REFERENCES customers (id),
	day         INTEGER NOT NULL,
	placed      INTEGER NOT NULL, -- ms since 1970
	ref         TEXT,             -- made by the page that ordered, which may ask again
	cart        TEXT,             -- the name of the cart that was ordered
	board       TEXT              -- the name of the board on which it is counted: see boards.go
);

-- The boards on which orders are counted, and since when, in ms since 1970.
CREATE TABLE board (
	only  INTEGER PRIMARY KEY CHECK (only = 1),
	name  TEXT NOT NULL,
	since INTEGER NOT NULL
);

CREATE TABLE order_lines (
	order_id    INTEGER NOT NULL REFERENCES orders (id),
	product_id  INTEGER NOT NULL REFERENCES products (id),
	quantity    INTEGER NOT NULL CHECK (quantity > 0),
	price_cents INTEGER NOT NULL, -- what was paid, whatever the price is today
	PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;

CREATE TABLE accounts (
	user          TEXT PRIMARY KEY,
	customer_id   INTEGER NOT NULL UNIQUE REFERENCES customers (id),
	password_hash TEXT NOT NULL -- bcrypt
) WITHOUT ROWID;

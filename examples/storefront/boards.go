package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

const (
	// opIDsLast is for how long an order may be submitted again, with a margin to the
	// hour for which the boards know its OpID.
	opIDsLast = 50 * time.Minute

	// lateness is for how long after a week's end its orders are still counted in it.
	lateness = time.Hour

	catchUpEvery = 10 * time.Second // while nothing is known to be missing
	catchUpAgain = time.Second      // after a failure
	catchUpBatch = 100              // orders at once
)

// boards count what is sold this week: products by pieces, and customers by cents.
//
// The database has every order, and says on which board it is counted; Redis may be away
// when it is placed. Whoever catches up, this process or another, submits what is not
// counted, with the order's number as OpID, and notes that in the database afterwards. What
// was submitted but not noted, since the reply was lost or the process was, is submitted
// again: the OpID keeps it from being counted twice, and two processes that catch up
// at once as well.
//
// Redis forgets an OpID after an hour. So what may have been submitted longer ago than
// opIDsLast is not submitted there again. Instead the database gives the boards a new
// name, on which nothing is counted yet, all orders of the week are counted there, and the
// old ones expire. The same happens if Redis has lost the boards. At first start they
// are new as well, which is how they are filled.
type boards struct {
	rdb  redis.UniversalClient
	db   *store
	turn chan struct{} // held by the one who catches up
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	last *boardPair
}

// boardPair are the two boards of one name.
type boardPair struct {
	name                string
	since               time.Time // when the first order may have been submitted to them
	products, customers *leaderboard.Redis
}

// openBoards catches up once, so that a shop with a Redis opens with its lists, and from
// then on in the background, until close.
func openBoards(ctx context.Context, rdb redis.UniversalClient, db *store) (*boards, error) {
	b := &boards{rdb: rdb, db: db, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), done: make(chan struct{})}
	if _, err := b.current(ctx); err != nil {
		return nil, err
	}
	ctx, b.stop = context.WithCancel(ctx)
	wait := b.tryCatchUp(ctx)
	go func() {
		defer close(b.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.wake:
			case <-time.After(wait):
			}
			wait = b.tryCatchUp(ctx)
		}
	}()
	return b, nil
}

func (b *boards) close() {
	b.stop()
	<-b.done
}

// tryCatchUp returns when to catch up next. That Redis is away others log.
func (b *boards) tryCatchUp(ctx context.Context) time.Duration {
	err := b.catchUp(ctx)
	if err == nil {
		return catchUpEvery
	}
	away := errors.Is(err, leaderboard.ErrUnavailable) || errors.Is(err, leaderboard.ErrUnknownOutcome)
	if ctx.Err() == nil && !away {
		slog.Warn("count orders", "err", err)
	}
	return catchUpAgain
}

// current returns the boards that the database names.
func (b *boards) current(ctx context.Context) (*boardPair, error) {
	name, since, err := b.db.board(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last != nil && b.last.name == name {
		return b.last, nil
	}
	opts := leaderboard.Options{
		Prefix:    "storefront",
		Mode:      leaderboard.Sum,
		Periods:   []leaderboard.Period{leaderboard.Weekly},
		WeekStart: time.Monday,
		Grace:     lateness,
	}
	p := &boardPair{name: name, since: since}
	if p.products, err = leaderboard.New(b.rdb, "products-"+name, &opts); err != nil {
		return nil, err
	}
	opts.MaxScore = 1 << 40 // cents; leaves a sixth of a second to order equals by time
	if p.customers, err = leaderboard.New(b.rdb, "customers-"+name, &opts); err != nil {
		return nil, err
	}
	b.last = p
	return p, nil
}

// catchUp counts the orders that are not counted yet.
func (b *boards) catchUp(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p, err := b.current(ctx)
	if err != nil {
		return err
	}
	if lost, err := b.lost(ctx, p); err != nil {
		return err
	} else if lost {
		slog.Warn("Redis has lost the boards: counting the week's orders again")
		if p, err = b.replace(ctx, p); err != nil {
			return err
		}
	}
	for {
		sales, err := b.db.uncounted(ctx, p.name, weekOf(time.Now().Add(-lateness)), catchUpBatch)
		if err != nil || len(sales) == 0 {
			return err
		}
		// The oldest is the one that may have been submitted first, but not before the
		// boards were there.
		first := sales[0].placed
		if first.Before(p.since) {
			first = p.since
		}
		if time.Since(first) > opIDsLast {
			if p, err = b.replace(ctx, p); err != nil {
				return err
			}
			continue
		}
		if err := p.count(ctx, sales); err != nil {
			return err
		}
		if err := b.db.counted(ctx, p.name, sales); err != nil {
			return err
		}
		if p, err = b.current(ctx); err != nil {
			return err
		}
	}
}

func (b *boards) replace(ctx context.Context, p *boardPair) (*boardPair, error) {
	if err := b.db.replaceBoard(ctx, p.name, rand.Text()); err != nil {
		return nil, err
	}
	return b.current(ctx)
}

// lost reports whether the database says that something is counted, but nothing is.
func (b *boards) lost(ctx context.Context, p *boardPair) (bool, error) {
	week := weekOf(time.Now())
	has, err := b.db.hasCounted(ctx, p.name, week)
	if err != nil || !has {
		return false, err
	}
	for _, board := range []*leaderboard.Redis{p.products, p.customers} {
		page, err := board.At(week).Range(ctx, 0, 1)
		if err != nil || page.Total == 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// count submits sales, each to the week in which it was made.
func (p *boardPair) count(ctx context.Context, sales []sale) error {
	for len(sales) > 0 {
		week := weekOf(sales[0].placed)
		n := slices.IndexFunc(sales, func(x sale) bool { return !weekOf(x.placed).Equal(week) })
		if n < 0 {
			n = len(sales)
		}
		err := p.submit(ctx, week, sales[:n])
		if errors.Is(err, leaderboard.ErrScoreRange) && n > 1 {
			err, n = p.submit(ctx, week, sales[:1]), 1 // which one is it?
		}
		switch {
		case errors.Is(err, leaderboard.ErrSealed), errors.Is(err, leaderboard.ErrScoreRange):
			slog.Warn("orders that are on no board", "first", sales[0].order, "number", n, "err", err)
		case err != nil:
			return err
		}
		sales = sales[n:]
	}
	return nil
}

func (p *boardPair) submit(ctx context.Context, week time.Time, sales []sale) error {
	var pieces, cents []leaderboard.Score
	for _, x := range sales {
		op := strconv.FormatInt(x.order, 10)
		cents = append(cents, leaderboard.Score{Member: strconv.FormatInt(x.customer, 10), Value: x.cents, OpID: op})
		for _, l := range x.lines {
			product := strconv.FormatInt(l.Product, 10)
			pieces = append(pieces, leaderboard.Score{Member: product, Value: l.Quantity, OpID: op + "/" + product})
		}
	}
	for some := range slices.Chunk(pieces, 1000) {
		if _, err := p.products.At(week).Submit(ctx, some...); err != nil {
			return err
		}
	}
	_, err := p.customers.At(week).Submit(ctx, cents...)
	return err
}

// ordered counts an order that was just placed. It need not succeed: the rest is done in
// the background.
func (b *boards) ordered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := b.catchUp(ctx)
	if err != nil {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return err
}

// weekOf returns when the week of t began: on Monday in UTC, as on the boards.
func weekOf(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d-(int(t.UTC().Weekday())+6)%7, 0, 0, 0, 0, time.UTC)
}

package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/freshet-go/freshet/internal/exec"
)

// GetMany returns the values of keys. It reads them in one batch, has those that
// are missing loaded together (one call of a [NewCachedMany] loader, side by side
// with one of [NewCached]) and stores them in one batch, but for those whose loads
// take longer than others. Keys that another call or process is loading are waited
// for rather than loaded again. Things that do not exist are left out. When some
// keys fail, or ctx ends, the map has the others, and the error joins what went wrong.
//
// Cost: 3 round trips per node at most, for any number of keys; 1 if all are hits. 1 more
// where Redis refuses to read the keys together.
// Errors: as Get, but never ErrNotFound.
func (m *Cached[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	if !m.c.running.Enter() {
		return nil, ErrClosed
	}
	defer m.c.running.Done()
	got := &many[T]{m: m, b: *m.c.x.Budget(), values: make(map[string]T, len(keys))}
	got.read(ctx, keys)
	if len(got.errs) == 0 {
		got.join(ctx)
		got.collect(ctx)
	}
	return got.values, errors.Join(got.errs...)
}

// many is a GetMany under way.
type many[T any] struct {
	m       *Cached[T]
	b       exec.Budget
	values  map[string]T
	arrived uint64
	missing []*missing
	errs    []error
}

// missing is a key that Redis had no value for.
type missing struct {
	key     string // without the name
	w       *waiter
	created bool // its flight, by this call
	miss
}

// read reads all keys, and keeps those that are to be fetched in missing.
func (g *many[T]) read(ctx context.Context, keys []string) {
	c := g.m.c
	g.arrived = c.seq.Add(1)
	if c.owed.count() > 0 {
		keys = g.bypass(keys)
	}
	if len(keys) == 0 {
		return
	}
	full := g.m.full(keys)
	readings := c.readEach(ctx, &g.b, full)
	var v T
	accept := g.m.into(&v)
	for i, key := range keys {
		m, answered, err := c.settle(ctx, full[i], g.m.src, readings[i], accept)
		switch {
		case !answered:
			g.missing = append(g.missing, &missing{key: key, miss: m})
		case err == nil:
			g.values[key] = v
		case !errors.Is(err, ErrNotFound):
			g.fail(err) // the context's
		}
	}
}

// bypass counts the keys whose Delete is owed as missing, and returns the others.
func (g *many[T]) bypass(keys []string) (others []string) {
	c := g.m.c
	for _, key := range keys {
		if c.owed.has(g.m.prefix + key) {
			c.n.bypassed.Add(1)
			g.missing = append(g.missing, &missing{key: key})
		} else {
			others = append(others, key)
		}
	}
	return others
}

// join joins the flights of the missing keys, and leads together those that
// nobody else has started.
func (g *many[T]) join(ctx context.Context) {
	c := g.m.c
	var flights []*flight
	var first *flight // with which the others are admitted
	seen := make(map[string]bool, len(g.missing))
	g.missing = slices.DeleteFunc(g.missing, func(k *missing) bool {
		again := seen[k.key]
		seen[k.key] = true
		return again
	})
	for _, k := range g.missing {
		c.n.misses.Add(1)
		k.w = newWaiter(ctx, g.arrived, g.m.src, false)
		f, created := c.flights.join(g.m.prefix+k.key, k.w, k.miss, first)
		if k.created = created; created {
			flights = append(flights, f)
			first = flights[0]
		}
	}
	if len(flights) > 0 {
		c.running.Add()
		go c.lead(g.b, flights)
	}
}

// collect waits for the missing keys. When ctx ends it takes what has come.
func (g *many[T]) collect(ctx context.Context) {
	c := g.m.c
	var v T
	accept := g.m.into(&v)
	for _, k := range g.missing {
		r, err := c.wait(ctx, k.w)
		if err != nil {
			g.fail(fmt.Errorf("cache: get: %w", err))
			continue
		}
		if !k.created || r.seen != "" {
			c.n.shared.Add(1)
		}
		full := g.m.prefix + k.key
		again, err := c.land(full, r, k.old, accept)
		if again {
			err = c.fetch(ctx, *c.x.Budget(), full, k.w, miss{seen: r.seen}, accept)
		}
		switch {
		case err == nil:
			g.values[k.key] = v
		case !errors.Is(err, ErrNotFound):
			g.fail(err)
		}
	}
}

// fail notes an error, once if many keys have it from one load.
func (g *many[T]) fail(err error) {
	for _, other := range g.errs {
		if other.Error() == err.Error() {
			return
		}
	}
	g.errs = append(g.errs, err)
}

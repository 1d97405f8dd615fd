package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/freshet-go/freshet/internal/exec"
)

// GetMany returns the values of keys. It reads them in one batch, has those that
// are missing loaded together (one call of a [NewCachedMany] loader, side by side
// with one of [NewCached]) and stores them in one batch. Keys that another call
// or process is loading are waited for rather than loaded again. Things that do
// not exist are left out. When some keys fail the map has the others, and the
// error joins what went wrong.
//
// Cost: 3 round trips per node at most, for any number of keys; 1 if all are hits.
// Errors: as Get, but never ErrNotFound.
func (m *Cached[T]) GetMany(ctx context.Context, keys []string) (map[string]T, error) {
	if err := m.c.running.enter(); err != nil {
		return nil, err
	}
	defer m.c.running.done()
	got := &many[T]{m: m, b: *m.c.x.Budget(), values: make(map[string]T, len(keys))}
	if err := got.read(ctx, keys); err != nil {
		return got.values, err
	}
	got.join(ctx)
	return got.values, got.collect(ctx)
}

// many is a GetMany under way.
type many[T any] struct {
	m       *Cached[T]
	b       exec.Budget
	values  map[string]T
	missing []*missing[T]
	errs    []error
	arrived uint64
}

// missing is a key that Redis had no value for.
type missing[T any] struct {
	key     string // without the name
	w       *waiter
	created bool // its flight, by this call
	v       T
	miss
}

// read reads all keys, and keeps those that are to be fetched in missing.
func (g *many[T]) read(ctx context.Context, keys []string) error {
	c := g.m.c
	var cmds []*exec.Cmd
	var read []*missing[T]
	g.arrived = c.seq.Add(1)
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		k := &missing[T]{key: key}
		full := g.m.prefix + key
		if c.owed.has(full) {
			c.n.bypassed.Add(1)
			g.missing = append(g.missing, k)
			continue
		}
		read = append(read, k)
		cmds = append(cmds, c.reading(full))
	}
	_ = c.x.DoAll(ctx, &g.b, cmds) // each has its own
	for i, k := range read {
		m, answered, err := c.settle(ctx, g.m.prefix+k.key, g.m.src, cmds[i], g.m.into(&k.v))
		switch {
		case !answered:
			k.miss = m
			g.missing = append(g.missing, k)
		case err == nil:
			g.values[k.key] = k.v
		case !errors.Is(err, ErrNotFound):
			return err // the context's
		}
	}
	return nil
}

// join joins the flights of the missing keys, and leads together those that
// nobody else has started.
func (g *many[T]) join(ctx context.Context) {
	c := g.m.c
	var flights []*flight
	var first *flight // with which the others are admitted
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
		c.running.add()
		go c.lead(g.b, flights)
	}
}

// collect waits for the missing keys.
func (g *many[T]) collect(ctx context.Context) error {
	c := g.m.c
	for i, k := range g.missing {
		r, err := c.wait(ctx, k.w)
		if err != nil {
			for _, k := range g.missing[i+1:] {
				c.flights.leave(k.w)
			}
			return fmt.Errorf("cache: get: %w", err)
		}
		if !k.created || r.seen != "" {
			c.n.shared.Add(1)
		}
		full := g.m.prefix + k.key
		again, err := c.land(full, r, k.old, g.m.into(&k.v))
		if again {
			err = c.fetch(ctx, *c.x.Budget(), full, k.w, miss{seen: r.seen}, g.m.into(&k.v))
		}
		switch {
		case err == nil:
			g.values[k.key] = k.v
		case !errors.Is(err, ErrNotFound):
			g.fail(err)
		}
	}
	return errors.Join(g.errs...)
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

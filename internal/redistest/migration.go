package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
)

// migrateTimeout is what MIGRATE may take, in milliseconds.
const migrateTimeout = 5000

// Migration is a hash slot of a cluster that is half-way between two masters:
// the old one answers ASK for the keys that it no longer has, and TRYAGAIN is
// the answer to a command some of whose keys are missing.
type Migration struct {
	s        *Server
	slot     int
	from, to *node
}

// MigrateSlot opens the slot of key for migration from its master to another
// one. No key moves before [Migration.Move].
func (s *Server) MigrateSlot(t testing.TB, key string) *Migration {
	t.Helper()
	s.only(t, "MigrateSlot", Cluster)
	ctx := t.Context()
	slot, err := s.slotOf(ctx, key)
	s.must(t, "migrate a slot of", err)
	m := &Migration{s: s, slot: slot, from: s.masterOf(t, key)}
	for _, n := range s.masters(t) {
		if n != m.from {
			m.to = n
		}
	}
	if m.to == nil {
		t.Fatalf("redistest: migrate slot %d: there is no other running master", slot)
	}
	// In this order: a node that says ASK must have somewhere to point at.
	s.must(t, "migrate a slot of", m.set(ctx, m.to, "IMPORTING", m.from))
	s.must(t, "migrate a slot of", m.set(ctx, m.from, "MIGRATING", m.to))
	return m
}

// set tells a node what the migration has come to; other is the node that it
// is told about.
func (m *Migration) set(ctx context.Context, n *node, state string, other *node) error {
	id, err := other.rdb.ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	_, err = n.do(ctx, "CLUSTER", "SETSLOT", m.slot, state, id)
	return err
}

// Slot returns the hash slot that is being migrated.
func (m *Migration) Slot() int { return m.slot }

// Move moves some keys to the new master. Keys that do not exist are ignored.
func (m *Migration) Move(t testing.TB, keys ...string) {
	t.Helper()
	m.s.must(t, "move keys of", m.move(t.Context(), keys))
}

func (m *Migration) move(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	host, port, err := net.SplitHostPort(m.to.addr)
	if err != nil {
		return err
	}
	args := []any{"MIGRATE", host, port, "", 0, migrateTimeout, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	_, err = m.from.do(ctx, args...)
	return err
}

// Finish moves the remaining keys, closes the slot, and returns when all nodes
// know its new master.
func (m *Migration) Finish(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for {
		keys, err := m.from.rdb.ClusterGetKeysInSlot(ctx, m.slot, 100).Result()
		m.s.must(t, "list the slot's keys on", err)
		if len(keys) == 0 {
			break
		}
		m.s.must(t, "move keys of", m.move(ctx, keys))
	}
	// The new owner first: were it the last, the slot could be without one.
	for _, n := range append([]*node{m.to, m.from}, m.s.masters(t)...) {
		m.s.must(t, "close a slot of", m.set(ctx, n, "NODE", m.to))
	}
	m.s.must(t, "close a slot of", poll(ctx, faultPatience, func(ctx context.Context) error {
		owner, err := m.s.owner(ctx, m.slot)
		if err != nil {
			return err
		}
		if owner != m.to {
			return errors.Join(fmt.Errorf("slot %d still belongs to %s", m.slot, owner.addr))
		}
		return m.s.clusterAgrees(ctx)
	}))
}

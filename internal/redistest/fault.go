package redistest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// faultPatience bounds the wait for the effect of a fault or its repair: more than
// the half minute for which a sentinel does nothing if its machine was too busy.
const faultPatience = time.Minute

// MasterOf returns the address of the master that holds key. On topologies
// with one master, key does not matter.
func (s *Server) MasterOf(t testing.TB, key string) string {
	t.Helper()
	if s.mini != nil {
		return s.mini.m.Addr()
	}
	return s.masterOf(t, key).addr
}

// Kill ends the server with SIGKILL: on Sentinel the current master, on
// Cluster every master, which leaves no majority to elect a replica.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.mini != nil {
		s.mini.kill()
		return
	}
	for _, n := range s.masters(t) {
		s.must(t, "kill", n.kill())
	}
}

// KillMasterOf ends the master that holds key with SIGKILL.
func (s *Server) KillMasterOf(t testing.TB, key string) {
	t.Helper()
	if s.mini != nil {
		s.mini.kill()
		return
	}
	s.must(t, "kill", s.masterOf(t, key).kill())
}

// Restart starts everything that was killed, on the same ports and in the same
// directories, and returns when it serves commands. Nothing was persisted, so
// a master comes back empty, miniredis too; on Sentinel it calls itself master
// until the sentinels demote it, as it would anywhere.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if s.mini != nil {
		s.must(t, "restart", s.mini.restart())
		return
	}
	for _, n := range s.nodes {
		s.must(t, "restart", n.start(t.Context()))
	}
	if s.topology == Cluster {
		s.must(t, "restart", poll(t.Context(), faultPatience, s.clusterAgrees))
	}
}

// Pause stops the server with SIGSTOP, so that it accepts connections and
// requests but does not answer: on Sentinel the current master, on Cluster
// every master. Resume undoes it; the end of the test does so as well.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if s.mini != nil {
		s.mini.pause()
		return
	}
	for _, n := range s.masters(t) {
		s.pause(t, n)
	}
}

// PauseMasterOf stops the master that holds key with SIGSTOP.
func (s *Server) PauseMasterOf(t testing.TB, key string) {
	t.Helper()
	if s.mini != nil {
		s.mini.pause()
		return
	}
	s.pause(t, s.masterOf(t, key))
}

func (s *Server) pause(t testing.TB, n *node) {
	t.Helper()
	s.must(t, "pause", n.pause())
	t.Cleanup(func() { _ = n.resume() })
}

// Resume lets everything that was paused continue: it executes what it was
// sent meanwhile, whether or not the sender still waits.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if s.mini != nil {
		s.mini.resume()
		return
	}
	for _, n := range s.nodes {
		s.must(t, "resume", n.resume())
	}
}

// Failover promotes a replica in place of a healthy master, as an operator
// does, and returns when sentinels or cluster nodes agree on the new master.
// On Cluster it does so for every master. The replication is asynchronous: on
// Sentinel, acknowledged writes may be lost, and the old master accepts more
// of them for some ten seconds from connections that stayed with it.
func (s *Server) Failover(t testing.TB) {
	t.Helper()
	s.only(t, "Failover", Sentinel, Cluster)
	if s.topology == Sentinel {
		s.sentinelFailover(t)
		return
	}
	for i := range masterCount {
		s.clusterFailover(t, i*slotCount/masterCount)
	}
}

// FailoverMasterOf is [Server.Failover] for the master that holds key.
func (s *Server) FailoverMasterOf(t testing.TB, key string) {
	t.Helper()
	s.only(t, "FailoverMasterOf", Sentinel, Cluster)
	if s.topology == Sentinel {
		s.sentinelFailover(t)
		return
	}
	slot, err := s.slotOf(t.Context(), key)
	s.must(t, "failover", err)
	s.clusterFailover(t, slot)
}

// clusterFailover promotes a replica of the master of a slot.
func (s *Server) clusterFailover(t testing.TB, slot int) {
	t.Helper()
	old, err := s.owner(t.Context(), slot)
	s.must(t, "failover", err)
	promote := func(ctx context.Context) error {
		replica, err := s.replicaOf(ctx, old)
		if err != nil {
			return err
		}
		_, err = replica.do(ctx, "CLUSTER", "FAILOVER") // refused until its link is up
		return err
	}
	s.must(t, "failover", poll(t.Context(), faultPatience, promote))
	begun := time.Now()
	s.must(t, "failover", poll(t.Context(), faultPatience, func(ctx context.Context) error {
		master, err := s.owner(ctx, slot)
		if err != nil {
			return err
		}
		if master == old {
			// The others do not vote twice in a short time about one master, and the
			// replica gives up after five seconds.
			if time.Since(begun) > 6*time.Second {
				begun = time.Now()
				_ = promote(ctx)
			}
			return errors.New("the master is still " + old.addr)
		}
		return s.clusterAgrees(ctx)
	}))
}

// replicaOf returns a running replica of a running master.
func (s *Server) replicaOf(ctx context.Context, master *node) (*node, error) {
	members, err := master.members(ctx)
	if err != nil {
		return nil, err
	}
	var id string
	for _, m := range members {
		if m.is("myself") {
			id = m.id
		}
	}
	for _, m := range members {
		if m.master != id {
			continue
		}
		if n, err := s.nodeAt(m.addr); err == nil && n.alive() {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s has no running replica", master.addr)
}

// masterOf returns the running master that holds key.
func (s *Server) masterOf(t testing.TB, key string) *node {
	t.Helper()
	var master *node
	s.must(t, "find the master", poll(t.Context(), faultPatience, func(ctx context.Context) (err error) {
		switch s.topology {
		case Sentinel:
			master, err = s.sentinelMaster(ctx)
		case Cluster:
			var slot int
			if slot, err = s.slotOf(ctx, key); err == nil {
				master, err = s.owner(ctx, slot)
			}
		default:
			master = s.nodes[0]
		}
		return err
	}))
	return master
}

// masters returns the running masters.
func (s *Server) masters(t testing.TB) []*node {
	t.Helper()
	if s.topology != Cluster {
		return []*node{s.masterOf(t, "")}
	}
	var masters []*node
	s.must(t, "find the masters", poll(t.Context(), faultPatience, func(ctx context.Context) error {
		masters = nil
		for i := range masterCount {
			n, err := s.owner(ctx, i*slotCount/masterCount)
			if err != nil {
				return err
			}
			if n.alive() {
				masters = append(masters, n)
			}
		}
		return nil
	}))
	return masters
}

// must fails the test if what a method did for it did not work.
func (s *Server) must(t testing.TB, verb string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("redistest: %s %s: %v", verb, s.topology, err)
	}
}

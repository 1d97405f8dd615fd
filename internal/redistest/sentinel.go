package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

const (
	replicaCount  = 2
	sentinelCount = 3
)

// sentinelConfig makes a failover take about two seconds, and allows another
// one soon after it.
const sentinelConfig = `sentinel monitor %[1]s %[2]s %[3]s 2
sentinel down-after-milliseconds %[1]s 1000
sentinel failover-timeout %[1]s 2000
sentinel parallel-syncs %[1]s 2
`

// startSentinel starts a master, its replicas, and when these are in sync the
// sentinels: they look for replicas as they start, and then every 10 s only.
func (s *Server) startSentinel(ctx context.Context, b binary) error {
	data := func(extra string) func([]int) string {
		return func([]int) string { return dataConfig + extra }
	}
	master, err := startNode(ctx, b, s.dir, 1, data(""))
	if err != nil {
		return err
	}
	s.nodes = []*node{master}
	host, port, _ := net.SplitHostPort(master.addr)
	replicas, err := s.startNodes(ctx, replicaCount, func(ctx context.Context) (*node, error) {
		return startNode(ctx, b, s.dir, 1, data("replicaof "+host+" "+port+"\n"))
	})
	s.nodes = append(s.nodes, replicas...)
	if err != nil {
		return err
	}
	for _, replica := range replicas {
		if err := poll(ctx, startPatience, replica.inSync); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(sentinelConfig, masterName, host, port)
	s.sentinels, err = s.startNodes(ctx, sentinelCount, func(ctx context.Context) (*node, error) {
		return startNode(ctx, b, s.dir, 1, func([]int) string { return config }, "--sentinel")
	})
	if err != nil {
		return err
	}
	return poll(ctx, startPatience, s.sentinelsAgree)
}

// inSync reports as an error that a replica has not caught up with its master.
func (n *node) inSync(ctx context.Context) error {
	link, err := n.info(ctx, "replication", "master_link_status")
	if err != nil {
		return err
	}
	if link != "up" {
		return fmt.Errorf("%s: link to the master is %q", n.addr, link)
	}
	return nil
}

// sentinelsAgree reports as an error that a sentinel does not yet know all
// replicas and all other sentinels.
func (s *Server) sentinelsAgree(ctx context.Context) error {
	want := fmt.Sprintf("slaves=%d,sentinels=%d", replicaCount, sentinelCount)
	for _, n := range s.sentinels {
		line, err := n.info(ctx, "sentinel", "master0")
		if err != nil {
			return err
		}
		if !strings.Contains(line, "status=ok") || !strings.HasSuffix(line, want) {
			return fmt.Errorf("sentinel %s sees %q, want %q", n.addr, line, want)
		}
		// A replica whose INFO has not been read yet cannot be promoted.
		if _, err := n.do(ctx, "SENTINEL", "CKQUORUM", masterName); err != nil {
			return err
		}
	}
	return nil
}

// sentinelMaster returns the node that every sentinel names as the master, if
// it says so itself.
func (s *Server) sentinelMaster(ctx context.Context) (*node, error) {
	var addr string
	for _, n := range s.sentinels {
		reply, err := n.rdb.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
		if err != nil {
			return nil, err
		}
		if len(reply) != 2 {
			return nil, fmt.Errorf("sentinel %s names no master", n.addr)
		}
		named := net.JoinHostPort(reply[0], reply[1])
		if addr != "" && named != addr {
			return nil, fmt.Errorf("sentinels name %s and %s as the master", addr, named)
		}
		addr = named
	}
	return s.nodeAt(addr)
}

func (s *Server) nodeAt(addr string) (*node, error) {
	for _, n := range s.nodes {
		if n.addr == addr {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s is none of the nodes", addr)
}

// sentinelFailover promotes a replica of a healthy master.
func (s *Server) sentinelFailover(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	old, err := s.sentinelMaster(ctx)
	if err != nil {
		t.Fatalf("redistest: failover: %v", err)
	}
	started := false
	err = poll(ctx, faultPatience, func(ctx context.Context) error {
		if !started {
			// Refused while the previous failover is not over, or the
			// replicas are not fit yet.
			if _, err := s.sentinels[0].do(ctx, "SENTINEL", "FAILOVER", masterName); err != nil {
				return err
			}
			started = true
		}
		master, err := s.sentinelMaster(ctx)
		if err != nil {
			return err
		}
		if master == old {
			return errors.New("the master is still " + old.addr)
		}
		role, err := master.info(ctx, "replication", "role")
		if err != nil {
			return err
		}
		if role != "master" {
			return fmt.Errorf("%s is still a %s", master.addr, role)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("redistest: failover: %v; sentinel %s", err, tail(s.sentinels[0].logFile()))
	}
}

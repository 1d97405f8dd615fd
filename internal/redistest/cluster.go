package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	masterCount = 3
	slotCount   = 16384
)

// clusterConfig makes a failover take about two seconds. Replicas do not move
// between masters, so that a cluster keeps its shape through faults, and they
// stand for election however long their master has been away.
const clusterConfig = `cluster-enabled yes
cluster-config-file nodes.conf
cluster-port %d
cluster-node-timeout 1500
cluster-allow-replica-migration no
cluster-replica-validity-factor 0
`

func (s *Server) startCluster(ctx context.Context, b binary) error {
	var err error
	s.nodes, err = s.startNodes(ctx, 2*masterCount, func(ctx context.Context) (*node, error) {
		return startNode(ctx, b, s.dir, 2, func(ports []int) string {
			return dataConfig + fmt.Sprintf(clusterConfig, ports[1])
		})
	})
	if err != nil {
		return err
	}
	if err := s.formCluster(ctx); err != nil {
		return err
	}
	for _, n := range s.nodes[masterCount:] {
		if err := poll(ctx, startPatience, n.inSync); err != nil {
			return err
		}
	}
	return poll(ctx, startPatience, s.clusterAgrees)
}

// formCluster gives the slots to the first nodes, introduces every node to
// every other, which is faster than gossip, and makes the rest replicas.
func (s *Server) formCluster(ctx context.Context) error {
	var ids [2 * masterCount]string
	for i, n := range s.nodes {
		id, err := n.rdb.ClusterMyID(ctx).Result()
		if err != nil {
			return err
		}
		ids[i] = id
		// Equal epochs would have to be told apart first, one at a time.
		if _, err := n.do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i < masterCount {
			first, last := i*slotCount/masterCount, (i+1)*slotCount/masterCount-1
			if _, err := n.do(ctx, "CLUSTER", "ADDSLOTSRANGE", first, last); err != nil {
				return err
			}
		}
	}
	for i, n := range s.nodes {
		for _, other := range s.nodes[i+1:] {
			if err := n.meet(ctx, other); err != nil {
				return err
			}
		}
	}
	for i, n := range s.nodes[masterCount:] {
		err := poll(ctx, startPatience, func(ctx context.Context) error {
			_, err := n.do(ctx, "CLUSTER", "REPLICATE", ids[i]) // refused until the master is known
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *node) meet(ctx context.Context, other *node) error {
	bus, err := other.rdb.ConfigGet(ctx, "cluster-port").Result()
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(other.addr, ":")
	_, err = n.do(ctx, "CLUSTER", "MEET", host, port, bus["cluster-port"])
	return err
}

// member is a line of CLUSTER NODES: one node as seen by another.
type member struct {
	id     string
	addr   string
	flags  []string
	master string // the id of the master that it replicates
	slots  [][2]int
}

func (m member) is(flag string) bool { return slices.Contains(m.flags, flag) }

func (m member) owns(slot int) bool {
	return slices.ContainsFunc(m.slots, func(r [2]int) bool { return r[0] <= slot && slot <= r[1] })
}

// members returns the cluster as n sees it.
func (n *node) members(ctx context.Context) ([]member, error) {
	text, err := n.rdb.ClusterNodes(ctx).Result()
	if err != nil {
		return nil, err
	}
	return parseMembers(text)
}

// parseMembers reads CLUSTER NODES. A line is
//
//	id ip:port@bus[,hostname] flags master|- ping pong epoch link [slot|first-last|[slot->-id]]…
func parseMembers(text string) ([]member, error) {
	var members []member
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES: short line %q", line)
		}
		m := member{id: fields[0], flags: strings.Split(fields[2], ","), master: fields[3]}
		m.addr, _, _ = strings.Cut(fields[1], "@")
		for _, slots := range fields[8:] {
			if strings.HasPrefix(slots, "[") {
				continue // migrating or importing; the owner is listed as well
			}
			first, last, isRange := strings.Cut(slots, "-")
			if !isRange {
				last = first
			}
			lo, err1 := strconv.Atoi(first)
			hi, err2 := strconv.Atoi(last)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("CLUSTER NODES: %q: %w", line, err)
			}
			m.slots = append(m.slots, [2]int{lo, hi})
		}
		members = append(members, m)
	}
	return members, nil
}

// clusterAgrees reports as an error that a running node does not see the whole
// cluster up, or not the same owners of the slots and the same replicas as the
// others.
func (s *Server) clusterAgrees(ctx context.Context) error {
	var first string
	for _, n := range s.nodes {
		if !n.alive() {
			continue
		}
		info, err := n.rdb.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if infoField(info, "cluster_state") != "ok" {
			return fmt.Errorf("%s: cluster_state is %q", n.addr, infoField(info, "cluster_state"))
		}
		members, err := n.members(ctx)
		if err != nil {
			return err
		}
		if len(members) != len(s.nodes) {
			return fmt.Errorf("%s knows %d nodes of %d", n.addr, len(members), len(s.nodes))
		}
		shape := make([]string, len(members))
		for i, m := range members {
			if m.is("handshake") || m.is("noaddr") {
				return fmt.Errorf("%s is still meeting %s", n.addr, m.addr)
			}
			shape[i] = fmt.Sprint(m.id, m.is("master"), m.master, m.slots)
		}
		slices.Sort(shape)
		if view := strings.Join(shape, "\n"); first == "" {
			first = view
		} else if view != first {
			return fmt.Errorf("nodes see different clusters:\n%s\nand on %s:\n%s", first, n.addr, view)
		}
	}
	return nil
}

// slotOf returns the slot of a key, as the servers compute it.
func (s *Server) slotOf(ctx context.Context, key string) (int, error) {
	err := errors.New("no node is running")
	for _, n := range s.nodes {
		if n.alive() {
			var slot int64
			if slot, err = n.rdb.ClusterKeySlot(ctx, key).Result(); err == nil {
				return int(slot), nil
			}
		}
	}
	return 0, err
}

// owner returns the master of a slot, on which all running nodes must agree.
func (s *Server) owner(ctx context.Context, slot int) (*node, error) {
	var addr string
	for _, n := range s.nodes {
		if !n.alive() {
			continue
		}
		members, err := n.members(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(members, func(m member) bool { return m.owns(slot) })
		if i < 0 {
			return nil, fmt.Errorf("%s knows no owner of slot %d", n.addr, slot)
		}
		if addr != "" && members[i].addr != addr {
			return nil, fmt.Errorf("slot %d belongs to %s and to %s", slot, addr, members[i].addr)
		}
		addr = members[i].addr
	}
	return s.nodeAt(addr)
}

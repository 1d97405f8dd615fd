package redistest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Topology is a kind of Redis deployment.
type Topology string

// The topologies, in the order in which [Each] runs them.
const (
	// Miniredis is an in-process server whose TTLs follow its clock. It is
	// always available, and not quite Redis.
	Miniredis Topology = "miniredis"
	// Standalone is one server.
	Standalone Topology = "standalone"
	// RESP2 is the standalone server spoken to in protocol 2.
	RESP2 Topology = "resp2"
	// Sentinel is a master and two replicas watched by three sentinels.
	Sentinel Topology = "sentinel"
	// Cluster is three masters with a replica each.
	Cluster Topology = "cluster"
)

var topologies = []Topology{Miniredis, Standalone, RESP2, Sentinel, Cluster}

// parseTopologies reads a comma-separated list of topologies.
func parseTopologies(list string) ([]Topology, error) {
	var out []Topology
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if !slices.Contains(topologies, Topology(name)) {
			return nil, fmt.Errorf("unknown topology %q, want some of %v", name, topologies)
		}
		out = append(out, Topology(name))
	}
	return out, nil
}

// Server is a running deployment of one topology. Its methods are safe for
// concurrent use, except that only one goroutine at a time may break it.
type Server struct {
	topology Topology
	version  string

	mini *embedded // Miniredis only

	dir       string  // holds the files of the processes below
	nodes     []*node // data nodes; the first ones were started as masters
	sentinels []*node
}

// Topology returns what kind of deployment s is.
func (s *Server) Topology() Topology { return s.topology }

// Version returns the version of the server binary, such as "7.0.15", or
// "miniredis".
func (s *Server) Version() string { return s.version }

// Mini returns the in-process server, or nil if s is a real one.
func (s *Server) Mini() *miniredis.Miniredis {
	if s.mini == nil {
		return nil
	}
	return s.mini.m
}

// only fails the test unless s has one of the given topologies.
func (s *Server) only(t testing.TB, verb string, allowed ...Topology) {
	t.Helper()
	if !slices.Contains(allowed, s.topology) {
		t.Fatalf("redistest: %s works on %v, not on %s", verb, allowed, s.topology)
	}
}

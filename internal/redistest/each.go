package redistest

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// Each runs body as a subtest on every topology: "miniredis", "standalone",
// "resp2", "sentinel" and "cluster". With several binaries in FRESHET_SERVERS,
// those of real servers have a subtest per binary, as in
// "cluster/valkey-8.1.1".
//
// Real servers are shared by all tests of the binary, which therefore keep to
// keys with their own [Prefix] and leave the server's settings alone; they are
// started on first use, side by side. A miniredis belongs to the subtest. A
// topology that is not available is skipped, or fails the test if
// FRESHET_REQUIRE names it; one that is available but does not start is always
// a failure.
func Each(t *testing.T, body func(t *testing.T, s *Server)) {
	t.Helper()
	EachOf(t, topologies, body)
}

// EachOf is [Each] for some topologies only.
func EachOf(t *testing.T, on []Topology, body func(t *testing.T, s *Server)) {
	t.Helper()
	for _, b := range findBinaries().binaries {
		for _, topology := range on {
			if topology != Miniredis {
				shared.prepare(b, topology)
			}
		}
	}
	each(t, on, func(t *testing.T, b binary, topology Topology) {
		s, err := shared.get(b, topology)
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		body(t, s)
	}, body)
}

// EachPrivate is [EachOf] with servers that belong to the subtest, which may
// kill, pause and reconfigure them. A cluster takes two seconds to start.
func EachPrivate(t *testing.T, on []Topology, body func(t *testing.T, s *Server)) {
	t.Helper()
	each(t, on, func(t *testing.T, b binary, topology Topology) {
		body(t, startPrivate(t, b, topology))
	}, body)
}

// Private starts a server for this test alone, which may kill, pause and
// reconfigure it; it is stopped when the test ends. It uses the first binary,
// and skips or fails as [Each] does.
func Private(t *testing.T, topology Topology) *Server {
	t.Helper()
	if topology == Miniredis {
		return startEmbedded(t)
	}
	return startPrivate(t, available(t, topology)[0], topology)
}

func startPrivate(t *testing.T, b binary, topology Topology) *Server {
	t.Helper()
	s, err := startServer(t.Context(), b, topology)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

// each runs a subtest per topology and binary.
func each(t *testing.T, on []Topology, real func(*testing.T, binary, Topology), mini func(*testing.T, *Server)) {
	t.Helper()
	for _, topology := range on {
		t.Run(string(topology), func(t *testing.T) {
			if topology == Miniredis {
				mini(t, startEmbedded(t))
				return
			}
			binaries := available(t, topology)
			if len(binaries) == 1 {
				real(t, binaries[0], topology)
				return
			}
			for _, b := range binaries {
				t.Run(b.name(), func(t *testing.T) { real(t, b, topology) })
			}
		})
	}
}

// available returns the binaries to run a topology on, at least one; if there
// is none it ends the test.
func available(t *testing.T, topology Topology) []binary {
	t.Helper()
	required, err := parseTopologies(os.Getenv("FRESHET_REQUIRE"))
	if err != nil {
		t.Fatalf("redistest: FRESHET_REQUIRE: %v", err)
	}
	found := findBinaries()
	if found.err != nil {
		t.Fatalf("redistest: %v", found.err)
	}
	if len(found.binaries) > 0 {
		return found.binaries
	}
	reason := fmt.Sprintf("%s: %s", topology, found.missing)
	if slices.Contains(required, topology) || topology == RESP2 && slices.Contains(required, Standalone) {
		t.Fatalf("redistest: FRESHET_REQUIRE is set, but cannot run %s", reason)
	}
	shared.skip(reason)
	t.Skipf("redistest: cannot run %s", reason)
	return nil
}

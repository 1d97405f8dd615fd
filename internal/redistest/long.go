package redistest

import (
	"os"
	"slices"
	"testing"
)

// IsLong reports whether FRESHET_LONG is set, and tests may take their time.
func IsLong() bool { return os.Getenv("FRESHET_LONG") != "" }

// Long skips a test that takes more than three seconds, unless FRESHET_LONG is set.
func Long(t testing.TB) {
	t.Helper()
	if !IsLong() {
		t.Skip("takes more than 3 s; FRESHET_LONG=1 runs it")
	}
}

// Quick is those of the topologies whose servers start in no time, and all of them if
// FRESHET_LONG is set.
func Quick(on ...Topology) []Topology {
	if IsLong() {
		return on
	}
	return slices.DeleteFunc(on, func(topology Topology) bool {
		return topology == Sentinel || topology == Cluster
	})
}

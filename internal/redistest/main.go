package redistest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

// leakPatience is how long goroutines may take to end after the last test. A closed
// go-redis client still finishes what it is at: a read of a hung server takes 5 s, and
// a dial to one that accepts nothing five times as long. What leaks never ends.
var leakPatience = time.Minute

// Main runs the tests of a package, stops the servers they shared, and fails
// the run if a goroutine is left that was not there before. It does not
// return. A package calls it as
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// If a test has started the process in one of the roles, it plays that instead.
func Main(m *testing.M, roles ...Role) {
	// go-redis writes to stderr about every dial that fails, which is what
	// half of our tests provoke.
	logging.Disable()
	if play(roles) {
		os.Exit(0)
	}
	before := goroutines()
	code := m.Run()
	shared.stop()
	for _, reason := range shared.skipped() {
		fmt.Fprintln(os.Stderr, "redistest: skipped", reason)
	}
	if code == 0 {
		if leaks := leaked(before, leakPatience); len(leaks) > 0 {
			fmt.Fprintf(os.Stderr, "redistest: %d goroutines leaked:\n\n%s\n", len(leaks), strings.Join(leaks, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

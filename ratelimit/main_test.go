package ratelimit

import (
	"os"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// children are what the test binary does instead of testing if a variable of the
// environment is set: tests start it so, to have several processes.
var children = map[string]func(){}

func TestMain(m *testing.M) {
	for env, f := range children {
		if os.Getenv(env) != "" {
			f()
			return
		}
	}
	redistest.Main(m)
}

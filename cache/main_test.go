package cache

import (
	"os"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child() // a process that a test of process_test.go started
		return
	}
	redistest.Main(m)
}

package redistest

import (
	"strings"
	"testing"
	"time"
)

func lingerUntil(release <-chan struct{}) { <-release }

func TestLeaked(t *testing.T) {
	before := goroutines()
	release := make(chan struct{})
	go lingerUntil(release)
	leaks := leaked(before, 0)
	if len(leaks) != 1 || !strings.Contains(leaks[0], "TestLeaked") {
		t.Errorf("with a goroutine left, leaked = %q", leaks)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if leaks := leaked(before, 10*time.Second); len(leaks) != 0 {
		t.Errorf("with a goroutine that ends in time, leaked = %q", leaks)
	}
}

func TestChildLeak(t *testing.T) {
	onlyAsChild(t)
	leakPatience = 100 * time.Millisecond
	go lingerUntil(nil)
}

func TestMainFailsOnLeak(t *testing.T) {
	t.Parallel()
	out, err := child(t, "TestChildLeak")
	if err == nil || !strings.Contains(out, "1 goroutines leaked") || !strings.Contains(out, "TestChildLeak") {
		t.Errorf("child: %v, want a failure that shows the goroutine; output:\n%s", err, out)
	}
}

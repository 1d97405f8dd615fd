package redistest

import (
	"runtime"
	"strings"
	"time"
)

// background names functions whose goroutines belong to the process and not to
// a test: they are started on first use and never end.
var background = []string{
	"os/signal.signal_recv(",
	"os/signal.loop(",
	"runtime.ensureSigM(",
	"runtime/trace.",
	"testing.(*F).Fuzz.",
	"internal/redistest.startProcesses(",
}

// goroutines returns the stacks of all goroutines but the calling one, by
// goroutine id.
func goroutines() map[string]string {
	buf := make([]byte, 1<<16)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(strings.TrimSpace(string(buf)), "\n\n")
	byID := make(map[string]string, len(stacks))
	for _, stack := range stacks[1:] { // the first one is the caller
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		byID[id] = stack
	}
	return byID
}

// leaked returns the stacks of the goroutines that were not there before,
// giving them until the deadline to end.
func leaked(before map[string]string, patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		var leaks []string
		for id, stack := range goroutines() {
			if _, known := before[id]; !known && !isBackground(stack) {
				leaks = append(leaks, stack)
			}
		}
		if len(leaks) == 0 || time.Now().After(deadline) {
			return leaks
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func isBackground(stack string) bool {
	for _, name := range background {
		if strings.Contains(stack, name) {
			return true
		}
	}
	return false
}

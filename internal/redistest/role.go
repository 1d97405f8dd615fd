package redistest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// A Role is what a test binary does instead of testing, when a test starts it once
// more as a process of its own. [Main] is given all roles of a package.
type Role struct {
	Env string // the variable of the environment that has the argument
	Run func(arg string)
}

// play plays the role that the environment asks for, if it does.
func play(roles []Role) (played bool) {
	for _, r := range roles {
		if arg, ok := os.LookupEnv(r.Env); ok {
			r.Run(arg)
			return true
		}
	}
	return false
}

// Ready tells the test that the process is ready, and waits for [Actor.Begin].
func Ready() {
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// An Actor is a process in a role.
type Actor struct {
	Process *os.Process
	Lines   <-chan string // of its output, closed at its end
	begin   func() error
}

// Start starts a process in a role, and waits until it is [Ready]. It is killed at
// the end of the test, if it runs until then.
func (r Role) Start(t *testing.T, arg string) *Actor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), r.Env+"="+arg)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range lines {
		}
		_ = cmd.Wait()
	})
	if line := <-lines; line != "ready" {
		t.Fatalf("the process said %q, want ready", line)
	}
	return &Actor{Process: cmd.Process, Lines: lines, begin: stdin.Close}
}

// Begin lets the process go on from [Ready].
func (a *Actor) Begin() { _ = a.begin() }

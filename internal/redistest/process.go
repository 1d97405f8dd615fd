package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// process is a running child.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the child has been reaped
	state  error         // why it ended; valid once exited is closed
}

// launches runs functions on one OS thread that lives as long as the process:
// Linux sends a child its parent-death signal when the thread that started it
// ends, not only when the process does.
var launches = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go startProcesses(calls)
	return calls
})

func startProcesses(calls <-chan func()) {
	runtime.LockOSThread()
	for call := range calls {
		call()
	}
}

// launch starts a command whose output is appended to logFile.
func launch(logFile, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	launches() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.state = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// kill ends the child and its process group, and waits for it.
func (p *process) kill() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := killGroup(p.cmd.Process); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("still running 10s after SIGKILL")
	}
}

// tail returns the end of a log file, indented, for an error text.
func tail(logFile string) string {
	const limit = 2000
	text, err := os.ReadFile(logFile)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	if len(text) == 0 {
		return "(its log is empty)"
	}
	if len(text) > limit {
		text = text[len(text)-limit:]
	}
	return "its log ends:\n" + string(text)
}

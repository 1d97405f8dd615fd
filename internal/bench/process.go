package main

import (
	"os/exec"
	"runtime"
	"sync"
)

// starts runs functions on one OS thread that lives as long as the process: Linux
// kills a child when the thread that started it ends, not only when the process
// does.
var starts = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// start starts a child that does not outlive this process.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	starts() <- func() { started <- cmd.Start() }
	return <-started
}

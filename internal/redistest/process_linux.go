package redistest

import "syscall"

// childAttributes makes a child die with this process, and puts it into a
// process group of its own so that a wrapper script's children are reached too.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

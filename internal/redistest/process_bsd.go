//go:build unix && !linux

package redistest

import "syscall"

// childAttributes puts a child into a process group of its own so that a
// wrapper script's children are reached too. A test process that is killed
// leaves its servers behind here: there is no parent-death signal.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

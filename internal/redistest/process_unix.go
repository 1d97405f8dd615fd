//go:build unix

package redistest

import (
	"os"
	"syscall"
)

// unsupported says why real servers cannot run on this platform, if so.
const unsupported = ""

func killGroup(p *os.Process) error   { return syscall.Kill(-p.Pid, syscall.SIGKILL) }
func stopGroup(p *os.Process) error   { return syscall.Kill(-p.Pid, syscall.SIGSTOP) }
func resumeGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGCONT) }

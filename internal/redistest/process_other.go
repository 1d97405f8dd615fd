//go:build !unix

package redistest

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// unsupported says why real servers cannot run on this platform, if so.
const unsupported = "real servers are not supported on " + runtime.GOOS

func childAttributes() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }
func stopGroup(*os.Process) error   { return errors.New(unsupported) }
func resumeGroup(*os.Process) error { return errors.New(unsupported) }

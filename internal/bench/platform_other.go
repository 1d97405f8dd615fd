//go:build !linux

package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Elsewhere the program runs, but unpinned, without CPU times and without servers
// that hang.

var errPlatform = errors.New("not on " + runtime.GOOS)

func childAttributes() *syscall.SysProcAttr { return nil }
func stopProcess(*os.Process) error         { return errPlatform }
func killProcess(p *os.Process) error       { return p.Kill() }
func clientCPU() time.Duration              { return 0 }
func allowedCPUs() []int                    { return nil }
func becomePinned(int, ...string) error     { return errPlatform }
func cpuModel() string                      { return runtime.GOARCH }
func kernel() string                        { return runtime.GOOS }

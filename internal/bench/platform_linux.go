package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// childAttributes makes a child die with this process, and keeps Ctrl-C from it:
// this process stops it in its own time.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func stopProcess(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGSTOP) }
func killProcess(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

// clientCPU is the CPU time that this process has used.
func clientCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allowedCPUs are the CPUs that this process may run on.
func allowedCPUs() []int {
	return parseCPUs(procField("/proc/self/status", "Cpus_allowed_list"))
}

// parseCPUs reads a list such as "0-2,5".
func parseCPUs(list string) []int {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA != nil || errB != nil {
			return nil
		}
		for cpu := a; cpu <= b; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// becomePinned replaces this process by itself on one CPU. It returns only if that
// fails. A running Go program cannot be pinned: it has threads already.
func becomePinned(cpu int, env ...string) error {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(cpu), self}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), env...))
}

func cpuModel() string { return procField("/proc/cpuinfo", "model name") }

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// procField returns the first field of a name in a file of /proc.
func procField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

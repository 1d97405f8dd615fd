package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serverCPU and machineCPUs name environment variables, in which a process that pins
// itself tells its next self so: the CPU for servers, and how many there were.
const (
	serverCPU   = "FRESHET_BENCH_SERVER_CPU"
	machineCPUs = "FRESHET_BENCH_CPUS"
)

// pin puts this process on one CPU, by becoming a new one, and servers on another.
// It returns if that is done, or cannot be; see pinning.
func pin() {
	cpus := allowedCPUs()
	if os.Getenv(serverCPU) != "" || len(cpus) < 2 {
		return
	}
	_ = becomePinned(cpus[0], // pinning reports that it was not done
		serverCPU+"="+strconv.Itoa(cpus[1]), machineCPUs+"="+strconv.Itoa(len(cpus)))
}

// pinning says which CPUs are used.
func pinning(s *server) string {
	switch {
	case os.Getenv(serverCPU) == "":
		return "not pinned: client and server share the CPUs, which blurs every figure"
	case s.cmd == nil:
		return "client on one CPU, server where it was started"
	}
	return "client on one CPU (GOMAXPROCS=" + strconv.Itoa(runtime.GOMAXPROCS(0)) + "), server on another"
}

// A fact is a line of the description of a run.
type fact struct{ Name, Value string }

// describe says on what, with what and how the results were made. It names no
// host and no absolute path.
func describe(s *server, args []string) []fact {
	cpus := os.Getenv(machineCPUs)
	if cpus == "" {
		cpus = strconv.Itoa(runtime.NumCPU())
	}
	facts := []fact{
		{"date", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"command", strings.Join(append([]string{"go run -C internal/bench ."}, args...), " ")},
		{"CPU", fmt.Sprintf("%s, %s CPUs, %s", cpuModel(), cpus, runtime.GOARCH)},
		{"kernel", kernel()},
		{"pinning", pinning(s)},
		{"Go", runtime.Version()},
		{"server", s.version},
		{"Freshet", commit()},
	}
	for _, m := range modules() {
		facts = append(facts, fact{m[0], m[1]})
	}
	return append(facts, fact{"pool of go-redis clients", strconv.Itoa(poolSize)})
}

// modules are the libraries that are compared, and their versions.
func modules() [][2]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var list [][2]string
	for _, m := range info.Deps {
		for _, part := range []string{"redis", "sturdyc", "msgpack", "scs", "gorilla"} {
			if strings.Contains(m.Path, part) {
				list = append(list, [2]string{m.Path, m.Version})
				break
			}
		}
	}
	return list
}

// commit is Freshet's, as git sees it from where the program runs.
func commit() string {
	id, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "commit unknown"
	}
	text := strings.TrimSpace(string(id))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
		text += ", with changes"
	}
	return text
}

// publicArgs are the arguments of the command line that a reader needs: not those
// with a path or a host.
func publicArgs(flags *flag.FlagSet) []string {
	private := []string{"out", "cpuprofile", "redis", "json"}
	var args []string
	flags.Visit(func(f *flag.Flag) {
		if !slices.Contains(private, f.Name) {
			args = append(args, "-"+f.Name+"="+quoted(f.Value.String()))
		}
	})
	return args
}

// quoted quotes an argument for a shell, if it has to be.
func quoted(arg string) string {
	if strings.ContainsAny(arg, ` |&;<>()$*?[]{}~"'\`+"`") {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}

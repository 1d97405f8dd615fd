// Bench compares Freshet with other libraries, side by side in one process, on a
// real Redis server that it starts itself.
//
//	go run -C internal/bench .                           everything, about half an hour
//	go run -C internal/bench . -list
//	go run -C internal/bench . -run hit/distinct         some workloads
//	go run -C internal/bench . -rivals '^rueidis' -rounds 15
//	go run -C internal/bench . -out results              and a results/cache.md
//	go run -C internal/bench . -run /64 -cpuprofile cpu.prof
//
// The server runs on one CPU and this process on another. Before a workload is
// timed it checks that it measures what it says: that keys are distinct, values
// right, and that every operation reads from Redis. Then the contenders take
// turns, in random order in every round; what counts is the median of the ratios
// to the baseline of the same round.
//
// The parts: a workload (workload.go) has contenders, each a library behind an
// adapter (rival.go, rival_*.go). The runner (runner.go) has them run rounds, most
// of which are closed loops (loop.go), and report.go writes the result. A package
// has its workloads in a file of its name: to add one, write the file and put it
// into packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

// packages lists the workloads by package.
var packages = []struct {
	name      string
	workloads func() []workload
}{
	{"cache", cacheWorkloads},
	{"ratelimit", ratelimitWorkloads},
	{"session", sessionWorkloads},
	{"counter", counterWorkloads},
	{"leaderboard", leaderboardWorkloads},
	{"pubsub", pubsubWorkloads},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := 0
	if err := realMain(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		status = 1
	}
	stop()
	os.Exit(status)
}

func realMain(ctx context.Context) error {
	logging.Disable() // of go-redis, which has much to say about servers that are away
	if text := os.Getenv(childEnv); text != "" {
		return runChild(ctx, text, os.Stdin, os.Stdout)
	}
	var (
		run      = flag.String("run", "", "run the workloads whose name matches this `regexp`")
		rivals   = flag.String("rivals", "", "compare only the libraries whose name matches this `regexp`, and the baseline")
		rounds   = flag.Int("rounds", 9, "number of rounds that count")
		duration = flag.Duration("duration", 500*time.Millisecond, "length of a round")
		url      = flag.String("redis", "", "use the server at this `URL`, and do not start one")
		out      = flag.String("out", "", "write a file of results for each package into this `folder`")
		asJSON   = flag.Bool("json", false, "write the results to standard output as JSON")
		cpu      = flag.String("cpuprofile", "", "write a CPU profile of Freshet's rounds to this `file`")
		pinned   = flag.Bool("pin", true, "keep client and server on a CPU each")
		list     = flag.Bool("list", false, "list the workloads")
	)
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *duration <= 0 {
		return errors.New("unexpected arguments; see -help")
	}
	runs, err := regexp.Compile(*run)
	if err != nil {
		return err
	}
	takes, err := regexp.Compile(*rivals)
	if err != nil {
		return err
	}
	if *list {
		for _, p := range packages {
			for _, w := range p.workloads() {
				fmt.Println(w.name)
			}
		}
		return nil
	}
	if *pinned {
		pin()
	}

	var s *server
	if *url != "" {
		s, err = useServer(ctx, *url)
	} else {
		s, err = startServer(ctx)
	}
	if err != nil {
		return err
	}
	defer s.close()
	r := &runner{
		server: s, scale: fullScale, prefix: fmt.Sprintf("b%06x", rand.Uint32N(1<<24)),
		rounds: *rounds, duration: *duration, rivals: takes, progress: os.Stderr,
	}
	if *cpu != "" {
		r.profile = &profile{file: *cpu}
	}
	facts := describe(s, publicArgs(flag.CommandLine))
	text := io.Writer(os.Stdout)
	if *asJSON {
		text = io.Discard
	}
	for _, f := range facts {
		fmt.Fprintf(text, "%s: %s\n", f.Name, f.Value)
	}

	var all []result
	for _, p := range packages {
		var results []result
		for _, w := range p.workloads() {
			if !runs.MatchString(w.name) {
				continue
			}
			res, err := r.run(ctx, w)
			if err != nil {
				return err
			}
			res.writeText(text)
			results = append(results, res)
		}
		if *out != "" && len(results) > 0 {
			if err := writeResults(*out, p.name, facts, results); err != nil {
				return err
			}
		}
		all = append(all, results...)
	}
	if len(all) == 0 {
		return fmt.Errorf("no workload matches %q; see -list", *run)
	}
	if *asJSON {
		if err := writeJSON(os.Stdout, facts, all); err != nil {
			return err
		}
	}
	return r.profile.write()
}

// writeResults writes a package's results into a folder.
func writeResults(folder, name string, facts []fact, results []result) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	writeMarkdown(&text, name, facts, results)
	return os.WriteFile(filepath.Join(folder, name+".md"), []byte(text.String()), 0o644)
}

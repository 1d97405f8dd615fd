package cache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/freshet-go/freshet/internal/redistest"
)

// childEnv says what the test binary does when a test starts it as a process of
// its own: the URL of a server, a prefix, a key, the number of callers, and how
// long a load takes.
const childEnv = "FRESHET_CACHE_CHILD"

// child loads a key with many callers at once when it is told to go, and says what
// happens on its output: "load" when the loader is called, "value V" for each
// caller.
func child() {
	logging.Disable() // of go-redis
	f := strings.Fields(os.Getenv(childEnv))
	url, prefix, key := f[0], f[1], f[2]
	callers, _ := strconv.Atoi(f[3])
	delay, _ := time.ParseDuration(f[4])
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	defer rdb.Close()
	// Patience for machines on which 400 callers at once take more than the default
	// to connect: who gives up on Redis loads for himself.
	c, err := New(rdb, &Options{Prefix: prefix, Timeout: 5 * time.Second})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	_, _, _ = c.Peek(ctx, "warm") // connect
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			v, err := c.GetOrLoad(ctx, key, func(context.Context) ([]byte, error) {
				say("load")
				time.Sleep(delay)
				return []byte(strconv.Itoa(os.Getpid())), nil
			})
			if err != nil {
				say("error %v", err)
				return
			}
			say("value %s", v)
		})
	}
	wg.Wait()
	if err := c.Close(ctx); err != nil { // the value may not be stored yet
		say("error %v", err)
	}
}

// process is a child under way.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string // closed at its end
}

func startProcess(t *testing.T, url, prefix, key string, callers int, delay time.Duration) *process {
	t.Helper()
	return startChild(t, fmt.Sprintf("%s=%s %s %s %d %s", childEnv, url, prefix, key, callers, delay))
}

// startChild starts one of the children that main_test.go lists, and waits until
// it is ready.
func startChild(t *testing.T, env string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin, lines: make(chan string, 10_000)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range p.lines {
		}
		_ = cmd.Wait()
	})
	if line := <-p.lines; line != "ready" {
		t.Fatalf("the process said %q, want ready", line)
	}
	return p
}

// begin lets the process begin.
func (p *process) begin() { _ = p.stdin.Close() }

var realServers = []redistest.Topology{redistest.Standalone, redistest.Sentinel, redistest.Cluster}

// Eight processes with fifty callers each ask for one cold key: one loads.
func TestOneLoadAcrossProcesses(t *testing.T) {
	redistest.EachOf(t, realServers, func(t *testing.T, s *redistest.Server) {
		const processes, callers = 8, 50
		prefix := redistest.Prefix(t)
		var ps []*process
		for range processes {
			ps = append(ps, startProcess(t, s.URL(), prefix, "cold", callers, 300*time.Millisecond))
		}
		for _, p := range ps {
			p.begin()
		}
		loads, values := 0, map[string]int{}
		for _, p := range ps {
			for line := range p.lines {
				switch word, value, _ := strings.Cut(line, " "); word {
				case "load":
					loads++
				case "value":
					values[value]++
				default:
					t.Errorf("a process said %q", line)
				}
			}
		}
		if loads != 1 {
			t.Errorf("%d processes with %d callers made %d loads, want 1", processes, callers, loads)
		}
		if len(values) != 1 {
			t.Errorf("the callers got %d different values, want 1", len(values))
		}
		for _, n := range values {
			if n != processes*callers {
				t.Errorf("%d callers got the value, want %d", n, processes*callers)
			}
		}
	})
}

// The process that loads is killed: another takes over within the lease and one
// poll. A busy machine may spoil a try or two.
func TestTakeover(t *testing.T) {
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		const limit = 3200 * time.Millisecond
		best := limit + 1
		for range 3 {
			if best = min(best, takeover(t, s)); best <= limit {
				return
			}
		}
		t.Errorf("takeover took %v, want at most %v", best, limit)
	})
}

// takeover returns how long after the death of a process that loads another one
// does.
func takeover(t *testing.T, s *redistest.Server) time.Duration {
	prefix := redistest.Prefix(t)
	holder := startProcess(t, s.URL(), prefix, "k", 1, time.Hour)
	other := startProcess(t, s.URL(), prefix, "k", 10, 0)
	holder.begin()
	if line := <-holder.lines; line != "load" {
		t.Fatalf("the first process said %q, want load", line)
	}
	other.begin()
	select {
	case line := <-other.lines:
		t.Fatalf("the second process said %q while the first was loading", line)
	case <-time.After(1200 * time.Millisecond): // past the first renewal
	}
	killed := time.Now()
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if line := <-other.lines; line != "load" {
		t.Fatalf("the second process said %q, want load", line)
	}
	took := time.Since(killed)
	t.Logf("takeover after %v", took)
	n := 0
	for line := range other.lines {
		if !strings.HasPrefix(line, "value ") {
			t.Errorf("the second process said %q", line)
		}
		n++
	}
	if n != 10 {
		t.Errorf("%d callers got the value, want 10", n)
	}
	return took
}

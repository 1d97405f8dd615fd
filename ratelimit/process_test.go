package ratelimit

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/freshet-go/freshet/internal/redistest"
)

// childEnv says what the test binary does when a test starts it as a process of its
// own: the URL of a server, a prefix, the number of callers and how often each asks.
const childEnv = "FRESHET_RATELIMIT_CHILD"

func init() { children[childEnv] = child }

// childLimit is what children share, and childAlso.
var (
	childLimit = Limit{Quota: 500, Period: 24 * time.Hour}
	childAlso  = []Limit{{Name: "log", Quota: 400, Period: 24 * time.Hour, Algorithm: SlidingLog}}
)

// child asks a lot when it is told to go, and says how much it was allowed.
func child() {
	logging.Disable() // of go-redis
	f := strings.Fields(os.Getenv(childEnv))
	url, prefix := f[0], f[1]
	callers, _ := strconv.Atoi(f[2])
	times, _ := strconv.Atoi(f[3])
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	defer rdb.Close()
	r, err := New(rdb, "child", childLimit, &Options{Prefix: prefix, Timeout: 10 * time.Second, Also: childAlso})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	if _, err := r.Peek(ctx, "k"); err != nil { // connect
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range times {
				got, err := r.AllowN(ctx, "k", 1+i%2)
				if err != nil || got.Degraded {
					fmt.Printf("error %+v %v\n", got, err)
				}
				allowed.Add(int64(got.Granted))
			}
		})
	}
	wg.Wait()
	fmt.Println("allowed", allowed.Load())
	if err := r.Close(ctx); err != nil {
		fmt.Println("error", err)
	}
}

// process is a child under way.
type process struct {
	stdin io.Closer
	lines chan string
}

// startProcess starts a child, which begins when its stdin is closed.
func startProcess(t *testing.T, args ...any) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+strings.TrimSpace(fmt.Sprintln(args...)))
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
	p := &process{stdin: stdin, lines: make(chan string, 100)}
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

// Four processes with 64 callers each ask for one key: together they are allowed
// exactly what the smaller of two limits allows.
func TestProcesses(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		var ps []*process
		for range 4 {
			ps = append(ps, startProcess(t, s.URL(), prefix, 64, 10))
		}
		for _, p := range ps {
			_ = p.stdin.Close()
		}
		total := 0
		for _, p := range ps {
			for line := range p.lines {
				word, n, _ := strings.Cut(line, " ")
				if word != "allowed" {
					t.Errorf("a process said %q", line)
				}
				allowed, _ := strconv.Atoi(n)
				total += allowed
			}
		}
		if total != childAlso[0].Quota {
			t.Errorf("the processes were allowed %d, want %d", total, childAlso[0].Quota)
		}
	})
}

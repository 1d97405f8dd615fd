package cache

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// loaderRole is a process that loads a key with many callers at once when it is told to
// begin, and says what happens: "load" when its loader is called, "value V" for each
// caller. It is told the URL of a server, a prefix, a key, the number of callers, and
// how long a load takes.
var loaderRole = redistest.Role{Env: "FRESHET_CACHE_LOADER", Run: func(arg string) {
	f := strings.Fields(arg)
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
	redistest.Ready()
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
}}

func startLoader(t *testing.T, url, prefix, key string, callers int, delay time.Duration) *redistest.Actor {
	t.Helper()
	return loaderRole.Start(t, fmt.Sprintf("%s %s %s %d %s", url, prefix, key, callers, delay))
}

var realServers = []redistest.Topology{redistest.Standalone, redistest.Sentinel, redistest.Cluster}

// Eight processes with fifty callers each ask for one cold key: one loads.
func TestOneLoadAcrossProcesses(t *testing.T) {
	redistest.EachOf(t, realServers, func(t *testing.T, s *redistest.Server) {
		const processes, callers = 8, 50
		prefix := redistest.Prefix(t)
		var ps []*redistest.Actor
		for range processes {
			ps = append(ps, startLoader(t, s.URL(), prefix, "cold", callers, 300*time.Millisecond))
		}
		for _, p := range ps {
			p.Begin()
		}
		loads, values := 0, map[string]int{}
		for _, p := range ps {
			for line := range p.Lines {
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
	holder := startLoader(t, s.URL(), prefix, "k", 1, time.Hour)
	other := startLoader(t, s.URL(), prefix, "k", 10, 0)
	holder.Begin()
	if line := <-holder.Lines; line != "load" {
		t.Fatalf("the first process said %q, want load", line)
	}
	other.Begin()
	select {
	case line := <-other.Lines:
		t.Fatalf("the second process said %q while the first was loading", line)
	case <-time.After(1200 * time.Millisecond): // past the first renewal
	}
	killed := time.Now()
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if line := <-other.Lines; line != "load" {
		t.Fatalf("the second process said %q, want load", line)
	}
	took := time.Since(killed)
	t.Logf("takeover after %v", took)
	n := 0
	for line := range other.Lines {
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

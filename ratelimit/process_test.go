package ratelimit

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// askerRole is a process that asks a lot when it is told to begin, and says how much
// it was allowed. It is told the URL of a server, a prefix, the number of callers and
// how often each asks.
var askerRole = redistest.Role{Env: "FRESHET_RATELIMIT_ASKER", Run: ask}

// askedLimit is what the processes share, and askedAlso.
var (
	askedLimit = Limit{Quota: 500, Period: 24 * time.Hour}
	askedAlso  = []Limit{{Name: "log", Quota: 400, Period: 24 * time.Hour, Algorithm: SlidingLog}}
)

func ask(arg string) {
	f := strings.Fields(arg)
	url, prefix := f[0], f[1]
	callers, _ := strconv.Atoi(f[2])
	times, _ := strconv.Atoi(f[3])
	rdb, err := redistest.ClientFromURL(url)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	defer rdb.Close()
	r, err := New(rdb, "child", askedLimit, &Options{Prefix: prefix, Timeout: 10 * time.Second, Also: askedAlso})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	if _, err := r.Peek(ctx, "k"); err != nil { // connect
		fmt.Println("error", err)
		os.Exit(1)
	}
	redistest.Ready()
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

// Four processes with 64 callers each ask for one key: together they are allowed
// exactly what the smaller of two limits allows.
func TestProcesses(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		var ps []*redistest.Actor
		for range 4 {
			ps = append(ps, askerRole.Start(t, fmt.Sprintln(s.URL(), prefix, 64, 10)))
		}
		for _, p := range ps {
			p.Begin()
		}
		total := 0
		for _, p := range ps {
			for line := range p.Lines {
				word, n, _ := strings.Cut(line, " ")
				if word != "allowed" {
					t.Errorf("a process said %q", line)
				}
				allowed, _ := strconv.Atoi(n)
				total += allowed
			}
		}
		if total != askedAlso[0].Quota {
			t.Errorf("the processes were allowed %d, want %d", total, askedAlso[0].Quota)
		}
	})
}

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
// it was allowed of each key. It is told the URL of a server, a prefix, the number of
// callers, the number of keys and how often each caller asks for each key.
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
	keys, _ := strconv.Atoi(f[3])
	times, _ := strconv.Atoi(f[4])
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
	if _, err := r.Peek(ctx, "0"); err != nil { // connect
		fmt.Println("error", err)
		os.Exit(1)
	}
	redistest.Ready()
	allowed := make([]atomic.Int64, keys)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := range times * keys {
				key := (i + n) % keys
				got, err := r.AllowN(ctx, strconv.Itoa(key), 1+i/2%2)
				if err != nil || got.Degraded {
					fmt.Printf("error %+v %v\n", got, err)
				}
				allowed[key].Add(int64(got.Granted))
			}
		})
	}
	wg.Wait()
	for key := range allowed {
		fmt.Println(key, allowed[key].Load())
	}
	if err := r.Close(ctx); err != nil {
		fmt.Println("error", err)
	}
}

// Eight processes with 64 callers each ask for one key, or for many: of each they are
// allowed together exactly what the smaller of two limits allows.
func TestProcesses(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Sentinel, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct{ keys, times int }{{1, 10}, {8, 3}} {
			prefix := redistest.Prefix(t)
			var ps []*redistest.Actor
			for range 8 {
				ps = append(ps, askerRole.Start(t, fmt.Sprintln(s.URL(), prefix, 64, test.keys, test.times)))
			}
			for _, p := range ps {
				p.Begin()
			}
			totals := make([]int, test.keys)
			for _, p := range ps {
				for line := range p.Lines {
					key, n, _ := strings.Cut(line, " ")
					k, err1 := strconv.Atoi(key)
					allowed, err2 := strconv.Atoi(n)
					if err1 != nil || err2 != nil {
						t.Errorf("a process said %q", line)
						continue
					}
					totals[k] += allowed
				}
			}
			for key, total := range totals {
				if total != askedAlso[0].Quota {
					t.Errorf("of key %d of %d the processes were allowed %d, want %d", key, test.keys, total, askedAlso[0].Quota)
				}
			}
		}
	})
}

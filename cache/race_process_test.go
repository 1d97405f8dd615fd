//go:build unix

package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// racerRole is a racer in a process of its own.
var racerRole = redistest.Role{Env: "FRESHET_CACHE_RACER", Run: runRacer}

func init() { roles = append(roles, racerRole) }

// raceConfig is what a racer is told.
type raceConfig struct {
	URL, Prefix string
	ID, Calls   int
	StaleFor    time.Duration
}

const (
	raceKeys    = 12 // few enough for contention
	raceCallers = 16 // in each process
)

// jitter is a hook that makes commands and their replies slow, now and then very
// slow, and loses some.
type jitter struct{}

// nap is mostly very short.
func nap() {
	switch n := rand.IntN(1000); {
	case n < 5:
		time.Sleep(rand.N(40 * time.Millisecond))
	case n < 200:
		time.Sleep(rand.N(2 * time.Millisecond))
	}
}

func (jitter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (jitter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !cmd.NoRetry() {
			return next(ctx, cmd)
		}
		nap()
		err := next(ctx, cmd)
		nap()
		if rand.IntN(200) == 0 {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return err
	}
}

func (jitter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		nap()
		err := next(ctx, cmds)
		nap()
		return err
	}
}

// runRacer makes random calls and then prints its history. Its clock is the wall
// clock, which all processes of a machine share. The tests take for granted that
// nobody sets it meanwhile.
func runRacer(arg string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	var cfg raceConfig
	fail(json.Unmarshal([]byte(arg), &cfg))
	rdb, err := redistest.ClientFromURL(cfg.URL)
	fail(err)
	defer rdb.Close()
	rdb.AddHook(jitter{})
	h := &history{clock: func() int64 { return time.Now().UnixNano() }}
	r, err := newRacer(h, cfg.ID, rdb, Options{
		Prefix: cfg.Prefix, TTL: time.Second, StaleFor: cfg.StaleFor, EarlyRefresh: 10, LoadTimeout: 10 * time.Second,
	}, func() { time.Sleep(rand.N(500 * time.Microsecond)) })
	fail(err)
	r.away = true // a stopped process has waited too long, for all it knows
	r.hold = func() time.Duration { return 1 + rand.N(5*time.Millisecond) }
	_, _, _ = r.c.Peek(context.Background(), "warm") // connect
	redistest.Ready()

	var left atomic.Int64
	left.Store(int64(cfg.Calls))
	var callers sync.WaitGroup
	for range raceCallers {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				var keys []string
				for _, k := range rand.Perm(raceKeys)[:1+rand.IntN(4)] {
					keys = append(keys, strconv.Itoa(k))
				}
				if rand.IntN(5) == 0 {
					r.void(context.Background(), keys)
				} else {
					r.read(context.Background(), keys)
				}
			}
		})
	}
	callers.Wait()
	_ = r.c.Close(context.Background())
	out := json.NewEncoder(os.Stdout)
	for _, e := range h.events {
		fail(out.Encode(e))
	}
	for _, err := range h.surprises {
		fmt.Println("error", err)
	}
}

// disturb stops processes for a while, and removes leases as if they had ended,
// until the last process has gone.
func disturb(t *testing.T, s *redistest.Server, prefix string, ps []*redistest.Actor, gone <-chan struct{}) {
	rdb := s.Client(t)
	keys := newCache(t, rdb, Options{Prefix: prefix})
	for {
		select {
		case <-gone:
			return
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
		switch rand.IntN(3) {
		case 0:
			lease := keys.keysOf(raceName + ":" + strconv.Itoa(rand.IntN(raceKeys)))[1]
			if err := rdb.Del(t.Context(), lease).Err(); err != nil {
				t.Error(err)
			}
		case 1:
			p := pick(ps...).Process
			if p.Signal(syscall.SIGSTOP) != nil { // has ended
				continue
			}
			d := rand.N(50 * time.Millisecond)
			if rand.IntN(200) == 0 {
				d += leaseTerm
			}
			time.Sleep(d)
			_ = p.Signal(syscall.SIGCONT)
		}
	}
}

// Three processes race on a few keys, each with many callers. They are stopped at
// random, instead of at steps of their own.
func TestRaceProcesses(t *testing.T) {
	for _, staleFor := range []time.Duration{0, time.Minute} {
		t.Run("stale for "+staleFor.String(), func(t *testing.T) {
			redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
				raceProcesses(t, s, staleFor)
			})
		})
	}
}

func raceProcesses(t *testing.T, s *redistest.Server, staleFor time.Duration) {
	began := time.Now()
	calls := 10 * schedules(t, 100, 0.01) // of each process
	prefix := redistest.Prefix(t)
	var ps []*redistest.Actor
	for i := range 3 {
		cfg, err := json.Marshal(raceConfig{URL: s.URL(), Prefix: prefix, ID: i, Calls: calls, StaleFor: staleFor})
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, racerRole.Start(t, string(cfg)))
	}
	for _, p := range ps {
		p.Begin()
	}
	gone := make(chan struct{})
	var disturbing, reading sync.WaitGroup
	disturbing.Go(func() { disturb(t, s, prefix, ps, gone) })
	histories := make([][]event, len(ps))
	for i, p := range ps {
		reading.Go(func() {
			for line := range p.Lines {
				var e event
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Errorf("process %d said %q", i, line)
					continue
				}
				histories[i] = append(histories[i], e)
			}
		})
	}
	reading.Wait()
	close(gone)
	disturbing.Wait()
	all := history{events: slices.Concat(histories...)}
	if n := len(all.events); n < calls*2 {
		t.Errorf("%d events of %d calls", n, 3*calls)
	}
	if err := all.check(staleFor > 0); err != nil {
		t.Error(err)
	}
	t.Logf("%d calls of %d processes in %v: %v", calls, len(ps), time.Since(began).Round(time.Millisecond), all.counts())
}

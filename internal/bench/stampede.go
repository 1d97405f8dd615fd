package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// stampedeRivals are the rivals at a stampede and in an outage, as they are by
// default.
var stampedeRivals = []bytesRival{
	{"go-redis", "GET and SET by hand", openGoRedis},
	{"freshet", "", openFreshet},
	{"go-redis/cache", "", openGoRedisCache},
	{"rueidisaside", "", openRueidisAside},
	{"sturdyc", "", openSturdyc},
}

// stampedeWorkload asks for one cold key in many processes at once.
func stampedeWorkload() workload {
	w := workload{
		name: "cache/stampede",
		about: fmt.Sprintf("A cold key, %d processes with %d callers each, a load of %v, default settings: "+
			"how many loads there are, and when the last caller has its value.",
			fullScale.processes, fullScale.callers, fullScale.load),
		metrics:   []metric{{"loads", count}, {"last served", seconds}, {"median wait", seconds}, {"failed calls", count}},
		primary:   noRatio,
		maxRounds: 9,
	}
	for _, r := range stampedeRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(_ context.Context, env *environment) (*trial, error) {
			return &trial{
				func(ctx context.Context, _ time.Duration) (sample, error) { return stampede(ctx, env, r.name) },
				func() {},
			}, nil
		}})
	}
	return w
}

// childEnv holds the task of a process that stampede has started.
const childEnv = "FRESHET_BENCH_CHILD"

// task is what such a process is to do.
type task struct {
	Rival, URL, Key string
	Callers         int
	Load            time.Duration
}

// outcome is what it reports.
type outcome struct {
	Loads, Failed int64
	Waits         []time.Duration
}

// stampede has one rival asked for a cold key.
func stampede(ctx context.Context, env *environment, rival string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel() // ends the children, however this ends
	t := task{
		Rival: rival, URL: env.server.url, Key: fmt.Sprintf("%s:cold:%x", env.prefix, rand.Uint64()),
		Callers: env.scale.callers, Load: env.scale.load,
	}
	children := make([]*child, env.scale.processes)
	for i := range children {
		var err error
		if children[i], err = startChild(ctx, t); err != nil {
			return nil, err
		}
		defer children[i].end()
	}
	for _, c := range children {
		if err := c.ready(); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	for _, c := range children {
		c.release()
	}
	var total outcome
	for _, c := range children {
		var o outcome
		if err := json.NewDecoder(c.out).Decode(&o); err != nil {
			return nil, fmt.Errorf("a process: %w", err)
		}
		total.Loads += o.Loads
		total.Failed += o.Failed
		total.Waits = append(total.Waits, o.Waits...)
	}
	served := time.Since(begin)
	if want := env.scale.processes * env.scale.callers; len(total.Waits) != want {
		return nil, fmt.Errorf("%d calls returned, want %d", len(total.Waits), want)
	}
	slices.Sort(total.Waits)
	return sample{
		float64(total.Loads), served.Seconds(),
		total.Waits[len(total.Waits)/2].Seconds(), float64(total.Failed),
	}, nil
}

// child is a process of a stampede.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func startChild(ctx context.Context, t task) (*child, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd, in, bufio.NewReader(out)}, start(cmd)
}

// ready waits until the child is connected.
func (c *child) ready() error {
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		return fmt.Errorf("a process said %q: %w", line, err)
	}
	return nil
}

func (c *child) release() { _ = c.in.Close() }

func (c *child) end() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// runChild is what a child does. It opens its connections first: a stampede on a
// process that has only just started is another matter.
func runChild(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	i := slices.IndexFunc(stampedeRivals, func(r bytesRival) bool { return r.name == t.Rival })
	if i < 0 {
		return errors.New("no such rival")
	}
	c, err := stampedeRivals[i].open(ctx, t.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	crowd(t.Callers, func(caller int) {
		_, _ = c.GetOrLoad(ctx, fmt.Sprintf("%s:warm:%d:%d", t.Key, os.Getpid(), caller), loaded)
	})
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until the parent closes it

	var loads, failed atomic.Int64
	waits := make([]time.Duration, t.Callers)
	crowd(t.Callers, func(caller int) {
		begin := time.Now()
		b, err := c.GetOrLoad(ctx, t.Key, func(ctx context.Context) ([]byte, error) {
			loads.Add(1)
			time.Sleep(t.Load)
			return loaded(ctx)
		})
		waits[caller] = time.Since(begin)
		if err != nil || !bytes.Equal(b, newBytes("cold")) {
			failed.Add(1)
		}
	})
	return json.NewEncoder(out).Encode(outcome{loads.Load(), failed.Load(), waits})
}

// crowd calls f n times at once.
func crowd(n int, f func(caller int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// loaded is a load that returns at once.
func loaded(context.Context) ([]byte, error) { return newBytes("cold"), nil }

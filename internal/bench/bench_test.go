package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

func TestMain(m *testing.M) {
	logging.Disable() // of go-redis
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(context.Background(), text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// tinyScale is large enough for every workload to do all that it does.
var tinyScale = scale{
	keys:         200,
	batch:        20,
	members:      2_000,
	crowd:        10_000,
	processes:    2,
	callers:      3,
	load:         10 * time.Millisecond,
	outageCalls:  2,
	outageCap:    200 * time.Millisecond,
	outageBudget: 200 * time.Millisecond,
}

// Every workload runs on a real server, with every contender. How fast is not
// tested.
func TestWorkloads(t *testing.T) {
	s := testServer(t)
	r := &runner{
		server: s, scale: tinyScale, prefix: "test", rounds: 1, duration: 30 * time.Millisecond, progress: io.Discard,
	}
	var names []string
	for _, p := range packages {
		var results []result
		for _, w := range p.workloads() {
			if !strings.HasPrefix(w.name, p.name+"/") || slices.Contains(names, w.name) {
				t.Errorf("the name of workload %s is not %s/… or not its own", w.name, p.name)
			}
			names = append(names, w.name)
			t.Run(w.name, func(t *testing.T) {
				res, err := r.run(t.Context(), w)
				for tries := 1; err != nil && tries < 3; tries++ {
					t.Log(err) // so short a round may not be what it should be on a busy machine
					res, err = r.run(t.Context(), w)
				}
				if err != nil {
					t.Fatal(err)
				}
				if res.skipped != "" {
					t.Skip(res.skipped)
				}
				if len(res.rows) != len(w.contenders) {
					t.Errorf("%d of %d contenders have a row", len(res.rows), len(w.contenders))
				}
				for _, row := range res.rows {
					if len(row.values) != len(w.metrics) || row.values[0].median <= 0 {
						t.Errorf("%s has the values %v", row.name, row.values)
					}
				}
				results = append(results, res)
			})
		}
		dir := t.TempDir()
		if err := writeResults(dir, p.name, describe(s, nil), results); err != nil {
			t.Error(err)
		}
		if err := writeJSON(io.Discard, nil, results); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(dir + "/" + p.name + ".md")
		if err != nil {
			t.Error(err)
		}
		host, err := os.Hostname()
		if err != nil {
			t.Error(err)
		}
		for _, private := range []string{dir, s.dir, s.url, host} {
			if regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(private) + `($|\W)`).Match(text) {
				t.Errorf("the results of %s contain %q", p.name, private)
			}
		}
	}
}

// testServer starts a server, or skips the test where there is none.
func testServer(t *testing.T) *server {
	t.Helper()
	if _, err := findServer(); err != nil {
		if slices.Contains(strings.Split(os.Getenv("FRESHET_REQUIRE"), ","), "standalone") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func TestHistogram(t *testing.T) {
	for range 10_000 {
		d := time.Duration(rand.Int64N(int64(1) << rand.IntN(41)))
		if got := middleOf(bucketOf(d)); (got - d).Abs() > d/256 {
			t.Fatalf("%v is counted as %v", d, got)
		}
	}
	h := new(histogram)
	for i := range 1000 {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	for i, got := range h.quantiles(0.5, 0.99, 0.999, 1) {
		want := []time.Duration{500, 990, 999, 1000}[i] * time.Microsecond
		if (got - want).Abs() > want/256 {
			t.Errorf("quantile %d is %v, want %v", i, got, want)
		}
	}
	_ = new(histogram).quantiles(0.5) // of nothing
	h.record(-1)
	h.record(1 << 62)
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3, 1, 2}, spread{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
		{nil, spread{}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("spreadOf(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

// A batch of many keys is drawn from distinct ones, and a value is as long as it
// should be.
func TestValues(t *testing.T) {
	env := &environment{scale: fullScale, prefix: "bench-01234567:00"}
	keys := env.keys()
	distinct := make(map[string]bool)
	for _, key := range keys {
		distinct[key] = true
		if n := len(newBytes(key)); n != valueSize {
			t.Fatalf("the value of %s has %d bytes", key, n)
		}
	}
	if len(distinct) != fullScale.keys {
		t.Errorf("%d distinct keys, want %d", len(distinct), fullScale.keys)
	}
	if a, b := newRecord(keys[0]), newRecord(keys[1]); same(a, b) || !same(a, newRecord(keys[0])) {
		t.Error("records do not depend on their keys")
	}
}

// The commands of a request are counted however the writes are cut.
func TestWireCount(t *testing.T) {
	const stream = "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$11\r\n*2\r\n$1\r\n9\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
	for size := 1; size <= len(stream); size++ {
		c, got := new(wireConn), int64(0)
		for part := range slices.Chunk([]byte(stream), size) {
			got += c.count(part)
		}
		if got != 3 {
			t.Errorf("cut into %d bytes each it has %d commands, want 3", size, got)
		}
	}
}

package main

import (
	"context"
	"errors"
	"time"
)

// A workload is one task that is given to several libraries in turn.
type workload struct {
	name       string   // package/task/variant; -run matches it
	about      string   // what is measured, for the report
	metrics    []metric // what a round yields
	primary    int      // the metric of which ratios to the baseline are made, or noRatio
	baseline   string   // the contender that the others are compared with
	contenders []contender
	split      int // cut each round into so many; zero: not. Short rounds cancel drift, for small differences
	maxRounds  int // where a round takes long; zero: as many as asked for
}

// noRatio is the primary of a workload that has no baseline.
const noRatio = -1

// A contender is a library at one workload.
type contender struct {
	name string
	note string // what is special about it, for the report
	open func(ctx context.Context, env *environment) (*trial, error)
}

// A trial is a contender that is ready to run rounds.
type trial struct {
	round func(ctx context.Context, d time.Duration) (sample, error)
	close func()
}

// A sample has a value for each metric of its workload: seconds, bytes or counts.
type sample []float64

// A metric says what a value of a sample is.
type metric struct {
	name string
	unit unit
}

type unit int

const (
	count unit = iota
	perSecond
	seconds
	bytesUnit
)

// errSkip is wrapped in the error of a contender that cannot run here.
var errSkip = errors.New("skipped")

// environment is what trials run in.
type environment struct {
	server *server
	scale  scale
	prefix string // of this contender's keys; all have the same length
}

// scale is how large the workloads are. Tests use a small one.
type scale struct {
	keys         int           // distinct keys
	batch        int           // keys of a GetMany
	members      int           // of a leaderboard
	crowd        int           // members of a large one
	processes    int           // of a stampede
	callers      int           // of each of its processes
	load         time.Duration // of its loader
	outageCalls  int           // after the first
	outageCap    time.Duration // of one call
	outageBudget time.Duration // of all calls after the first
}

var fullScale = scale{
	keys:         10_000,
	batch:        100,
	members:      100_000,
	crowd:        1_000_000,
	processes:    8,
	callers:      50,
	load:         100 * time.Millisecond,
	outageCalls:  20,
	outageCap:    10 * time.Second,
	outageBudget: 8 * time.Second,
}

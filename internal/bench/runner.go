package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// runner runs workloads.
type runner struct {
	server   *server
	scale    scale
	prefix   string // of all keys
	rounds   int
	duration time.Duration  // of a round
	rivals   *regexp.Regexp // which contenders take part, besides the baselines
	profile  *profile       // of Freshet's rounds; may be nil
	progress io.Writer
}

// A result is what a workload yielded.
type result struct {
	workload
	skipped string // why there is none
	rounds  int
	length  time.Duration // of a round; zero: as long as it took
	rows    []row
}

// A row is a contender's part of a result.
type row struct {
	name, note string
	values     []spread // one for each metric
	ratio      spread   // of the primary metric to the baseline's in the same round
}

// spread is a median and what lies furthest from it.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return spread{}
	}
	middle := len(s) / 2
	median := s[middle]
	if len(s)%2 == 0 {
		median = (s[middle-1] + s[middle]) / 2
	}
	return spread{median, s[0], s[len(s)-1]}
}

// run opens the contenders, has each run a round that does not count, and then
// rounds in which they take turns in random order.
func (r *runner) run(ctx context.Context, w workload) (result, error) {
	res := result{workload: w, rounds: r.rounds, length: r.duration}
	if w.split > 0 {
		res.rounds, res.length = r.rounds*w.split, r.duration/time.Duration(w.split)
	}
	if w.maxRounds > 0 {
		res.rounds = min(res.rounds, w.maxRounds)
	}
	if err := r.server.empty(ctx); err != nil {
		return res, err
	}
	contenders := r.contendersOf(w)
	trials := make([]*trial, len(contenders))
	for i, c := range contenders {
		fmt.Fprintf(r.progress, "%s: %s\n", w.name, c.name)
		env := &environment{server: r.server, scale: r.scale, prefix: fmt.Sprintf("%s:%02d", r.prefix, i)}
		t, err := c.open(ctx, env)
		switch {
		case errors.Is(err, errSkip):
			res.skipped = err.Error()
			return res, nil
		case err != nil:
			return res, fmt.Errorf("%s: %s: %w", w.name, c.name, err)
		}
		defer t.close()
		trials[i] = t
	}

	samples := make([][]sample, len(contenders))
	for round := range 1 + res.rounds {
		fmt.Fprintf(r.progress, "\r%s: round %d of %d ", w.name, round, res.rounds)
		for _, i := range rand.Perm(len(trials)) {
			c := contenders[i]
			warmUp := round == 0
			if c.name == "freshet" && !warmUp {
				if err := r.profile.start(); err != nil {
					return res, err
				}
			}
			s, err := trials[i].round(ctx, res.length)
			if stopErr := r.profile.stop(); err == nil {
				err = stopErr
			}
			if err != nil {
				return res, fmt.Errorf("%s: %s: %w", w.name, c.name, err)
			}
			if !warmUp {
				samples[i] = append(samples[i], s)
			}
		}
	}
	fmt.Fprintln(r.progress)
	res.rows = rowsOf(w, contenders, samples)
	if w.primary == noRatio {
		res.length = 0
	}
	return res, nil
}

// contendersOf are the contenders that take part.
func (r *runner) contendersOf(w workload) []contender {
	var take []contender
	for _, c := range w.contenders {
		if c.name == w.baseline || r.rivals == nil || r.rivals.MatchString(c.name) {
			take = append(take, c)
		}
	}
	return take
}

func rowsOf(w workload, contenders []contender, samples [][]sample) []row {
	base := slices.IndexFunc(contenders, func(c contender) bool { return c.name == w.baseline })
	rows := make([]row, len(contenders))
	for i, c := range contenders {
		rows[i] = row{name: c.name, note: c.note}
		for m := range w.metrics {
			var values []float64
			for _, s := range samples[i] {
				values = append(values, s[m])
			}
			rows[i].values = append(rows[i].values, spreadOf(values))
		}
		if w.primary == noRatio {
			continue
		}
		var ratios []float64
		for round, s := range samples[i] {
			ratios = append(ratios, s[w.primary]/samples[base][round][w.primary])
		}
		rows[i].ratio = spreadOf(ratios)
	}
	return rows
}

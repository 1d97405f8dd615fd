package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// outageWorkload asks for values while Redis is away: killed, or stopped.
func outageWorkload(how string) workload {
	w := workload{
		name: "cache/outage/" + how,
		about: fmt.Sprintf("Calls one after the other, for other keys each, while Redis is away (%s), "+
			"the load returning at once; default settings, the caller without a deadline. %v means that the call had not returned by then.",
			how, fullScale.outageCap),
		metrics: []metric{
			{"first call", seconds},
			{"later, median", seconds},
			{"later, longest", seconds},
			{"calls", count},
			{"failed", count},
		},
		primary:   noRatio,
		maxRounds: 3,
	}
	for _, r := range stampedeRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			if _, err := findServer(); err != nil {
				return nil, fmt.Errorf("%w: it takes a server of its own: %w", errSkip, err)
			}
			return &trial{
				func(ctx context.Context, _ time.Duration) (sample, error) { return outage(ctx, env, r.open, how) },
				func() {},
			}, nil
		}})
	}
	return w
}

func outage(ctx context.Context, env *environment, open openBytes, how string) (sample, error) {
	s, err := startServer(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close() // which ends what still waits for it
	c, err := open(ctx, s.url)
	if err != nil {
		return nil, err
	}
	defer func() { go c.Close() }() // it may wait
	for i := range 10 {
		if _, err := c.GetOrLoad(ctx, fmt.Sprintf("%s:warm:%d", env.prefix, i), loaded); err != nil {
			return nil, err
		}
	}
	if how == "hung" {
		if err := s.hang(); err != nil {
			return nil, fmt.Errorf("%w: %w", errSkip, err)
		}
	} else {
		s.kill()
	}

	failed := 0
	call := func(i int) time.Duration {
		took, err := capped(ctx, env.scale.outageCap, func(ctx context.Context) error {
			_, err := c.GetOrLoad(ctx, fmt.Sprintf("%s:away:%d", env.prefix, i), loaded)
			return err
		})
		if err != nil {
			failed++
		}
		return took
	}
	first := call(0)
	var later []time.Duration
	begin := time.Now()
	for i := 1; i <= env.scale.outageCalls && (i == 1 || time.Since(begin) < env.scale.outageBudget); i++ {
		later = append(later, call(i))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.Sort(later)
	return sample{
		first.Seconds(), later[len(later)/2].Seconds(), later[len(later)-1].Seconds(),
		float64(1 + len(later)), float64(failed),
	}, nil
}

// capped measures f, for at most so long: then it leaves it behind.
func capped(ctx context.Context, limit time.Duration, f func(context.Context) error) (time.Duration, error) {
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- f(ctx) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return time.Since(begin), err
	case <-timer.C:
		return limit, context.DeadlineExceeded
	case <-ctx.Done():
		return time.Since(begin), ctx.Err()
	}
}

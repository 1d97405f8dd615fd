package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/leaderboard"
)

// leaderboardWorkloads are the workloads of package leaderboard.
func leaderboardWorkloads() []workload {
	var all []workload
	for _, callers := range []int{1, 64} {
		all = append(all, boardWorkload("page", callers), boardWorkload("submit", callers), boardWorkload("around", callers))
	}
	return append(all, deepWorkload(), weekWorkload(), boardMemoryWorkload())
}

// pageRows are the entries of a page.
const pageRows = 25

// rankedBoard is what every library under comparison is made to look like. The largest
// value is first.
type rankedBoard interface {
	Submit(ctx context.Context, member string, value int64) (rank int, err error) // 0: it does not say
	Page(ctx context.Context, offset int) ([]leaderboard.Entry, error)
	Around(ctx context.Context, member string) ([]leaderboard.Entry, error)
	Close()
}

// filler is a rankedBoard that can be filled by many at once.
type filler interface {
	rankedBoard
	Fill(ctx context.Context, scores []leaderboard.Score) error
}

// A boardRival is a library as a rankedBoard.
type boardRival struct {
	name, note string
	ties       bool                      // equal values have equal ranks, as in 1224
	sends      map[string]map[string]int // the commands of a Submit, Page or Around, and how many of each
	open       func(url, key string) (filler, error)
}

// Each command of sends makes one round trip, with those before it if it is EXEC.
var boardRivals = []boardRival{
	{"go-redis", "ZREVRANGE, ZADD without a rank, and ZREVRANK before ZREVRANGE; places for ranks", false,
		map[string]map[string]int{"page": {"zrevrange": 1}, "submit": {"zadd": 1}, "around": {"zrevrank": 1, "zrevrange": 1}}, openPlainBoard},
	{"freshet", "", true,
		map[string]map[string]int{"page": {"evalsha": 1}, "submit": {"evalsha": 1}, "around": {"evalsha": 1}}, openFreshetBoard},
	{"agoragames/leaderboard", "its commands for ranks as 1224", true,
		map[string]map[string]int{"page": {"zcard": 1, "zrevrange": 1, "exec": 2}, "submit": {"exec": 2, "zcount": 1},
			"around": {"zrevrank": 1, "zrevrange": 1, "exec": 2}}, openAgoragames},
	{"podium", "its commands; places for ranks", false,
		map[string]map[string]int{"page": {"zcard": 1, "zrevrange": 1}, "submit": {"zadd": 1, "zscore": 2, "zrevrank": 1},
			"around": {"zrevrank": 1, "zcard": 1, "zrevrange": 1}}, openPodium},
	{"redis-rank", "its commands; places for ranks", false,
		map[string]map[string]int{"page": {"zrevrange": 1}, "submit": {"evalsha": 2}, "around": {"evalsha": 1}}, openRedisRank},
}

// serverTime is the index of that metric in boardMetrics.
var serverTime = len(loopMetrics("")) + 1

func boardMetrics() []metric {
	return append(loopMetrics("calls"), metric{"round trips/op", count}, metric{"server time/op", seconds})
}

// boardWorkload has callers do one thing on a board.
func boardWorkload(task string, callers int) workload {
	about := map[string]string{
		"page":   fmt.Sprintf("A page of %d entries, anywhere on a board, with their ranks", pageRows),
		"submit": "A score that is better than the member's last, and the rank that this gives",
		"around": fmt.Sprintf("%d entries around a member, with their ranks", pageRows),
	}[task]
	w := workload{
		name: fmt.Sprintf("leaderboard/%s/%d", task, callers),
		about: fmt.Sprintf("%s, %s. Four members or so share a value. Server time is that of the execution of commands by the server's account, without interruptions. "+
			"The baseline does it by hand, without ranks for equals.", about, callersText(callers)),
		metrics: boardMetrics(), primary: throughput, baseline: "go-redis",
	}
	lone(&w, callers)
	if task == "submit" && callers == 1 {
		w.primary = serverTime
	}
	for _, r := range boardRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openBoard(ctx, env, r, task, callers)
		}})
	}
	return w
}

func openBoard(ctx context.Context, env *environment, r boardRival, task string, callers int) (*trial, error) {
	b, err := r.open(env.server.url, env.prefix+":board")
	if err != nil {
		return nil, err
	}
	scores := newScores(env.scale.members)
	if err = fillBoard(ctx, b, scores); err == nil {
		err = checkBoard(ctx, b, r, scores)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	l := &loop{callers: callers, items: 1, server: env.server}
	switch task {
	case "page":
		l.op = func(ctx context.Context, r *rand.Rand) error {
			return wantRows(b.Page(ctx, r.IntN(len(scores)-pageRows)))
		}
	case "around":
		l.op = func(ctx context.Context, r *rand.Rand) error {
			rows, err := b.Around(ctx, scores[r.IntN(len(scores))].Member)
			if err == nil && len(rows) < pageRows/2 { // some have less near an end
				err = fmt.Errorf("%w: %d rows", errBoard, len(rows))
			}
			return err
		}
	case "submit":
		values := make([]atomic.Int64, len(scores))
		for i := range scores {
			values[i].Store(scores[i].Value)
		}
		l.op = func(ctx context.Context, r *rand.Rand) error {
			i := r.IntN(len(scores))
			_, err := b.Submit(ctx, scores[i].Member, values[i].Add(1+r.Int64N(int64(len(scores)/100))))
			return err
		}
	}
	return &trial{timedRound(l, r.sends[task]), b.Close}, nil
}

// After a round there are stretches of operations, one after the other, for the server's
// account of them: the mean of the stretch that was interrupted least. A mean of all is of
// the machine's other work too. SLOWLOG would log what is in scripts as well, and cost more
// than that; and INFO after each operation would leave none of it in the CPU's caches.
const stretches, stretch = 10, 40

// timedRound is a round of a loop, with the server's account of the commands that each
// operation sends. It checks that these are sent, so many of each.
func timedRound(l *loop, sends map[string]int) func(ctx context.Context, d time.Duration) (sample, error) {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		before, err := l.server.commands(ctx)
		if err != nil {
			return nil, err
		}
		var done int64
		l.check = func(operations, _, _ int64) error {
			done = operations
			return nil
		}
		s, err := l.round(ctx, d)
		if err != nil {
			return nil, err
		}
		after, err := l.server.commands(ctx)
		if err != nil {
			return nil, err
		}
		trips := 0
		for name, n := range sends {
			calls := after[name].calls - before[name].calls
			inside := sends["exec"] > 0 && calls > int64(n)*done // of the transactions
			if calls != int64(n)*done && !inside {
				return nil, fmt.Errorf("%d operations sent %s %d times, want %d each", done, strings.ToUpper(name), calls, n)
			}
			trips += n
		}
		var spent []float64
		random := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for start := time.Now(); len(spent) == 0 || len(spent) < stretches && time.Since(start) < d; {
			before, done = after, 0
			for done == 0 || done < stretch && time.Since(start) < d {
				if err := l.op(ctx, random); err != nil {
					return nil, err
				}
				done++
			}
			if after, err = l.server.commands(ctx); err != nil {
				return nil, err
			}
			mean := 0.0
			for name, n := range sends {
				calls := float64(after[name].calls - before[name].calls)
				mean += float64(n) * (after[name].time - before[name].time).Seconds() / calls
			}
			spent = append(spent, mean)
		}
		return append(s, float64(trips), spreadOf(spent).min), nil
	}
}

var errBoard = errors.New("the board is not as it should be")

func wantRows(rows []leaderboard.Entry, err error) error {
	if err == nil && len(rows) != pageRows {
		err = fmt.Errorf("%w: %d rows", errBoard, len(rows))
	}
	return err
}

// newScores returns a score of each member, of which some are equal.
func newScores(members int) []leaderboard.Score {
	r := rand.New(rand.NewPCG(1, 2))
	scores := make([]leaderboard.Score, members)
	for i := range scores {
		scores[i] = leaderboard.Score{Member: fmt.Sprintf("member-%06d", i), Value: r.Int64N(int64(members / 4))}
	}
	return scores
}

// fillBoard submits scores, 1,000 at a time.
func fillBoard(ctx context.Context, b filler, scores []leaderboard.Score) error {
	const fillers, batch = 4, 1000
	errs := make([]error, fillers)
	crowd(fillers, func(caller int) {
		for at := caller * batch; at < len(scores) && errs[caller] == nil; at += fillers * batch {
			errs[caller] = b.Fill(ctx, scores[at:min(at+batch, len(scores))])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

// ranked returns the values, best first, and the rank of each as 1224.
func ranked(scores []leaderboard.Score) (values []int64, ranks []int) {
	for i := range scores {
		values = append(values, scores[i].Value)
	}
	slices.SortFunc(values, func(a, b int64) int { return cmp.Compare(b, a) })
	for i := range values {
		if i > 0 && values[i] == values[i-1] {
			ranks = append(ranks, ranks[i-1])
		} else {
			ranks = append(ranks, i+1)
		}
	}
	return values, ranks
}

// checkBoard checks some pages, and some submissions, whose values it puts into scores.
func checkBoard(ctx context.Context, b rankedBoard, r boardRival, scores []leaderboard.Score) error {
	values, ranks := ranked(scores)
	if slices.Max(ranks) == len(ranks) && ranks[1] == 2 && len(slices.Compact(slices.Clone(values))) > len(values)/2 {
		return fmt.Errorf("%w: few values are equal", errBoard)
	}
	rank := func(place int) int {
		if r.ties {
			return ranks[place]
		}
		return place + 1
	}
	for _, offset := range []int{0, 1, len(scores) / 3, len(scores) - pageRows} {
		page, err := b.Page(ctx, offset)
		if err := wantRows(page, err); err != nil {
			return err
		}
		for i, e := range page {
			if e.Value != values[offset+i] || e.Rank != rank(offset+i) {
				return fmt.Errorf("%w: row %d is %v, want the value %d and the rank %d", errBoard, offset+i, e, values[offset+i], rank(offset+i))
			}
			near, err := b.Around(ctx, e.Member)
			if err := wantRows(near, err); err != nil && offset == len(scores)/3 {
				return err
			}
			if !slices.ContainsFunc(near, func(n leaderboard.Entry) bool { return n.Member == e.Member && n.Value == e.Value && n.Rank == e.Rank }) {
				return fmt.Errorf("%w: %v is not around itself", errBoard, e)
			}
		}
	}
	for i := range 20 {
		s := &scores[i*len(scores)/20]
		s.Value = values[0] + int64(i) + 1
		got, err := b.Submit(ctx, s.Member, s.Value)
		if err != nil {
			return err
		}
		if r.name != "go-redis" && got != 1 {
			return fmt.Errorf("%w: the best has rank %d", errBoard, got)
		}
	}
	return nil
}

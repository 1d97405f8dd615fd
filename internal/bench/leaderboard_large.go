package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

// cloned is how many members of a large board are submitted. The others are copies of
// these in the server, or to fill it would take minutes.
const cloned = 1000

// clone copies, in all keys, what the members from 0 to ARGV[3] have to others.
var clone = redis.NewScript(`
for _, key in ipairs(KEYS) do
  local get, set = 'HGET', 'HSET'
  if redis.call('TYPE', key).ok == 'zset' then
    get, set = 'ZSCORE', 'ZADD'
  end
  for i = ARGV[1], ARGV[2] do
    local has = redis.call(get, key, string.format('member-%06d', i % ARGV[3]))
    local member = string.format('member-%06d', i)
    if set == 'HSET' then
      redis.call('HSET', key, member, has)
    else
      redis.call('ZADD', key, has, member)
    end
  end
end`)

// fillLarge fills a board with many members, and returns what they have.
func fillLarge(ctx context.Context, env *environment, b filler) ([]leaderboard.Score, error) {
	scores := newScores(env.scale.crowd)
	for i := range scores {
		scores[i].Value = scores[i%cloned].Value
	}
	if err := fillBoard(ctx, b, scores[:cloned]); err != nil {
		return nil, err
	}
	keys, err := boardKeys(ctx, env)
	if err != nil {
		return nil, err
	}
	const batch = 5000
	for at := cloned; at < len(scores); at += batch {
		last := min(at+batch, len(scores)) - 1
		if err := clone.Run(ctx, env.server.admin, keys, at, last, cloned).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("fill: %w", err)
		}
	}
	return scores, nil
}

// boardKeys are the keys of a contender that have something of each member.
func boardKeys(ctx context.Context, env *environment) (keys []string, err error) {
	for _, kind := range []string{"zset", "hash"} {
		it := env.server.admin.ScanType(ctx, 0, env.prefix+":*", 1000, kind).Iterator()
		for it.Next(ctx) {
			keys = append(keys, it.Val())
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the board has no keys")
	}
	return keys, nil
}

// deepWorkload reads a page of the values between two, far from the first.
func deepWorkload() workload {
	w := workload{
		name: "leaderboard/deep/1",
		about: fmt.Sprintf("A page of %d entries of the values between two, far from the first of these on a large board, 1 caller. "+
			"The baseline is Freshet.", pageRows),
		metrics: boardMetrics(), baseline: "freshet",
	}
	lone(&w, 1)
	for _, c := range []struct {
		name, note string
		sends      map[string]int
		open       func(url, key string) (deepBoard, error)
	}{
		{"freshet", "", map[string]int{"evalsha": 1}, openFreshetDeep},
		{"go-redis", "ZREVRANGEBYSCORE with LIMIT", map[string]int{"zrevrangebyscore": 1}, openDeepLimit},
		{"go-redis, ZCOUNT", "ZCOUNT, and then ZREVRANGE: two round trips, and two moments", map[string]int{"zcount": 1, "zrevrange": 1}, openDeepCount},
	} {
		w.contenders = append(w.contenders, contender{c.name, c.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openDeep(ctx, env, c.open, c.sends)
		}})
	}
	return w
}

// deepBoard is a filler with pages of the values between two.
type deepBoard interface {
	filler
	Between(ctx context.Context, lo, hi int64, offset int) ([]leaderboard.Entry, error)
}

func openDeep(ctx context.Context, env *environment, open func(url, key string) (deepBoard, error), sends map[string]int) (*trial, error) {
	b, err := open(env.server.url, env.prefix+":board")
	if err != nil {
		return nil, err
	}
	scores, err := fillLarge(ctx, env, b)
	if err != nil {
		b.Close()
		return nil, err
	}
	values, _ := ranked(scores)
	hi, lo := values[len(values)/10], values[len(values)*9/10]
	begin, _ := slices.BinarySearchFunc(values, hi, func(v, hi int64) int { return cmp.Compare(hi, v) })
	l := &loop{callers: 1, items: 1, server: env.server}
	l.op = func(ctx context.Context, r *rand.Rand) error {
		offset := len(values)/2 + r.IntN(len(values)/10)
		rows, err := b.Between(ctx, lo, hi, offset)
		if err := wantRows(rows, err); err != nil {
			return err
		}
		if first := begin + offset; rows[0].Value != values[first] || rows[pageRows-1].Value != values[first+pageRows-1] {
			return fmt.Errorf("%w: %v", errBoard, rows)
		}
		return nil
	}
	return &trial{timedRound(l, sends), b.Close}, nil
}

// week is the length of the window under measurement.
const week = 7 * 24 * time.Hour

// weekCalls are those of a round. Each retires up to 50 members, of 24 scores 11.
const weekCalls = 200

// weekWorkload measures the commands on a rolling week of many members, some of whose
// scores expire.
func weekWorkload() workload {
	w := workload{
		name: "leaderboard/week",
		about: fmt.Sprintf("The execution of commands by the server's SLOWLOG, on a rolling week of many members in mode Sum: %d calls of Submit, Range, Around and Between, "+
			"each of which retires members whose oldest score has expired, 50 of one score and 11 of 24. On a machine with other work the longest is one that was interrupted. "+
			"The baseline is Freshet.", weekCalls),
		metrics: []metric{{"longest", seconds}, {"p99", seconds}, {"median", seconds}},
		primary: 1, baseline: "freshet", maxRounds: 5,
	}
	for _, c := range []struct {
		name, note string
		scores     int
	}{
		{"freshet", "members with a score on 7 days, of which the first expires", 7},
		{"freshet, 1 score", "members who leave the board", 1},
		{"freshet, 24 scores", "members with a score in each 24th of the week, the most there can be", 24},
	} {
		w.contenders = append(w.contenders, contender{c.name, c.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openWeek(ctx, env, c.scores)
		}})
	}
	w.contenders = append(w.contenders, contender{"go-redis", "one ZUNIONSTORE of seven days that have no member in common", openUnion})
	return w
}

// expire gives members of a window a first score that has expired, and then others, up to
// ARGV[4]. The server's clock cannot be put forward by a week.
// KEYS: when something of a member expires; what each has in the window. ARGV: the first
// and the last member; a 24th of the window, us; number of scores; their distance in 24ths.
var expire = redis.NewScript(`
local t = redis.call('TIME')
local width = ARGV[3] + 0
local now = math.floor((t[1] * 1000000 + t[2]) / width) * width
for i = ARGV[1], ARGV[2] do
  local member = string.format('member-%06d', i)
  local value = string.match(redis.call('HGET', KEYS[2], member), ':(%-?%d+)$')
  local has = {}
  for n = 1, ARGV[4] do
    has[n] = string.format('%.0f:%s', now - (24 - (n - 1) * ARGV[5]) * width + 1000 * n, value)
  end
  redis.call('HSET', KEYS[2], member, table.concat(has, ';'))
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), member)
end`)

// openWindow opens a rolling week and fills it.
func openWindow(ctx context.Context, env *environment) (*freshetBoard, []leaderboard.Score, error) {
	b, err := newFreshetBoard(env.server.url, env.prefix+":board", leaderboard.Options{
		Mode: leaderboard.Sum, Periods: []leaderboard.Period{leaderboard.Rolling(week)},
	})
	if err != nil {
		return nil, nil, err
	}
	scores, err := fillLarge(ctx, env, b)
	if err != nil {
		b.Close()
		return nil, nil, err
	}
	return b, scores, nil
}

// expireSome has the first score of members expire.
func expireSome(ctx context.Context, env *environment, from, n, scores int) error {
	keys, err := boardKeys(ctx, env)
	if err != nil {
		return err
	}
	var both [2]string // by the keys' documented names
	for _, key := range keys {
		for i, part := range []string{":e.", ":w."} {
			if strings.Contains(key, part) {
				both[i] = key
			}
		}
	}
	distance := max(24/scores, 1)
	for at := from; at < from+n; at += cloned {
		last := min(at+cloned, from+n) - 1
		err := expire.Run(ctx, env.server.admin, both[:], at, last, (week / 24).Microseconds(), scores, distance).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("expire: %w", err)
		}
	}
	return nil
}

func openWeek(ctx context.Context, env *environment, has int) (*trial, error) {
	b, scores, err := openWindow(ctx, env)
	if err != nil {
		return nil, err
	}
	// The first half of the members takes turns, the second is asked about.
	retired := min(weekCalls*50, len(scores)/20)
	turn, lag := 0, 0
	calls := func(ctx context.Context) error {
		for i := range weekCalls {
			s := scores[len(scores)/2+rand.IntN(len(scores)/2)]
			offset := rand.IntN(len(scores) / 4)
			var err error
			switch i % 4 {
			case 0:
				_, err = b.b.Submit(ctx, leaderboard.Score{Member: s.Member, Value: 1})
			case 1:
				err = wantRows(b.Page(ctx, offset))
			case 2:
				err = wantRows(b.Around(ctx, s.Member))
			case 3:
				err = wantRows(b.Between(ctx, 0, 1<<30, offset))
			}
			if err != nil {
				return err
			}
			before := lag
			lag = int(b.b.Stats().Lag)
			if lag > max(before-10, 0) || lag < before-50 {
				return fmt.Errorf("%w: a lag of %d after one of %d, %d calls after one of %d", errBoard, lag, before, i+1, retired)
			}
		}
		return nil
	}
	return &trial{func(ctx context.Context, _ time.Duration) (sample, error) {
		if err := expireSome(ctx, env, turn%10*retired, retired, has); err != nil {
			return nil, err
		}
		turn++
		lag += retired
		times, err := env.server.slowLog(ctx, func() error { return calls(ctx) })
		if err == nil && len(times["evalsha"]) < weekCalls-4 { // but for scripts that the server has just learnt
			err = fmt.Errorf("%d commands of %d calls", len(times["evalsha"]), weekCalls)
		}
		if err != nil {
			return nil, err
		}
		return longest(times["evalsha"]), nil
	}, b.Close}, nil
}

// longest makes a sample of the times of commands.
func longest(times []time.Duration) sample {
	slices.Sort(times)
	return sample{times[len(times)-1].Seconds(), times[(len(times)-1)*99/100].Seconds(), times[len(times)/2].Seconds()}
}

// openUnion fills a sorted set for each day, and unites them.
func openUnion(ctx context.Context, env *environment) (*trial, error) {
	admin := env.server.admin
	days := make([]string, 7)
	scores := newScores(env.scale.crowd)
	for day := range days {
		days[day] = fmt.Sprintf("%s:day:%d", env.prefix, day)
		part := scores[day*len(scores)/7 : (day+1)*len(scores)/7]
		if err := fillBoard(ctx, &plainBoard{admin, days[day]}, part); err != nil {
			return nil, err
		}
	}
	return &trial{func(ctx context.Context, _ time.Duration) (sample, error) {
		s, err := env.server.slowLog(ctx, func() error {
			n, err := admin.ZUnionStore(ctx, env.prefix+":week", &redis.ZStore{Keys: days, Aggregate: "SUM"}).Result()
			if err == nil && n != int64(len(scores)) {
				err = fmt.Errorf("%w: %d members", errBoard, n)
			}
			return err
		})
		if err == nil && len(s["zunionstore"]) != 1 {
			err = fmt.Errorf("%d commands in SLOWLOG, want 1", len(s["zunionstore"]))
		}
		if err != nil {
			return nil, err
		}
		return longest(s["zunionstore"]), nil
	}, func() {}}, nil
}

// boardMemoryWorkload measures what a member takes.
func boardMemoryWorkload() workload {
	w := workload{
		name:    "leaderboard/memory",
		about:   "Bytes in Redis for each member of a large board, of a name of 13, by MEMORY USAGE of all keys; the baseline is a sorted set by hand.",
		metrics: []metric{{"B/member", bytesUnit}},
		primary: 0, baseline: "go-redis", maxRounds: 1,
	}
	freshet := func(opts leaderboard.Options) func(context.Context, *environment) (filler, error) {
		return func(_ context.Context, env *environment) (filler, error) {
			return newFreshetBoard(env.server.url, env.prefix+":board", opts)
		}
	}
	for _, c := range []struct {
		name, note string
		scores     int // of each member in a window; 0: there is none
		open       func(context.Context, *environment) (filler, error)
	}{
		{"go-redis", "", 0, func(_ context.Context, env *environment) (filler, error) {
			return openPlainBoard(env.server.url, env.prefix+":board")
		}},
		{"freshet", "", 0, freshet(leaderboard.Options{})},
		{"freshet, metadata", "of 16 bytes", 0, freshet(leaderboard.Options{Meta: 16})},
		{"freshet, rolling", "a score in the window", 1, nil},
		{"freshet, rolling, 7 scores", "", 7, nil},
		{"freshet, rolling, 24 scores", "the most there can be", 24, nil},
	} {
		w.contenders = append(w.contenders, contender{c.name, c.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openBoardMemory(ctx, env, c.scores, c.open)
		}})
	}
	return w
}

func openBoardMemory(ctx context.Context, env *environment, scores int, open func(context.Context, *environment) (filler, error)) (*trial, error) {
	var b filler
	var err error
	if scores == 0 {
		if b, err = open(ctx, env); err == nil {
			_, err = fillLarge(ctx, env, b)
		}
	} else {
		var window *freshetBoard
		if window, _, err = openWindow(ctx, env); err != nil {
			return nil, err
		}
		b = window
		if scores > 1 {
			err = expireSome(ctx, env, 0, env.scale.crowd, scores)
		}
	}
	if err != nil {
		if b != nil {
			b.Close()
		}
		return nil, err
	}
	return &trial{func(ctx context.Context, _ time.Duration) (sample, error) {
		keys, err := boardKeys(ctx, env)
		if err != nil {
			return nil, err
		}
		var total int64
		for _, key := range keys {
			n, err := env.server.admin.MemoryUsage(ctx, key, 10_000).Result()
			if err != nil {
				return nil, err
			}
			total += n
		}
		return sample{float64(total) / float64(env.scale.crowd)}, nil
	}, b.Close}, nil
}

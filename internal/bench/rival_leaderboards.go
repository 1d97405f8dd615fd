package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

// plainBoard is a sorted set by hand. It is the baseline, and what the others have in
// common: those that are not in Go, or are a service, are here as the commands that they
// send, on go-redis.
type plainBoard struct {
	rdb *redis.Client
	key string
}

func newPlainBoard(url, key string) (*plainBoard, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	return &plainBoard{rdb, key}, nil
}

func openPlainBoard(url, key string) (filler, error) { return newPlainBoard(url, key) }

// Fill is one ZADD.
func (b *plainBoard) Fill(ctx context.Context, scores []leaderboard.Score) error {
	list := make([]redis.Z, len(scores))
	for i := range scores {
		list[i] = redis.Z{Score: float64(scores[i].Value), Member: scores[i].Member}
	}
	return b.rdb.ZAdd(ctx, b.key, list...).Err()
}

// Submit is ZADD, and says no rank.
func (b *plainBoard) Submit(ctx context.Context, member string, value int64) (int, error) {
	return 0, b.rdb.ZAdd(ctx, b.key, redis.Z{Score: float64(value), Member: member}).Err()
}

// Page is ZREVRANGE WITHSCORES.
func (b *plainBoard) Page(ctx context.Context, offset int) ([]leaderboard.Entry, error) {
	list, err := b.rdb.ZRevRangeWithScores(ctx, b.key, int64(offset), int64(offset+pageRows-1)).Result()
	return placed(list, offset), err
}

// Around is ZREVRANK, and ZREVRANGE WITHSCORES.
func (b *plainBoard) Around(ctx context.Context, member string) ([]leaderboard.Entry, error) {
	at, err := b.rdb.ZRevRank(ctx, b.key, member).Result()
	if err != nil {
		return nil, err
	}
	return b.Page(ctx, max(int(at)-pageRows/2, 0))
}

func (b *plainBoard) Close() { _ = b.rdb.Close() }

// placed makes entries whose ranks are their places.
func placed(list []redis.Z, offset int) []leaderboard.Entry {
	entries := make([]leaderboard.Entry, len(list))
	for i, z := range list {
		member, _ := z.Member.(string)
		entries[i] = leaderboard.Entry{Member: member, Value: int64(z.Score), Rank: offset + i + 1}
	}
	return entries
}

// agoragames sends what CompetitionRankingLeaderboard of agoragames/leaderboard does.
type agoragames struct{ *plainBoard }

func openAgoragames(url, key string) (filler, error) {
	b, err := newPlainBoard(url, key)
	if err != nil {
		return nil, err
	}
	return &agoragames{b}, nil
}

// Submit is rank_member, MULTI ZADD EXEC; and score_and_rank_for, MULTI ZSCORE ZREVRANK
// EXEC and ZCOUNT of the better ones.
func (b *agoragames) Submit(ctx context.Context, member string, value int64) (int, error) {
	_, err := b.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, b.key, redis.Z{Score: float64(value), Member: member})
		return nil
	})
	if err != nil {
		return 0, err
	}
	var score *redis.FloatCmd
	_, err = b.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		score = p.ZScore(ctx, b.key, member)
		p.ZRevRank(ctx, b.key, member)
		return nil
	})
	if err != nil {
		return 0, err
	}
	better, err := b.rdb.ZCount(ctx, b.key, above(score.Val()), "+inf").Result()
	return int(better) + 1, err
}

func above(score float64) string { return "(" + strconv.FormatFloat(score, 'g', -1, 64) }

// Page is leaders: ZCARD for the number of pages; ZREVRANGE without scores; and what ranked
// says.
func (b *agoragames) Page(ctx context.Context, offset int) ([]leaderboard.Entry, error) {
	total, err := b.rdb.ZCard(ctx, b.key).Result()
	if err != nil || int64(offset) >= total {
		return nil, err
	}
	return b.ranked(ctx, offset)
}

// Around is around_me: ZREVRANK; ZREVRANGE without scores; and what ranked says. Near the
// end of the board it returns less.
func (b *agoragames) Around(ctx context.Context, member string) ([]leaderboard.Entry, error) {
	at, err := b.rdb.ZRevRank(ctx, b.key, member).Result()
	if err != nil {
		return nil, err
	}
	return b.ranked(ctx, max(int(at)-pageRows/2, 0))
}

// ranked is ranked_in_list, after the ZREVRANGE of which the list comes: MULTI, ZREVRANK
// and ZSCORE of each, EXEC; MULTI, ZCOUNT of those better than each, EXEC.
func (b *agoragames) ranked(ctx context.Context, offset int) ([]leaderboard.Entry, error) {
	cmd := redis.NewStringSliceCmd(ctx, "zrevrange", b.key, offset, offset+pageRows-1) // as it does
	_ = b.rdb.Process(ctx, cmd)                                                        // the result has it
	members, err := cmd.Result()
	if err != nil || len(members) == 0 {
		return nil, err
	}
	scores, better := make([]*redis.FloatCmd, len(members)), make([]*redis.IntCmd, len(members))
	_, err = b.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, member := range members {
			p.ZRevRank(ctx, b.key, member)
			scores[i] = p.ZScore(ctx, b.key, member)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = b.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i := range members {
			better[i] = p.ZCount(ctx, b.key, above(scores[i].Val()), "+inf")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries := make([]leaderboard.Entry, len(members))
	for i, member := range members {
		entries[i] = leaderboard.Entry{Member: member, Value: int64(scores[i].Val()), Rank: int(better[i].Val()) + 1}
	}
	return entries, nil
}

// podium sends what podium does, for a board without an end and scores without a lifetime,
// which is the least: others take up to 11 round trips.
type podium struct{ *plainBoard }

func openPodium(url, key string) (filler, error) {
	b, err := newPlainBoard(url, key)
	if err != nil {
		return nil, err
	}
	return &podium{b}, nil
}

// Submit is SetMemberScore: ZADD; ZSCORE, ZREVRANK, and ZSCORE of the lifetime.
func (b *podium) Submit(ctx context.Context, member string, value int64) (int, error) {
	if _, err := b.plainBoard.Submit(ctx, member, value); err != nil {
		return 0, err
	}
	if err := b.rdb.ZScore(ctx, b.key, member).Err(); err != nil {
		return 0, err
	}
	at, err := b.rdb.ZRevRank(ctx, b.key, member).Result()
	if err != nil {
		return 0, err
	}
	if err := b.rdb.ZScore(ctx, b.key+":ttl", member).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return 0, err
	}
	return int(at) + 1, nil
}

// Page is GetLeaders: ZCARD for the number of pages, ZREVRANGE WITHSCORES.
func (b *podium) Page(ctx context.Context, offset int) ([]leaderboard.Entry, error) {
	total, err := b.rdb.ZCard(ctx, b.key).Result()
	if err != nil || int64(offset) >= total {
		return nil, err
	}
	return b.plainBoard.Page(ctx, offset)
}

// Around is GetAroundMe: ZREVRANK; ZCARD for the end of the board; ZREVRANGE WITHSCORES.
func (b *podium) Around(ctx context.Context, member string) ([]leaderboard.Entry, error) {
	at, err := b.rdb.ZRevRank(ctx, b.key, member).Result()
	if err != nil {
		return nil, err
	}
	total, err := b.rdb.ZCard(ctx, b.key).Result()
	if err != nil {
		return nil, err
	}
	return b.plainBoard.Page(ctx, max(min(int(at)-pageRows/2, int(total)-pageRows), 0))
}

// redisRank sends what redis-rank does.
type redisRank struct{ *plainBoard }

func openRedisRank(url, key string) (filler, error) {
	b, err := newPlainBoard(url, key)
	if err != nil {
		return nil, err
	}
	return &redisRank{b}, nil
}

var (
	rankBest = redis.NewScript(`
local old = redis.call('ZSCORE', KEYS[1], ARGV[2])
if old and tonumber(ARGV[1]) <= tonumber(old) then
  return tonumber(old)
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
return tonumber(ARGV[1])`)
	rankFind   = redis.NewScript(`return {redis.call('ZSCORE', KEYS[1], ARGV[1]), redis.call('ZREVRANK', KEYS[1], ARGV[1])}`)
	rankAround = redis.NewScript(`
local at = redis.call('ZREVRANK', KEYS[1], ARGV[1])
if not at then
  return {0, {}}
end
local n = redis.call('ZCARD', KEYS[1])
local first = math.max(0, math.min(at - ARGV[2], n - 1 - 2 * ARGV[2]))
return {first, redis.call('ZREVRANGE', KEYS[1], first, first + 2 * ARGV[2], 'WITHSCORES')}`)
)

// Submit is updateOne of the policy best, a script of ZSCORE and ZADD; and find, a script of
// ZSCORE and ZREVRANK.
func (b *redisRank) Submit(ctx context.Context, member string, value int64) (int, error) {
	if err := rankBest.Run(ctx, b.rdb, []string{b.key}, value, member).Err(); err != nil {
		return 0, err
	}
	found, err := rankFind.Run(ctx, b.rdb, []string{b.key}, member).Slice()
	if err != nil {
		return 0, err
	}
	at, _ := found[1].(int64)
	return int(at) + 1, nil
}

// Page is list: ZREVRANGE WITHSCORES, as by hand.

// Around is around with its borders filled: a script of ZREVRANK, ZCARD and ZREVRANGE.
func (b *redisRank) Around(ctx context.Context, member string) ([]leaderboard.Entry, error) {
	reply, err := rankAround.Run(ctx, b.rdb, []string{b.key}, member, pageRows/2).Slice()
	if err != nil {
		return nil, err
	}
	first, _ := reply[0].(int64)
	rows, _ := reply[1].([]any)
	entries := make([]leaderboard.Entry, len(rows)/2)
	for i := range entries {
		name, _ := rows[2*i].(string)
		text, _ := rows[2*i+1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		entries[i] = leaderboard.Entry{Member: name, Value: int64(value), Rank: int(first) + i + 1}
	}
	return entries, nil
}

// deepLimit reads the values between two with ZREVRANGEBYSCORE LIMIT.
type deepLimit struct{ *plainBoard }

func openDeepLimit(url, key string) (deepBoard, error) {
	b, err := newPlainBoard(url, key)
	if err != nil {
		return nil, err
	}
	return &deepLimit{b}, nil
}

func (b *deepLimit) Between(ctx context.Context, lo, hi int64, offset int) ([]leaderboard.Entry, error) {
	list, err := b.rdb.ZRevRangeByScoreWithScores(ctx, b.key, &redis.ZRangeBy{
		Min: strconv.FormatInt(lo, 10), Max: strconv.FormatInt(hi, 10), Offset: int64(offset), Count: pageRows,
	}).Result()
	return placed(list, offset), err
}

// deepCount reads them with ZCOUNT of the better ones, and ZREVRANGE.
type deepCount struct{ *plainBoard }

func openDeepCount(url, key string) (deepBoard, error) {
	b, err := newPlainBoard(url, key)
	if err != nil {
		return nil, err
	}
	return &deepCount{b}, nil
}

func (b *deepCount) Between(ctx context.Context, _, hi int64, offset int) ([]leaderboard.Entry, error) {
	better, err := b.rdb.ZCount(ctx, b.key, above(float64(hi)), "+inf").Result()
	if err != nil {
		return nil, err
	}
	return b.Page(ctx, int(better)+offset)
}

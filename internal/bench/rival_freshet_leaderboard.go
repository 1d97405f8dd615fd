package main

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/leaderboard"
)

// freshetBoard is Freshet with its default options, but for the time that it waits for
// Redis, in which a busy machine can be filling boards.
type freshetBoard struct {
	rdb *redis.Client
	b   *leaderboard.Redis

	meta int // bytes of each score
}

func newFreshetBoard(url, key string, opts leaderboard.Options) (*freshetBoard, error) {
	rdb, err := dialGoRedis(url)
	if err != nil {
		return nil, err
	}
	opts.Prefix, opts.Timeout = key, time.Minute
	b, err := leaderboard.New(rdb, "bench", &opts)
	if err != nil {
		return nil, err
	}
	return &freshetBoard{rdb, b, opts.Meta}, nil
}

func openFreshetBoard(url, key string) (filler, error) {
	return newFreshetBoard(url, key, leaderboard.Options{})
}

func openFreshetDeep(url, key string) (deepBoard, error) {
	return newFreshetBoard(url, key, leaderboard.Options{})
}

// Fill submits scores, with metadata on boards that have that.
func (f *freshetBoard) Fill(ctx context.Context, scores []leaderboard.Score) error {
	if f.meta > 0 {
		scores = slices.Clone(scores)
		for i := range scores {
			scores[i].Meta = make([]byte, f.meta)
		}
	}
	_, err := f.b.Submit(ctx, scores...)
	return err
}

func (f *freshetBoard) Submit(ctx context.Context, member string, value int64) (int, error) {
	results, err := f.b.Submit(ctx, leaderboard.Score{Member: member, Value: value})
	if err != nil {
		return 0, err
	}
	return results[0].Rank, nil
}

func (f *freshetBoard) Page(ctx context.Context, offset int) ([]leaderboard.Entry, error) {
	p, err := f.b.Range(ctx, offset, pageRows)
	return p.Entries, err
}

func (f *freshetBoard) Around(ctx context.Context, member string) ([]leaderboard.Entry, error) {
	p, err := f.b.Around(ctx, member, pageRows)
	return p.Entries, err
}

func (f *freshetBoard) Between(ctx context.Context, lo, hi int64, offset int) ([]leaderboard.Entry, error) {
	p, err := f.b.Between(ctx, lo, hi, offset, pageRows)
	return p.Entries, err
}

func (f *freshetBoard) Close() { _ = f.rdb.Close() }

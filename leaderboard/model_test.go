package leaderboard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// pair is a board in Redis and one in memory whose clock says what the server's said in
// its latest reply: after the same calls both are the same.
type pair struct {
	t   testing.TB
	rng *rand.Rand
	rdb redis.UniversalClient
	r   *Redis
	m   *Memory
	ops int
}

func newPair(t testing.TB, s *redistest.Server, seed uint64, opts Options) *pair {
	t.Helper()
	rdb, clock := timed(t, s)
	r := newBoard(t, rdb, opts)
	m, err := NewMemory(&opts)
	if err != nil {
		t.Fatal(err)
	}
	m.clock = clock.us.Load
	return &pair{t: t, rng: rand.New(rand.NewPCG(seed, 7)), rdb: rdb, r: r, m: m}
}

// names are of members: empty, binary, long, and with whatever means something elsewhere.
var names = []string{"", "a", "b", "B", "ä", "10", "9", "-inf", "(1", "}", "{x}", "a b", "a:b;", "\x00", "\xff\xfe", strings.Repeat("long", 50)}

func (p *pair) member() string { return names[p.rng.IntN(len(names))] }

func (p *pair) value() int64 {
	most := p.r.o.MaxScore
	switch p.rng.IntN(12) {
	case 0:
		return most
	case 1:
		return -most
	case 2:
		return p.rng.Int64N(most) * int64(1-2*p.rng.IntN(2))
	}
	return p.rng.Int64N(9) - 4
}

func (p *pair) score() Score {
	s := Score{Member: p.member(), Value: p.value()}
	if p.r.o.Meta > 0 {
		switch p.rng.IntN(4) {
		case 0:
			s.Meta = []byte{}
		case 1, 2:
			s.Meta = fmt.Append(nil, p.rng.IntN(100))
		}
	}
	switch p.rng.IntN(4) {
	case 0:
		p.ops++
		s.OpID = fmt.Sprint(p.ops)
	case 1:
		s.OpID = fmt.Sprint(p.rng.IntN(p.ops + 1))
	}
	return s
}

// step does something to both, or reads, and returns how they differ.
func (p *pair) step() error {
	ctx := p.t.Context()
	offset, n := p.rng.IntN(len(names)+2), p.rng.IntN(len(names)+2)
	same := func(call string, got, want any, err, wantErr error) error {
		if !errors.Is(err, wantErr) || wantErr == nil && err != nil {
			return fmt.Errorf("%s = %w, want %v", call, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s = %+v, want %+v", call, got, want)
		}
		return nil
	}
	switch p.rng.IntN(14) {
	case 0, 1, 2, 3, 4, 5, 6:
		scores := []Score{p.score()}
		for p.rng.IntN(3) == 0 {
			scores = append(scores, p.score())
		}
		got, err := p.r.Submit(ctx, scores...)
		want, wantErr := p.m.Submit(ctx, scores...)
		return same(fmt.Sprintf("Submit(%+v)", scores), got, want, err, wantErr)
	case 7:
		members := []string{p.member(), p.member(), "nobody", p.member()}
		got, err := p.r.Get(ctx, members...)
		want, wantErr := p.m.Get(ctx, members...)
		return same(fmt.Sprintf("Get(%q)", members), got, want, err, wantErr)
	case 8:
		got, err := p.r.Range(ctx, offset, n)
		want, wantErr := p.m.Range(ctx, offset, n)
		return same(fmt.Sprintf("Range(%d, %d)", offset, n), got, want, err, wantErr)
	case 9:
		member := p.member()
		got, err := p.r.Around(ctx, member, n)
		want, wantErr := p.m.Around(ctx, member, n)
		return same(fmt.Sprintf("Around(%q, %d)", member, n), got, want, err, wantErr)
	case 10:
		lo, hi := p.value(), p.value()
		if p.rng.IntN(4) > 0 && lo > hi {
			lo, hi = hi, lo
		}
		got, err := p.r.Between(ctx, lo, hi, offset/3, n)
		want := p.m.between(lo, hi, offset/3, n)
		return same(fmt.Sprintf("Between(%d, %d, %d, %d)", lo, hi, offset/3, n), got, want, err, nil)
	case 11:
		v := p.value()
		got, err := p.r.RankOf(ctx, v)
		return same(fmt.Sprintf("RankOf(%d)", v), got, p.m.rankOf(v), err, nil)
	case 12:
		at := []float64{0, 25, 50, 99.5, 100, p.rng.Float64() * 100}[p.rng.IntN(6)]
		got, err := p.r.ScoreAt(ctx, at)
		want, wantErr := p.m.scoreAt(at)
		return same(fmt.Sprintf("ScoreAt(%v)", at), got, want, err, wantErr)
	}
	if p.rng.IntN(3) > 0 {
		return nil
	}
	members := []string{p.member(), p.member(), "nobody"}
	got, err := p.r.Remove(ctx, members...)
	return same(fmt.Sprintf("Remove(%q)", members), got, p.m.remove(members), err, nil)
}

// whole compares all there is.
func (p *pair) whole() error {
	ctx := p.t.Context()
	got, err := p.r.Range(ctx, 0, most)
	want, _ := p.m.Range(ctx, 0, most)
	if err != nil || !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the board is %q, %w, want %q", line(got), err, line(want))
	}
	if err := ranked(p.r.o.Ranking, got.Entries); err != nil {
		return err
	}
	var all []Entry
	for e, err := range p.r.All(ctx) {
		if err != nil {
			return fmt.Errorf("All = %w", err)
		}
		all = append(all, e)
	}
	want, _ = p.m.Range(ctx, 0, most)
	if len(all)+len(want.Entries) > 0 && !reflect.DeepEqual(all, want.Entries) {
		return fmt.Errorf("All = %+v, want %+v", all, want.Entries)
	}
	return p.stored()
}

// ranked recomputes ranks from what they mean.
func ranked(by Ranking, entries []Entry) error {
	for i, e := range entries {
		better := make(map[int64]int)
		for _, other := range entries[:i] {
			if other.Value != e.Value {
				better[other.Value]++
			}
		}
		want := i + 1
		switch by {
		case Competition:
			want = 1
			for _, n := range better {
				want += n
			}
		case Dense:
			want = 1 + len(better)
		}
		if e.Rank != want {
			return fmt.Errorf("the rank of the entry at %d of %+v is %d, want %d", i, entries, e.Rank, want)
		}
	}
	return nil
}

// stored checks what else is under the keys of each current period.
func (p *pair) stored() error {
	ctx := context.Background()
	for i, per := range p.r.o.periods {
		if per.kind == rolling && i > 0 {
			continue // what expires there is not retired by reads
		}
		b := p.m.boards[i]
		of := p.r.keysOf(nil, per, per.at(p.m.high))
		members := slices.Sorted(maps.Keys(b.members))
		if got, err := p.rdb.ZRange(ctx, of[0], 0, -1).Result(); err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), members) {
			return fmt.Errorf("period %d has %q, %w, want %q", i, got, err, members)
		}
		metas, err := p.rdb.HGetAll(ctx, of[1]).Result()
		if err != nil {
			return err
		}
		for member, meta := range metas {
			if s := b.members[member]; s == nil || !bytes.Equal(s.meta, []byte(meta)) {
				return fmt.Errorf("period %d has the metadata %q of %q, want that of %+v", i, meta, member, s)
			}
		}
		if per.kind == rolling {
			of := of[len(of)-2:]
			if next, err := p.rdb.ZRangeWithScores(ctx, of[0], 0, 0).Result(); err == nil && len(next) > 0 && next[0].Score <= float64(p.m.high) {
				return fmt.Errorf("something of %q expires at %.0f, which was before %d", next[0].Member, next[0].Score, p.m.high)
			}
			timed, err := p.rdb.ZRange(ctx, of[0], 0, -1).Result()
			if slices.Sort(timed); err != nil || !slices.Equal(timed, members) {
				return fmt.Errorf("of %q something expires, %w, want %q", timed, err, members)
			}
			in, err := p.rdb.HKeys(ctx, of[1]).Result()
			if slices.Sort(in); err != nil || !slices.Equal(in, members) {
				return fmt.Errorf("%q have something in the window, %w, want %q", in, err, members)
			}
		}
		if p.r.o.Ranking == Dense {
			want := make(map[string]bool)
			for _, s := range b.members {
				want[fmt.Sprint(s.c)] = true
			}
			got, err := p.rdb.ZRange(ctx, of[2], 0, -1).Result()
			if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				return fmt.Errorf("period %d has the distinct values %v, %w, want %v", i, got, err, want)
			}
		}
	}
	return nil
}

// mortal checks that no key is left without an expiry, but for those of AllTime.
func (p *pair) mortal() error {
	ttls := make(map[string]*redis.DurationCmd)
	_, err := p.rdb.Pipelined(p.t.Context(), func(pipe redis.Pipeliner) error {
		if p.r.o.timed {
			ttls[p.r.key("h")] = pipe.PTTL(p.t.Context(), p.r.key("h"))
		}
		ttls[p.r.key("o")] = pipe.PTTL(p.t.Context(), p.r.key("o"))
		for _, per := range p.r.o.periods {
			for _, key := range p.r.keysOf(nil, per, per.at(p.m.high)) {
				if per.kind != endless {
					ttls[key] = pipe.PTTL(p.t.Context(), key)
				}
			}
		}
		return nil
	})
	for key, ttl := range ttls {
		if ttl.Val() == -1 {
			return fmt.Errorf("the key %q has no expiry", key)
		}
	}
	return err
}

// What only *Redis has, from all entries.

func (m *Memory) all() []Entry {
	p, _ := m.Range(context.Background(), 0, most)
	return p.Entries
}

func (m *Memory) between(lo, hi int64, offset, n int) Page {
	var in []Entry
	for _, e := range m.all() {
		if e.Value >= lo && e.Value <= hi {
			in = append(in, e)
		}
	}
	p := cut(in, offset, n)
	if p.Entries == nil {
		p.Entries = []Entry{}
	}
	return p
}

func (m *Memory) rankOf(v int64) int {
	all, rank := m.all(), 1
	distinct := make(map[int64]bool)
	for _, e := range all {
		if isBetter := m.o.canonical(e.Value) < m.o.canonical(v); isBetter || m.o.Ranking == Ordinal && e.Value == v {
			distinct[e.Value] = true
			rank++
		}
	}
	if m.o.Ranking == Dense {
		return 1 + len(distinct)
	}
	return rank
}

// scoreAt is as agoragames/leaderboard has it: from the worst up.
func (m *Memory) scoreAt(percentile float64) (int64, error) {
	all := m.all()
	if len(all) == 0 {
		return 0, ErrNotFound
	}
	at := float64(len(all)-1) * (100 - percentile) / 100
	i := int(at)
	if at == math.Floor(at) {
		return all[i].Value, nil
	}
	return all[i].Value + int64(math.Round((at-float64(i))*(float64(all[i+1].Value)-float64(all[i].Value)))), nil
}

func (m *Memory) remove(members []string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begin()
	for _, member := range members {
		was := false
		for _, b := range m.boards {
			if b.members[member] != nil {
				was = true
				delete(b.members, member)
			}
		}
		if was {
			n++
		}
	}
	return n
}

// variants are all combinations of how scores are kept and ranked, with whatever else.
func variants(rng *rand.Rand) (all []Options) {
	for _, mode := range []Mode{Best, Last, Sum} {
		for _, ranking := range []Ranking{Competition, Dense, Ordinal} {
			for kind := range 4 {
				o := Options{Mode: mode, Ranking: ranking, Ascending: kind%2 == 1, Raw: kind > 1, Retain: time.Hour}
				if o.Raw && ranking == Dense {
					continue
				}
				if !o.Raw {
					o.MaxScore = []int64{0, 0, 5, 1000, maxScore}[rng.IntN(5)]
					o.Periods = [][]Period{
						nil, {AllTime, decade}, {decade, AllTime}, {Daily, Weekly, Monthly},
						{Rolling(time.Second), AllTime}, {Monthly, Rolling(2 * time.Second)},
					}[rng.IntN(6)]
				}
				if rng.IntN(3) == 0 {
					o.Cap = 1 + rng.IntN(8)
				}
				if rng.IntN(2) == 0 {
					o.Meta = 10
				}
				all = append(all, o)
			}
		}
	}
	return all
}

// Random calls, on boards of every kind: a board in Redis does what the one in memory does.
func TestModel(t *testing.T) {
	t.Parallel()
	n := 20
	if redistest.IsLong() {
		n = 1000
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		seed := rand.Uint64()
		for _, opts := range variants(rand.New(rand.NewPCG(seed, 1))) {
			p := newPair(t, s, seed, opts)
			for i := range n {
				err := cmp.Or(p.step(), p.mortal())
				if err == nil && i%10 == 9 {
					err = p.whole()
				}
				if err != nil {
					t.Fatalf("step %d of seed %d on %+v: %v", i, seed, opts, err)
				}
			}
			if err := p.rdb.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

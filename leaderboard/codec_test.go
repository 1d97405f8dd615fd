package leaderboard

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// packings are of all kinds of MaxScore, with that.
func packings() map[packing]int64 {
	all := make(map[packing]int64)
	for _, most := range []int64{1, 1000, 1 << 20, defaultMax - 1, defaultMax, defaultMax + 1, 1 << 40, maxScore} {
		p := packingFor(most)
		all[p] = max(all[p], most)
	}
	return all
}

// anyPair is a value and a time, often at an end of the range.
func (p packing) anyPair(rng *rand.Rand, most int64) (c, time int64) {
	c, time = rng.Int64N(2*most+1)-most, rng.Int64N(p.times())
	switch rng.IntN(8) {
	case 0:
		c = []int64{-most, -most + 1, -1, 0, 1, most - 1, most}[rng.IntN(7)]
	case 1:
		c = max(-most, min(most, rng.Int64N(9)-4))
	}
	switch rng.IntN(8) {
	case 0:
		time = 0
	case 1:
		time = p.times() - 1
	}
	return c, time
}

// MaxScore leaves as many bits as there are.
func TestPackingFor(t *testing.T) {
	for most, bits := range map[int64]uint{1: mostBits, 1000: mostBits, defaultMax: 32, defaultMax + 1: 31, maxScore: 10} {
		p := packingFor(most)
		if p.bits != bits {
			t.Errorf("scores of up to %d leave %d bits, want %d", most, p.bits, bits)
		}
		largest := p.pack(most, p.times()-1)
		if math.IsInf(largest, 0) || math.IsNaN(largest) {
			t.Errorf("the largest of up to %d is %v", most, largest)
		}
	}
}

// Of ten million random pairs all come back, and order as value and time do.
func TestPacking(t *testing.T) {
	t.Parallel()
	all := packings()
	n := 1_000_000 / len(all)
	if redistest.IsLong() {
		n *= 10
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for p, most := range all {
		for range n {
			c1, t1 := p.anyPair(rng, most)
			c2, t2 := p.anyPair(rng, most)
			if rng.IntN(4) == 0 {
				c2 = c1
			}
			f1, f2 := p.pack(c1, t1), p.pack(c2, t2)
			if c, time := p.unpack(f1); c != c1 || time != t1 {
				t.Fatalf("%d bits: %d and %d come back as %d and %d, seed %d", p.bits, c1, t1, c, time, seed)
			}
			if got, want := cmp.Compare(f1, f2), cmp.Or(cmp.Compare(c1, c2), cmp.Compare(t1, t2)); got != want {
				t.Fatalf("%d bits: (%d, %d) and (%d, %d) compare as %d, want %d, seed %d", p.bits, c1, t1, c2, t2, got, want, seed)
			}
			if abs := math.Abs(f1); abs < 0x1p-1022 || abs > math.MaxFloat64 {
				t.Fatalf("%d bits: (%d, %d) is %v, not a normal number", p.bits, c1, t1, f1)
			}
		}
	}
}

// The scripts pack as this package does, and sorted sets of every server keep and order
// what they packed.
func TestPackingInLua(t *testing.T) {
	t.Parallel()
	const packs = `
local b = {base = 0, unit = 1}
local out = {}
for i = args_used + 1, #ARGV, 2 do
  local s = pack(ARGV[i] + 0, tie(b, ARGV[i + 1] + 0))
  redis.call('ZADD', KEYS[1], s, i)
  local kept = redis.call('ZSCORE', KEYS[1], i)
  out[#out + 1] = string.format('%s %.0f %.0f', kept, value(kept), upto(KEYS[1], ARGV[i] + 0) - better(KEYS[1], ARGV[i] + 0))
end
return out`
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		rdb := s.Client(t)
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 2))
		batches, batch := 1, 200
		if s.Topology() != redistest.Miniredis {
			batch = 1000
			if redistest.IsLong() {
				batches = 5
			}
		}
		for p, most := range packings() {
			for range batches {
				key := redistest.Prefix(t)
				args, pairs := []any{p.times(), p.coarse()}, make([][2]int64, batch)
				seen := make(map[int64]int)
				for i := range pairs {
					pairs[i][0], pairs[i][1] = p.anyPair(rng, most)
					args = append(args, pairs[i][0], pairs[i][1])
				}
				got, err := rdb.Eval(t.Context(), timeSource+packedSource+packedOrderSource+packs, []string{key}, args...).StringSlice()
				if err != nil || len(got) != batch {
					t.Fatalf("EVAL = %d results, %v", len(got), err)
				}
				for i, pair := range pairs {
					seen[pair[0]]++
					words := strings.Split(got[i], " ")
					f, err := strconv.ParseFloat(words[0], 64)
					if err != nil || f != p.pack(pair[0], pair[1]) || words[1] != fmt.Sprint(pair[0]) || words[2] != fmt.Sprint(seen[pair[0]]) {
						t.Fatalf("%d bits, seed %d: %d and %d are %q, %v, want %.17g, the value and %d of it",
							p.bits, seed, pair[0], pair[1], got[i], err, p.pack(pair[0], pair[1]), seen[pair[0]])
					}
				}
				if err := rdb.Del(t.Context(), key).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// The scripts do so for ten million values and times, each beside the one before: all come
// back, order as they should, and are what this package makes of them. The server chooses
// them by itself, and replies a checksum of what it has packed.
func TestManyPackingsInLua(t *testing.T) {
	redistest.Long(t)
	t.Parallel()
	const packs = `
local seed, most, n = number(), number(), number()
local function random() -- 53 bits, of which each step is exact
  local high = seed * 48271 % 2147483647
  seed = high * 48271 % 2147483647
  return high * 4194304 + seed % 4194304
end
local fmod, floor, frexp = math.fmod, math.floor, math.frexp
local ends = {[0] = -most, most, -1, 0}
local wrong, sum, c0, t0, s0 = 0, 0, 0, 0, pack(0, 0) + 0
for i = 1, n do
  local c, time, kind = fmod(random(), 2 * most + 1) - most, fmod(random(), times), seed % 16
  if kind < 5 then
    c = ends[kind] or c0
  elseif kind < 7 then
    time = (kind - 5) * (times - 1)
  end
  local s = pack(c, time) + 0
  local isLess = c < c0 or c == c0 and time < t0
  if value(s) ~= c or (s < s0) ~= isLess then
    wrong = wrong + 1
  end
  local m, e = frexp(s)
  m = m * 9007199254740992
  sum = (sum * 31 + fmod(m, 67108864) + floor(m / 67108864) + e) % 1099511627776
  c0, t0, s0 = c, time, s
end
return {wrong, string.format('%.0f', sum)}`
	s := redistest.Private(t, redistest.Standalone)
	rdb := s.Client(t)
	const batch = 50_000 // takes a tenth of a second
	all := packings()
	for p, most := range all {
		for range 10_000_000 / batch / len(all) {
			begin := 1 + rand.Int64N(1<<31-2)
			got, err := rdb.Eval(t.Context(), timeSource+packedSource+packs, []string{}, p.times(), p.coarse(), begin, most, batch).Slice()
			seed, sum, c0 := begin, int64(0), int64(0)
			random := func() int64 {
				high := seed * 48271 % (1<<31 - 1)
				seed = high * 48271 % (1<<31 - 1)
				return high<<22 + seed%(1<<22)
			}
			for range batch {
				c, time := random()%(2*most+1)-most, random()%p.times()
				switch kind := seed % 16; {
				case kind < 5:
					c = []int64{-most, most, -1, 0, c0}[kind]
				case kind < 7:
					time = (kind - 5) * (p.times() - 1)
				}
				m, e := math.Frexp(p.pack(c, time))
				whole := int64(m * (1 << 53))
				floor := whole >> 26
				sum = (sum*31 + whole%(1<<26) + floor + int64(e)) % (1 << 40)
				if sum < 0 { // as Lua has it
					sum += 1 << 40
				}
				c0 = c
			}
			if err != nil || len(got) != 2 || got[0] != int64(0) || got[1] != fmt.Sprint(sum) {
				t.Fatalf("%d bits, seed %d: EVAL = %v, %v, want none wrong and %d", p.bits, begin, got, err, sum)
			}
		}
	}
}

func FuzzPacking(f *testing.F) {
	f.Add(int64(defaultMax), int64(5), int64(7), 1.5)
	f.Add(int64(maxScore), int64(-5), int64(0), math.Inf(1))
	f.Add(int64(1), int64(0), int64(1), 0.0)
	f.Fuzz(func(t *testing.T, most, c, time int64, foreign float64) {
		most = 1 + most&(maxScore-1)
		p := packingFor(most)
		c, time = c%(most+1), time&(p.times()-1)
		if got, at := p.unpack(p.pack(c, time)); got != c || at != time {
			t.Errorf("up to %d: %d and %d come back as %d and %d", most, c, time, got, at)
		}
		p.unpack(foreign) // whatever is in a sorted set
	})
}

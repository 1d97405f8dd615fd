package cache

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The race checker runs random schedules of all that a cache does, by several
// caches, which stand for processes, on a few keys. Every Redis command waits at a
// barrier before it is sent and after its reply has come, and so does every load
// at its beginning and end. When all goroutines wait (synctest knows, also of
// those that wait for a real server), the schedule lets one of them go on. The
// history is then checked against the guarantee.
//
// In some schedules time passes at random, so that leases are renewed, and end
// under loads that take too long; replies are lost; requests arrive after their
// sender has given up and gone on; slots of a cluster move.

// schedules is how many random schedules a test runs: a sample, unless
// FRESHET_SCHEDULES says how many are to be run in all, of which this is a share.
func schedules(t *testing.T, sample int, share float64) int {
	if s := os.Getenv("FRESHET_SCHEDULES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("FRESHET_SCHEDULES: %v", err)
		}
		return int(share * float64(n))
	}
	return sample
}

// barrier is where the actors of a schedule wait for their turn. One in eight
// waits is a long one: it ends when nothing else can go on, or nearly so. That
// makes the schedules in which a reply is on its way while much else happens.
type barrier struct {
	mu          sync.Mutex
	short, long []chan struct{}
	open        bool
	arrived     chan struct{} // holds one; somebody waits
}

func newBarrier() *barrier { return &barrier{arrived: make(chan struct{}, 1)} }

func (b *barrier) wait() {
	turn := make(chan struct{})
	b.mu.Lock()
	switch {
	case b.open:
		close(turn)
	case rand.IntN(8) == 0:
		b.long = append(b.long, turn)
	default:
		b.short = append(b.short, turn)
	}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
	<-turn
}

// release lets one of those that wait go on. It reports false if nobody waits.
func (b *barrier) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := &b.short
	if len(b.short) == 0 || len(b.long) > 0 && rand.IntN(64) == 0 {
		from = &b.long
	}
	if len(*from) == 0 {
		return false
	}
	i := rand.IntN(len(*from))
	close((*from)[i])
	*from = slices.Delete(*from, i, i+1)
	return true
}

// end lets everybody go on, now and later.
func (b *barrier) end() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
	for b.release() {
	}
}

// steps is a hook that puts a barrier around every command that the library
// sends: those that the client may not repeat. The others set up a connection,
// under a lock.
type steps struct {
	track *track
	rdb   redis.UniversalClient
}

func (s steps) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s steps) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !cmd.NoRetry() {
			return next(ctx, cmd)
		}
		return s.step([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (s steps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !slices.ContainsFunc(cmds, redis.Cmder.NoRetry) {
			return next(ctx, cmds)
		}
		return s.step(cmds, func() error { return next(ctx, cmds) })
	}
}

func (s steps) step(cmds []redis.Cmder, send func() error) error {
	r := s.track.race
	r.b.wait()
	defer r.b.wait()
	if rand.Float64() >= r.lose {
		return send()
	}
	if rand.IntN(2) == 0 {
		_ = send()
	} else {
		r.late.Go(func() {
			r.b.wait()
			for _, cmd := range cmds {
				_ = s.rdb.Do(context.Background(), cmd.Args()...)
			}
		})
	}
	for _, cmd := range cmds {
		cmd.SetErr(io.EOF)
	}
	return io.EOF
}

// pick returns one of its arguments.
func pick[T any](of ...T) T { return of[rand.IntN(len(of))] }

// track is where races are run, one after the other: clients cost more than a race.
type track struct {
	s       *redistest.Server
	prefix  string
	clients [2]redis.UniversalClient
	race    *race // the present one
}

func newTrack(t testing.TB, s *redistest.Server, prefix string) *track {
	tr := &track{s: s, prefix: prefix}
	for i := range tr.clients {
		tr.clients[i] = s.Client(t)
		tr.between(tr.clients[i])
	}
	return tr
}

// between makes the commands of a client steps; on a cluster those to each node,
// so that a redirection takes two.
func (tr *track) between(rdb redis.UniversalClient) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(steps{tr, node}) })
		return
	}
	rdb.AddHook(steps{tr, rdb})
}

// race is a random schedule.
type race struct {
	*track
	keys    []string // the first is contested most
	b       *barrier
	h       *history
	racers  []*racer
	lose    float64 // how often a reply is lost, or the request is late
	late    *stragglers
	passing bool // time is
	opts    Options
}

// newRace chooses what kind of schedule is next, on keys that start with id.
func (tr *track) newRace(id int) *race {
	r := &race{track: tr, b: newBarrier(), h: newHistory(), late: newStragglers()}
	tr.race = r
	for j := range pick(1, 1, 2, 3) {
		r.keys = append(r.keys, strconv.Itoa(id)+string(rune('a'+j)))
	}
	r.passing = rand.IntN(3) == 0
	r.lose = pick(0, 0, 0, 0.05, 0.3)
	// On a real server few schedules take longer than the shortest TTL.
	r.opts = Options{
		Prefix: tr.prefix, Timeout: -1, LoadTimeout: time.Hour, Jitter: -1,
		TTL:          pick(2*time.Millisecond, time.Hour, 2*time.Hour, 3*time.Hour),
		StaleFor:     pick(0, 0, time.Hour),
		StaleOnError: pick(0, 0, time.Hour),
		EarlyRefresh: pick(-1.0, 1, 10_000),
	}
	if r.passing {
		r.opts.TTL = pick(time.Second, 5*time.Second, time.Hour)
		r.opts.LoadTimeout = pick(5*time.Second, 30*time.Second, time.Hour)
	}
	if r.lose > 0 || r.passing {
		r.opts.Timeout = pick(-1, 50*time.Millisecond, time.Second)
	}
	return r
}

// run runs the schedule, with more actors if need be.
func (r *race) run(t *testing.T, more ...func(*race)) {
	var actors sync.WaitGroup
	for i, rdb := range r.clients {
		racer, err := newRacer(r.h, i, rdb, r.opts, r.b.wait)
		if err != nil {
			t.Fatal(err)
		}
		racer.away = r.lose > 0 || r.passing // or so it seems
		racer.hold = func() time.Duration { return pick(time.Hour, time.Second, 2*time.Millisecond) }
		r.racers = append(r.racers, racer)
	}
	for range 4 + rand.IntN(4) {
		p, rounds := pick(r.racers...), 1+rand.IntN(4)
		actors.Go(func() {
			for range rounds {
				r.b.wait()
				r.call(p.read)
			}
		})
	}
	for range 1 + rand.IntN(3) {
		p, late := pick(r.racers...), 1+rand.IntN(10)
		actors.Go(func() {
			for range late {
				r.b.wait()
			}
			r.call(p.void)
		})
	}
	for _, f := range more {
		actors.Go(func() { f(r) })
	}
	done := make(chan struct{})
	go func() {
		actors.Wait()
		for _, p := range r.racers {
			_ = p.c.Close(context.Background())
		}
		r.late.Wait()
		close(done)
	}()
	r.conduct(t, done)
	r.b.end()
	time.Sleep(5 * time.Second) // for exec's workers to end
}

// call makes a call of random keys, some with little patience.
func (r *race) call(f func(context.Context, []string)) {
	ctx := context.Background()
	if r.passing && rand.IntN(4) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+rand.IntN(3000))*time.Millisecond)
		defer cancel()
	}
	keys := slices.Clone(r.keys)
	if rand.IntN(4) == 0 {
		slices.Reverse(keys)
	}
	f(ctx, keys[:1+rand.IntN(len(keys))])
}

// conduct gives turns until the schedule is done.
func (r *race) conduct(t *testing.T, done <-chan struct{}) {
	for {
		synctest.Wait()
		if r.passing && rand.IntN(24) == 0 {
			r.pass(t)
			continue
		}
		if r.b.release() {
			time.Sleep(time.Microsecond) // or before and after would be the same time
			continue
		}
		select {
		case <-done:
			return
		case <-r.b.arrived: // somebody slept, which passes virtual time
		}
	}
}

// pass lets time pass. That of a real server does not, so a lease that would have
// ended is removed there.
func (r *race) pass(t *testing.T) {
	d := time.Duration(rand.IntN(4000)) * time.Millisecond
	time.Sleep(d)
	if r.s.Mini() != nil || d < 2*time.Second {
		return
	}
	p := r.racers[0]
	for _, key := range r.keys {
		if rand.IntN(2) == 0 {
			if err := p.rdb.Del(t.Context(), p.c.keysOf(p.cached[0].prefix + key)[1]).Err(); err != nil {
				t.Error(err)
			}
		}
	}
}

// runRaces runs n random schedules, each on keys of its own, a few in a bubble.
func runRaces(t *testing.T, n int, server func(testing.TB) *redistest.Server, more ...func(*race)) {
	const each = 8
	began := time.Now()
	prefix := redistest.Prefix(t)
	total := make(map[string]int)
	for i := 0; i < n && !t.Failed(); i += each {
		synctest.Test(t, func(t *testing.T) {
			tr := newTrack(t, server(t), prefix)
			for id := i; id < min(i+each, n) && !t.Failed(); id++ {
				r := tr.newRace(id)
				r.run(t, more...)
				if err := r.h.check(max(r.opts.StaleFor, r.opts.StaleOnError) > 0); err != nil {
					t.Errorf("schedule %d: %v\nhistory: %+v", id, err, r.h.events)
				}
				addCounts(total, r.h.counts())
			}
		})
	}
	t.Logf("%d schedules in %v: %v", n, time.Since(began).Round(time.Millisecond), total)
}

func TestRaceSchedules(t *testing.T) {
	percent := debug.SetGCPercent(800) // servers and scripts come and go
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		n := schedules(t, 400, 0.45)
		server := func(testing.TB) *redistest.Server { return s }
		switch s.Topology() {
		case redistest.Miniredis:
			server = redistest.Mini // in whose bubble its time passes
		case redistest.Cluster:
			n = schedules(t, 100, 0.1) // they cost the most
		}
		const shards = 4 // a schedule does one thing at a time
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				runRaces(t, n/shards, server)
			})
		}
	})
}

// stragglers are goroutines that may begin while others are waited for.
type stragglers struct {
	mu   sync.Mutex
	n    int
	none *sync.Cond
}

func newStragglers() *stragglers {
	s := new(stragglers)
	s.none = sync.NewCond(&s.mu)
	return s
}

func (s *stragglers) Go(f func()) {
	s.mu.Lock()
	s.n++
	s.mu.Unlock()
	go func() {
		f()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n--
		s.none.Broadcast()
	}()
}

func (s *stragglers) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.n > 0 {
		s.none.Wait()
	}
}

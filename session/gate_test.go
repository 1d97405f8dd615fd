package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// actor is what a process is to others: a store with a client of its own, whose commands
// wait at a gate while there is one.
type actor struct {
	*Redis
	gate atomic.Pointer[gate]
}

// gate is where the commands of actors wait until the test lets one of them through, so
// that the test decides in which order they reach the servers.
type gate struct {
	arrived chan *passage
	ended   chan int // actors that have done what they had to do
	waiting []*passage
	running int
}

// passage is a command, or a pipeline of them, at the gate.
type passage struct {
	of   *actor
	pass chan bool     // false: it is not sent
	done chan struct{} // closed when it has been executed
}

// schedules is how many orders to try: with FRESHET_LONG all on one server, and a tenth
// on each of the other topologies, which take longer.
func schedules(s *redistest.Server, all int) int {
	switch {
	case !redistest.IsLong():
		return 60
	case s.Topology() == redistest.Standalone:
		return all
	}
	return all / 10
}

var errCrashed = errors.New("the process has crashed")

func newActors(t *testing.T, s *redistest.Server, n int, opts Options) []*actor {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix(t)
	}
	actors := make([]*actor, n)
	for i := range actors {
		rdb := s.Client(t)
		actors[i] = &actor{Redis: newStore(t, rdb, opts)}
		user := newHandle()
		// The connections, the scripts and the clocks.
		h, rec := logsIn(t, actors[i].Redis, user)
		_, err := actors[i].Swap(t.Context(), h, rec, 1<<40)
		if err = errors.Join(err, actors[i].Touch(t.Context(), h, rec, 1<<40), actors[i].CheckUser(t.Context(), user, h, rec.Deadline)); err != nil {
			t.Fatal(err)
		}
		if _, err := actors[i].RevokeUser(t.Context(), user, rec.Deadline); err != nil {
			t.Fatal(err)
		}
		rdb.AddHook(gateHook{actors[i]})
	}
	return actors
}

// run starts what the actors do, each in a goroutine, and lets their commands through one
// at a time in an order that rng decides, until all have ended. choose, if it is not nil,
// decides in its place: it returns the index of one who waits, or a negative number that
// makes that one crash, as -1-index.
func run(rng *rand.Rand, actors []*actor, do []func(a *actor), choose func(waiting []*passage) int) {
	g := &gate{arrived: make(chan *passage), ended: make(chan int)}
	for i, f := range do {
		actors[i].gate.Store(g)
		g.running++
		go func() {
			f(actors[i])
			g.ended <- i
		}()
	}
	if choose == nil {
		choose = func(waiting []*passage) int { return rng.IntN(len(waiting)) }
	}
	for {
		g.settle(actors)
		if len(g.waiting) == 0 {
			return
		}
		i := choose(g.waiting)
		sent := i >= 0
		if !sent {
			i = -1 - i
		}
		p := g.waiting[i]
		g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
		p.pass <- sent
		<-p.done
	}
}

// settle waits until every actor is at the gate or has ended.
func (g *gate) settle(actors []*actor) {
	for {
		at := make(map[*actor]bool)
		for _, p := range g.waiting {
			at[p.of] = true
		}
		if len(at) >= g.running {
			return
		}
		g.next(actors)
	}
}

func (g *gate) next(actors []*actor) {
	select {
	case p := <-g.arrived:
		g.waiting = append(g.waiting, p)
	case i := <-g.ended:
		actors[i].gate.Store(nil)
		g.running--
	}
}

// gateHook makes the commands of an actor wait.
type gateHook struct{ a *actor }

func (h gateHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h gateHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.wait(func() error { return next(ctx, cmd) }, cmd)
	}
}

func (h gateHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.wait(func() error { return next(ctx, cmds) }, cmds...)
	}
}

func (h gateHook) wait(send func() error, cmds ...redis.Cmder) error {
	g := h.a.gate.Load()
	if g == nil || cmds[0].Name() == "hello" || cmds[0].Name() == "client" { // of a new connection, for a command that has passed
		return send()
	}
	p := &passage{h.a, make(chan bool), make(chan struct{})}
	g.arrived <- p
	defer close(p.done)
	if !<-p.pass {
		for _, cmd := range cmds {
			cmd.SetErr(errCrashed)
		}
		return errCrashed
	}
	return send()
}

package cache

import (
	"math/rand/v2"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// mover migrates the slot of a key, in steps that other goroutines may come
// between. It works outside of bubbles: it waits for servers by real time.
type mover struct {
	orders chan func(*testing.T)
	done   chan bool
}

func newMover(t *testing.T) *mover {
	m := &mover{make(chan func(*testing.T)), make(chan bool)}
	go func() {
		defer close(m.done) // also if a step has failed the test
		for f := range m.orders {
			f(t)
			m.done <- true
		}
	}()
	t.Cleanup(func() { close(m.orders) })
	return m
}

// do reports whether f did not fail the test.
func (m *mover) do(f func(*testing.T)) bool {
	select {
	case m.orders <- f:
		return <-m.done
	case <-m.done:
		return false
	}
}

// migrate is an actor of a race. The keys of the slot move one by one, in any
// order, and perhaps not before the slot is closed.
func (m *mover) migrate(r *race) {
	p := r.racers[0]
	keys := p.c.keysOf(p.cached[0].prefix + r.keys[0])
	pause := func() {
		for range 1 + rand.IntN(12) {
			r.b.wait()
		}
	}
	pause()
	var migration *redistest.Migration
	ok := m.do(func(t *testing.T) { migration = r.s.MigrateSlot(t, keys[0]) })
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys[:rand.IntN(len(keys)+1)] {
		pause()
		ok = ok && m.do(func(t *testing.T) { migration.Move(t, key) })
	}
	pause()
	if ok {
		m.do(func(t *testing.T) { migration.Finish(t) })
	}
}

// The slot of the contested key moves while it is contested.
func TestRaceMigration(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		server := func(testing.TB) *redistest.Server { return s }
		runRaces(t, schedules(t, 40, 0.002), server, newMover(t).migrate)
	})
}

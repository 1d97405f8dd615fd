package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// flights combine callers who ask for the same of one key at the same time. The first
// goes by itself; those who come before it is back go together, as one request for as
// many times n as they are, and whatever is granted goes to those who came first. While
// a group is under way a second one may go out, once a third of the crowd waits for it,
// so that this process and Redis work at the same time.
type flights struct {
	r       *Redis
	begun   time.Time
	seed    maphash.Seed
	waiters sync.Pool // of *waiter whom nobody else knows
	shards  [flightShards]flightShard
}

const (
	flightShards = 16
	// crowded is how many must wait at least for a second group to go out.
	crowded = 16
)

type flightShard struct {
	mu    sync.Mutex
	lines map[flightKey]*line
	spare *line
}

type flightKey struct {
	p   *plan
	key string
	n   int64
}

// line is where the callers wait who ask for the same. There is one while somebody is
// under way. All is guarded by the shard's mu.
type line struct {
	f       *flights
	s       *flightShard
	k       flightKey
	waiting []*waiter // in the order in which they came
	groups  [2]group
	crowd   int // who waited and were under way when a group last went
	// Whose patience ends first is looked up when the timer fires: setting it for each
	// would cost more than all else.
	timer *time.Timer
	timed bool
}

// group is those who are under way together.
type group struct {
	led     bool // somebody sends it, and then the next one
	sending bool
	callers []*waiter // nil for who has left
}

// waiter is a caller who waits to be answered. Whoever takes it out of its line, or its
// group, answers it; it may do so itself.
type waiter struct {
	ctx   context.Context
	until time.Duration // since flights.begun
	done  chan answer   // holds one
}

// answer is what one caller gets: n or nothing, or an error.
type answer struct {
	granted int64
	at      []standing
	more    int64 // taken after it in the same moment
	err     error
}

func newFlights(r *Redis) *flights {
	f := &flights{r: r, begun: time.Now(), seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].lines = make(map[flightKey]*line)
	}
	return f
}

// join asks for what k says, alone or with others.
func (f *flights) join(ctx context.Context, k flightKey) answer {
	s := &f.shards[maphash.String(f.seed, k.key)%flightShards]
	s.mu.Lock()
	l := s.lines[k]
	if l == nil {
		l = s.open(f, k)
		s.mu.Unlock()
		defer l.handOver()
		return f.ask(ctx, k, 1).to(0, k.n)
	}
	w := l.queue(ctx)
	s.mu.Unlock()

	var a answer
	if ended := ctx.Done(); ended == nil {
		a = <-w.done
	} else {
		select {
		case a = <-w.done:
		case <-ended:
			a = l.leave(w)
		}
	}
	w.ctx = nil
	f.waiters.Put(w)
	return a
}

// open makes a line whose first caller is about to be under way.
func (s *flightShard) open(f *flights, k flightKey) *line {
	l := s.spare
	if s.spare = nil; l == nil {
		l = &line{f: f, s: s}
	}
	l.k = k
	l.groups[0].led, l.groups[0].sending = true, true
	s.lines[k] = l
	return l
}

// queue puts a caller in the line.
func (l *line) queue(ctx context.Context) *waiter {
	w, _ := l.f.waiters.Get().(*waiter)
	if w == nil {
		w = &waiter{done: make(chan answer, 1)}
	}
	patience := l.f.r.o.Timeout
	w.ctx, w.until = ctx, time.Since(l.f.begun)+patience
	l.waiting = append(l.waiting, w)
	if !l.timed {
		l.timed = true
		if l.timer == nil {
			l.timer = time.AfterFunc(patience, l.expire)
		} else {
			l.timer.Reset(patience)
		}
	}
	if l.isFull() {
		for i := range l.groups {
			if !l.groups[i].led {
				l.groups[i].led = true
				l.f.r.running.Add() // as do the callers, but these may leave
				go l.lead(i)
			}
		}
	}
	return w
}

// isFull reports whether those who wait are worth a group beside the one under way. Of
// tokens that are taken ahead one group is to know what the other got.
func (l *line) isFull() bool {
	return len(l.waiting) > max(l.crowd/3, crowded) && l.f.r.ahead == nil
}

// handOver is for the first caller, who is back, and leaves the line to the others.
func (l *line) handOver() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.groups[0].sending = false
	if !l.isNeeded(0) {
		l.quit(0)
		return
	}
	l.f.r.running.Add()
	go l.lead(0)
}

// isNeeded reports whether group i should go out again.
func (l *line) isNeeded(i int) bool {
	return len(l.waiting) > 0 && (!l.groups[1-i].sending || l.isFull())
}

// quit ends the leading of group i, and the line if there is no other.
func (l *line) quit(i int) {
	l.groups[i].led = false
	if l.groups[1-i].led {
		return // the other will see to who comes
	}
	delete(l.s.lines, l.k)
	if l.timed {
		l.timer.Stop()
		l.timed = false
	}
	l.k, l.crowd, l.s.spare = flightKey{}, 0, l
}

// lead sends group i until it is not needed any more.
func (l *line) lead(i int) {
	defer l.f.r.running.Done()
	k := l.k // which stays while this leads
	var callers []*waiter
	for {
		var ctx context.Context
		if callers, ctx = l.depart(i, callers); ctx == nil {
			return
		}
		got := l.f.ask(ctx, k, int64(len(callers)))
		if got.err == nil && len(callers) > 1 {
			l.f.r.n.combined.Add(uint64(len(callers)))
		}
		l.arrive(i)
		for j, w := range callers {
			if w != nil {
				w.done <- got.to(int64(j), k.n)
			}
		}
		runtime.Gosched() // those who are answered may come with the next group
	}
}

// depart puts all who wait in group i, and returns them and a context for their
// request, which is nil if the group is not needed any more. They take turns with
// those of the group before as the room to keep them in.
func (l *line) depart(i int, before []*waiter) ([]*waiter, context.Context) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.isNeeded(i) {
		l.quit(i)
		return nil, nil
	}
	clear(before)
	callers := l.waiting
	l.waiting = before[:0]
	l.groups[i].sending, l.groups[i].callers = true, callers
	l.crowd = len(l.groups[0].callers) + len(l.groups[1].callers)
	return callers, context.WithoutCancel(callers[0].ctx)
}

// arrive takes those out of group i who have not left: they are to be answered.
func (l *line) arrive(i int) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.groups[i].sending, l.groups[i].callers = false, nil
}

var errNoAnswer = errors.New("no answer from redis in time")

// leave is for a caller whose context has ended. If its group is under way its n may be
// taken.
func (l *line) leave(w *waiter) answer {
	l.s.mu.Lock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.s.mu.Unlock()
		return answer{err: &exec.Error{Kind: exec.Canceled, Err: w.ctx.Err()}}
	}
	for _, g := range l.groups {
		if i := slices.Index(g.callers, w); i >= 0 {
			g.callers[i] = nil
			l.s.mu.Unlock()
			return answer{err: &exec.Error{Kind: exec.UnknownOutcome, Err: w.ctx.Err()}}
		}
	}
	l.s.mu.Unlock()
	return <-w.done // whoever took it out is about to answer
}

// expire answers those whose patience has ended, and sets the timer for the next.
func (l *line) expire() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	now := time.Since(l.f.begun)
	next := time.Duration(math.MaxInt64)
	for _, g := range l.groups {
		for i, w := range g.callers {
			if w != nil && w.until <= now {
				w.done <- answer{err: &exec.Error{Kind: exec.UnknownOutcome, Err: errNoAnswer}}
				g.callers[i] = nil
			} else if w != nil {
				next = min(next, w.until)
			}
		}
	}
	n := 0
	for n < len(l.waiting) && l.waiting[n].until <= now {
		l.waiting[n].done <- answer{err: &exec.Error{Kind: exec.Unavailable, Err: errNoAnswer}}
		n++
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	if len(l.waiting) > 0 {
		next = min(next, l.waiting[0].until)
	}
	if l.timed = next < math.MaxInt64; l.timed {
		l.timer.Reset(next - now)
	}
}

// asked is what the callers of a group get together.
type asked struct {
	served int64 // how many of them
	at     []standing
	left   int64 // taken ahead
	err    error
}

// to is the answer to the i-th of a group.
func (a asked) to(i, n int64) answer {
	if a.err != nil {
		return answer{err: a.err}
	}
	if i >= a.served {
		return answer{at: a.at, more: a.left}
	}
	return answer{granted: n, at: a.at, more: (a.served-i-1)*n + a.left}
}

// ask asks Redis for n for each of some callers, and for what is to be taken ahead.
func (f *flights) ask(ctx context.Context, k flightKey, callers int64) asked {
	r := f.r
	sent := r.denials.now(k.key)
	lease := r.ahead.begin(k.key)
	most := min(callers, k.p.capacity/k.n) * k.n
	q := request{most, k.n, k.n}
	if lease.tokens >= k.n {
		q = request{min(most+lease.tokens, k.p.capacity), 1, k.n}
	}
	d, err := r.take(ctx, r.x.Budget(), k.p, k.key, q)
	if err != nil {
		return asked{err: err}
	}
	served := min(d.granted/k.n, callers)
	lease.tokens, lease.at = d.granted-served*k.n, d.at
	r.ahead.add(k.key, lease)
	if served < callers {
		r.denials.add(k.p, k.key, k.n, sent, d.at)
	}
	return asked{served, d.at, lease.tokens, nil}
}

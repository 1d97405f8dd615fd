package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// flights combine callers who ask for the same of one key at the same time. The first
// goes by itself; those who come before it is back go together, as one request for as
// many times n as they are, and whatever is granted goes to those who came first.
type flights struct {
	r      *Redis
	seed   maphash.Seed
	timers sync.Pool // of *time.Timer, stopped
	shards [flightShards]flightShard
}

const flightShards = 16

type flightShard struct {
	mu      sync.Mutex
	waiting map[flightKey][]*waiter // an entry, perhaps empty, while one is under way
}

type flightKey struct {
	p   *plan
	key string
	n   int64
}

// waiter is a caller who waits for a group to be answered.
type waiter struct {
	ctx  context.Context
	sent bool // the group is under way
	done chan answer
}

// answer is what one caller gets: n or nothing, or an error.
type answer struct {
	granted int64
	at      []standing
	more    int64 // taken after it in the same moment
	err     error
}

func newFlights(r *Redis) *flights {
	f := &flights{r: r, seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].waiting = make(map[flightKey][]*waiter)
	}
	return f
}

// join asks for what k says, alone or with others.
func (f *flights) join(ctx context.Context, k flightKey) answer {
	s := &f.shards[maphash.String(f.seed, k.key)%flightShards]
	s.mu.Lock()
	waiting, underWay := s.waiting[k]
	if !underWay {
		s.waiting[k] = nil
		s.mu.Unlock()
		defer f.next(s, k)
		return f.ask(ctx, k, 1).to(0, k.n)
	}
	w := &waiter{ctx: ctx, done: make(chan answer, 1)}
	s.waiting[k] = append(waiting, w)
	s.mu.Unlock()

	timer, _ := f.timers.Get().(*time.Timer)
	if timer == nil {
		timer = time.NewTimer(f.r.o.Timeout)
	} else {
		timer.Reset(f.r.o.Timeout)
	}
	defer func() {
		timer.Stop()
		f.timers.Put(timer)
	}()
	select {
	case a := <-w.done:
		return a
	case <-ctx.Done():
	case <-timer.C:
	}
	return f.leave(ctx, s, k, w)
}

var errNoAnswer = errors.New("no answer from redis in time")

// leave is for a caller whose patience has ended. If its group is under way its n
// may be taken.
func (f *flights) leave(ctx context.Context, s *flightShard, k flightKey, w *waiter) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case a := <-w.done:
		return a
	default:
	}
	e := &exec.Error{Kind: exec.Unavailable, Err: errNoAnswer}
	if err := ctx.Err(); err != nil {
		e = &exec.Error{Kind: exec.Canceled, Err: err}
	}
	if w.sent {
		e.Kind = exec.UnknownOutcome
	} else if i := slices.Index(s.waiting[k], w); i >= 0 {
		s.waiting[k] = slices.Delete(s.waiting[k], i, i+1)
	}
	return answer{err: e}
}

// next sends those who have come meanwhile on their way, if there are any.
func (f *flights) next(s *flightShard, k flightKey) {
	if group := f.group(s, k); group != nil {
		f.r.running.Add() // as do the callers, but these may leave
		go func() {
			defer f.r.running.Done()
			for ; group != nil; group = f.group(s, k) {
				f.fly(k, group)
				runtime.Gosched() // those who are answered may come with the next group
			}
		}()
	}
}

// group takes those who wait for k. Nobody is under way if there are none.
func (f *flights) group(s *flightShard, k flightKey) []*waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	group := s.waiting[k]
	if len(group) == 0 {
		delete(s.waiting, k)
		return nil
	}
	s.waiting[k] = nil
	for _, w := range group {
		w.sent = true
	}
	return group
}

// fly asks for a group and answers it.
func (f *flights) fly(k flightKey, group []*waiter) {
	got := f.ask(context.WithoutCancel(group[0].ctx), k, int64(len(group)))
	if got.err == nil && len(group) > 1 {
		f.r.n.combined.Add(uint64(len(group)))
	}
	for i, w := range group {
		w.done <- got.to(int64(i), k.n)
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

package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/drain"
	"github.com/freshet-go/freshet/internal/exec"
)

// Limiter is what a handler needs of a rate limiter. [*Redis] and [*Memory]
// implement it.
type Limiter interface {
	// Allow takes one token of key if it is there.
	Allow(ctx context.Context, key string) (Result, error)
	// AllowN takes n tokens of key if they are all there.
	AllowN(ctx context.Context, key string, n int) (Result, error)
}

var _ Limiter = (*Redis)(nil)

// Redis is a rate limiter whose counts are in Redis, for all processes together. It
// is safe for concurrent use.
type Redis struct {
	o       *settings
	x       *exec.Client
	plans   *plans
	local   *Memory // for FailLocal
	denials *denials
	ahead   *ahead
	flights *flights
	running *drain.Group
	n       counters
}

// New returns a limiter on rdb. While Redis is away each process decides by itself,
// see [Options.OnUnavailable]: set [Options.Instances] to the number of processes, or
// each allows the whole limit meanwhile.
//
// The name is part of every key and tells limiters apart: those with one name and one
// prefix share their counts. It is printable ASCII without spaces, quotes,
// backslashes and braces.
//
// New does no I/O, and never closes rdb. The client may be a *redis.Client, also one
// made for Sentinel, or a *redis.ClusterClient, with whatever timeouts and retries.
// New refuses a *redis.Ring, a *redis.AutoPipeliner and cluster clients that read
// from replicas, on which the guarantees cannot hold. A failover client with
// ReplicaOnly cannot be told from others and is not supported either.
func New(rdb redis.UniversalClient, name string, limit Limit, opts *Options) (*Redis, error) {
	if name == "" {
		return nil, errors.New("ratelimit: name is empty")
	}
	o, err := newSettings(name, opts)
	if err != nil {
		return nil, err
	}
	plans, err := newPlans(o, name, limit)
	if err != nil {
		return nil, err
	}
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	r := &Redis{o: o, x: x, plans: plans, local: newMemory(plans), denials: newDenials(o.DenialCache), running: drain.New()}
	if o.Prefetch > 0 {
		if len(plans.own.buckets) != 1 || o.LimitFor != nil {
			return nil, errors.New("ratelimit: Options.Prefetch is for a TokenBucket without Also and LimitFor")
		}
		r.ahead = newAhead(int64(o.Prefetch))
	}
	r.flights = newFlights(r)
	return r, nil
}

// Allow is AllowN of one.
//
// Cost: 1 round trip, 1 key for each limit, O(1); 0 for what is remembered or was taken
// ahead.
// Atomic: yes.
// Errors: as AllowN.
func (r *Redis) Allow(ctx context.Context, key string) (Result, error) {
	return r.AllowN(ctx, key, 1)
}

// AllowN takes n of every limit of key if all of them allow it, and nothing
// otherwise. A denial changes nothing in Redis, except that it corrects what a
// server's clock has left behind that was since set back.
//
// What is taken is taken once, whatever happens to the reply. If Redis is away, or the
// reply was lost, OnUnavailable decides, the result is Degraded and the error nil.
//
// Callers of one key who ask for the same n at the same time share requests, and what is
// granted to one goes to those who came first; what is denied is remembered, see
// [Options.DenialCache].
//
// Cost: 1 round trip, 1 key for each limit, O(1); 0 for what is remembered or was taken
// ahead. A SlidingLog that has no room for more doubles it, which is O(Quota) but rare.
// Atomic: yes.
// Errors: ErrExceedsBurst if n can never be allowed; ErrClosed; a server error that
// says that the limiter is not permitted or the key is something else; the context's,
// with ErrUnknownOutcome if n may have been taken.
func (r *Redis) AllowN(ctx context.Context, key string, n int) (res Result, err error) {
	// Under attack most calls end here, so nothing comes before it.
	if r.o.LimitFor == nil && !r.running.IsClosed() && r.denials.find(&res, r.plans.own, key, int64(n)) {
		r.n.remembered.Add(1)
		r.n.denied.Add(1)
		return res, nil
	}
	p, err := r.begin(ctx, key, n)
	if err != nil {
		return Result{}, err
	}
	defer r.running.Done()
	if int64(n) > p.capacity {
		return Result{}, ErrExceedsBurst
	}
	if r.o.LimitFor != nil && r.denials.find(&res, p, key, int64(n)) {
		r.n.remembered.Add(1)
		return r.n.decided(res), nil
	}
	if res, ok := r.ahead.take(p, key, int64(n)); ok {
		r.n.ahead.Add(1)
		return r.n.decided(res), nil
	}
	a := r.flights.join(ctx, flightKey{p, key, int64(n)})
	if a.err != nil {
		return r.without(ctx, "allow", p, key, request{int64(n), int64(n), int64(n)}, a.err)
	}
	return r.n.decided(p.result(a.granted, a.at, a.more)), nil
}

// AllowUpTo takes as much as all limits of key allow, n at most; Result.Granted says how
// much. It is allowed if that is something. n may be more than the limit.
//
// Cost: 1 round trip, 1 key for each limit, O(1).
// Atomic: yes.
// Errors: as AllowN, without ErrExceedsBurst.
func (r *Redis) AllowUpTo(ctx context.Context, key string, n int) (Result, error) {
	p, err := r.begin(ctx, key, n)
	if err != nil {
		return Result{}, err
	}
	defer r.running.Done()
	q := request{min(int64(n), p.capacity), 1, 1}
	d, err := r.take(ctx, r.x.Budget(), p, key, q)
	if err != nil {
		return r.without(ctx, "allow", p, key, q, err)
	}
	return r.n.decided(p.result(d.granted, d.at, 0)), nil
}

// begin is how every call that asks for n begins. The caller ends it with running.Done.
func (r *Redis) begin(ctx context.Context, key string, n int) (*plan, error) {
	if n < 1 {
		return nil, errors.New("ratelimit: n is less than 1")
	}
	if !r.running.Enter() {
		return nil, ErrClosed
	}
	begun := false
	defer func() {
		if !begun { // an error of LimitFor, or a panic
			r.running.Done()
		}
	}()
	p, err := r.plans.of(ctx, key)
	begun = err == nil
	return p, err
}

// request is what is to be taken: as much as there is room for, a multiple of step
// between least and most, or else nothing.
type request struct{ most, step, least int64 }

// decision is what a script, or the memory, answered.
type decision struct {
	granted int64
	now     int64 // the server's time, µs
	at      []standing
}

var errReply = errors.New("a script replied something else than expected")

// take asks Redis for a decision.
func (r *Redis) take(ctx context.Context, b *exec.Budget, p *plan, key string, q request) (decision, error) {
	if p.buckets != nil && q.most == q.least {
		return r.takeTokens(ctx, b, p, key, q.least)
	}
	return r.run(ctx, b, takeScript, p, key, q)
}

// takeTokens is the quick way for TokenBuckets.
func (r *Redis) takeTokens(ctx context.Context, b *exec.Budget, p *plan, key string, n int64) (decision, error) {
	args := p.costs
	if n != 1 {
		args = slices.Clone(args)
		for i, bucket := range p.buckets {
			c := bucket.cost(n)
			args[6*i], args[6*i+1] = text(c.us), text(c.rem)
		}
	}
	script := gcraScript
	if len(p.buckets) > 1 {
		script = bucketsScript
	}
	cmd := script.Cmd(p.keys(r.o.keys, key), args...)
	if err := r.x.Do(ctx, b, cmd); err != nil {
		return decision{}, err
	}
	d, ok := bucketsReply(p.buckets, cmd.Val(), n)
	if !ok {
		return decision{}, errReply
	}
	return d, nil
}

// run runs a script for limits of any kind. A FixedWindow is told how the local clock
// goes at the time that the server is thought to have; if that is wrong the server says
// its time and is asked again.
func (r *Redis) run(ctx context.Context, b *exec.Budget, script *exec.Script, p *plan, key string, q request) (decision, error) {
	keys := p.keys(r.o.keys, key)
	f := make([]int64, 2+4*len(keys))
	var now int64
	var known bool
	if p.dated {
		now, known = r.serverTime(keys[0])
	}
	for range 3 {
		args := append(make([]any, 0, 3+7*len(keys)), q.most, q.step, q.least)
		for i, params := range p.params {
			if w, ok := p.counted[i].(*fixedWindow); ok {
				if script == refundScript && known {
					params = numbered(w.letter(), w.named(now))
				} else {
					params = w.args(now)
				}
			}
			args = append(args, params...)
		}
		cmd := script.Cmd(keys, args...)
		if script == peekScript {
			cmd.Idempotent()
		}
		if err := r.x.Do(ctx, b, cmd); err != nil {
			return decision{}, err
		}
		want := f
		if script == refundScript {
			want = f[:2]
		}
		if !numbers(cmd.Val(), want) {
			return decision{}, errReply
		}
		if p.dated {
			r.x.Observe(cmd, time.UnixMicro(f[1]))
		}
		if f[0] < 0 {
			now, known = f[1], true
			continue
		}
		at := make([]standing, len(keys))
		for i := range at {
			at[i] = standing{f[2+4*i], f[3+4*i], f[4+4*i], f[5+4*i]}
		}
		return decision{f[0], f[1], at}, nil
	}
	return decision{}, &exec.Error{Kind: exec.Unavailable, Err: errors.New("the server's clock is being set")}
}

// serverTime estimates the time of the server of a key, in µs. As long as nothing is
// known of it that is this machine's.
func (r *Redis) serverTime(key string) (us int64, known bool) {
	earliest, latest, ok := r.x.ServerTime(key)
	if !ok {
		return time.Now().UnixMicro(), false
	}
	return earliest.Add(latest.Sub(earliest) / 2).UnixMicro(), true
}

// numbers reads the numbers of a reply, separated by spaces, into all of f. What
// replies is a script of ours, but it may have read what is not.
func numbers(reply any, f []int64) bool {
	s, _ := reply.(string)
	short := len(s) >= 2 && s[:2] == "-1"
	for i := range f {
		field, rest, more := strings.Cut(s, " ")
		n, ok := number(field)
		if !ok {
			return false
		}
		f[i], s = n, rest
		if short && i == 1 {
			return true
		}
		if more != (i < len(f)-1) {
			return false
		}
	}
	return true
}

// number reads an integer of at most 18 digits.
func number(s string) (n int64, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 18 {
		return 0, false
	}
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = 10*n + int64(c)
	}
	if len(digits) < len(s) {
		n = -n
	}
	return n, true
}

package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/freshet-go/freshet/internal/rkey"
)

// plan is the limits of one decision. It does not change.
type plan struct {
	given    []Limit
	limits   []Limit // with the defaults filled in
	counted  []algorithm
	parts    []string  // of their keys
	capacity int64     // the most that can ever be taken at once
	params   [][]any   // for scripts, with the letter; nil: they depend on the time
	dated    bool      // one does
	buckets  []*bucket // the limits, if all are TokenBuckets
	costs    []any     // for each of them, six that gcra.lua wants to take one token
	local    *plan     // for FailLocal: this process's share
}

func newPlan(name string, limits []Limit) (*plan, error) {
	p := &plan{given: slices.Clone(limits)}
	names := make(map[string]bool)
	for i, l := range limits {
		l, a, err := l.normal()
		if err != nil {
			return nil, &limitError{i, err}
		}
		part := a.letter()
		if l.Name == "" {
			l.Name = name
			if names[name] {
				l.Name = strings.TrimPrefix(name+"-"+short(l.Period), "-")
			}
		}
		if l.Name != name {
			part += "." + l.Name
		}
		if names[l.Name] {
			return nil, &limitError{i, badField{"Name", fmt.Sprintf("is %q, as that of another limit", l.Name)}}
		}
		names[l.Name] = true
		p.limits, p.counted, p.parts = append(p.limits, l), append(p.counted, a), append(p.parts, part)
		if c := a.capacity(); i == 0 || c < p.capacity {
			p.capacity = c
		}
		if _, ok := a.(*fixedWindow); ok {
			p.dated = true
			p.params = append(p.params, nil)
		} else {
			p.params = append(p.params, numbered(a.letter(), a.params(0)))
		}
	}
	for _, a := range p.counted {
		b, ok := a.(*bucket)
		if !ok {
			p.buckets, p.costs = nil, nil
			break
		}
		one := b.cost(1)
		p.buckets = append(p.buckets, b)
		p.costs = append(p.costs, text(one.us), text(one.rem), text(b.full.us), text(b.full.rem), text(b.den), text(b.zero()))
	}
	return p, nil
}

// limitError is what is wrong with one of several limits: the one of New, followed by
// those of Options.Also.
type limitError struct {
	i   int
	err error
}

func (e *limitError) Error() string {
	if e.i == 0 {
		return "limit." + e.err.Error()
	}
	return fmt.Sprintf("Options.Also[%d].%v", e.i-1, e.err)
}

// numbered puts parameters into the form that scripts want.
func numbered(letter string, params [6]int64) []any {
	args := []any{letter}
	for _, n := range params {
		args = append(args, text(n))
	}
	return args
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

// short is a duration without its zeros: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := strings.Replace(d.String(), "µ", "u", 1)
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// keys are those of the limits, all in one slot.
func (p *plan) keys(space rkey.Space, key string) []string {
	keys := make([]string, len(p.parts))
	for i, part := range p.parts {
		keys[i] = space.Key(part, key)
	}
	return keys
}

// result is a decision by which granted was taken, from how the limits stand after it.
// What was taken after it in the same moment is more.
func (p *plan) result(granted int64, at []standing, more int64) Result {
	r := Result{Allowed: granted > 0, Granted: int(granted)}
	binding := 0
	for i, s := range at {
		if granted > 0 && s.room < at[binding].room || granted == 0 && s.retry > at[binding].retry {
			binding = i
		}
		if room := int(s.room + more); i == 0 || room < r.Remaining {
			r.Remaining = room
		}
	}
	r.Limit = p.limits[binding]
	if granted == 0 {
		r.RetryAfter = micros(at[binding].retry)
	}
	r.ResetAfter = micros(at[binding].reset)
	return r
}

func micros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// share is the plan at the rate ÷ n: what one of n processes may do by itself. One of
// the whole rate is its own.
func (p *plan) share(name string, n int) (*plan, error) {
	if n == 1 {
		return p, nil
	}
	limits := make([]Limit, len(p.limits))
	for i, l := range p.limits {
		if l.Algorithm == TokenBucket {
			// The rate is exact if the period is longer, unless it is too long.
			if l.Period <= maxPeriod/time.Duration(n) {
				l.Period *= time.Duration(n)
			} else {
				l.Quota = max(l.Quota/n, 1)
			}
			l.Burst = (l.Burst + n - 1) / n
		} else {
			l.Quota = max(l.Quota/n, 1)
		}
		limits[i] = l
	}
	return newPlan(name, limits)
}

// plans makes a plan of the limits of a key, and keeps it.
type plans struct {
	name      string
	instances int
	own       *plan
	limitFor  func(ctx context.Context, key string) ([]Limit, error)

	mu   sync.RWMutex
	kept map[Limit][]*plan // by the first of their limits
	n    int
}

// maxPlans bounds how many plans are kept.
const maxPlans = 1000

func newPlans(s *settings, name string, limit Limit) (*plans, error) {
	ps := &plans{name: name, instances: s.Instances, limitFor: s.LimitFor, kept: make(map[Limit][]*plan)}
	var err error
	if ps.own, err = ps.make(append([]Limit{limit}, s.Also...)); err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	return ps, nil
}

func (ps *plans) make(limits []Limit) (*plan, error) {
	for i, l := range limits { // not those of a plan, which are named for the limiter
		if !validName(l.Name, false) {
			return nil, &limitError{i, badField{"Name", "is not printable ASCII without spaces, quotes, backslashes, colons and braces"}}
		}
	}
	p, err := newPlan(ps.name, limits)
	if err != nil {
		return nil, err
	}
	p.local, err = p.share(ps.name, ps.instances)
	return p, err
}

// of returns the plan of a key.
func (ps *plans) of(ctx context.Context, key string) (*plan, error) {
	if ps.limitFor == nil {
		return ps.own, nil
	}
	limits, err := ps.limitFor(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: Options.LimitFor: %w", err)
	}
	if len(limits) == 0 {
		return ps.own, nil
	}
	ps.mu.RLock()
	p := ps.find(limits)
	ps.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	if p, err = ps.make(limits); err != nil {
		return nil, fmt.Errorf("ratelimit: Options.LimitFor: %w", err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if other := ps.find(limits); other != nil {
		return other, nil
	}
	if ps.n++; ps.n > maxPlans {
		clear(ps.kept)
		ps.n = 1
	}
	ps.kept[limits[0]] = append(ps.kept[limits[0]], p)
	return p, nil
}

func (ps *plans) find(limits []Limit) *plan {
	for _, p := range ps.kept[limits[0]] {
		if slices.Equal(p.given, limits) {
			return p
		}
	}
	return nil
}

package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// racer is one process of a race, or a cache that stands for one.
type racer struct {
	h      *history
	id     int
	rdb    redis.UniversalClient
	c      *Redis
	cached []*Cached[string] // with a loader of one, and of many; their entries are the same
	pause  func()            // a step of a load
	hold   func() time.Duration
	away   bool // Redis may be
}

// raceName is of the Caches of races; cached keys are those of the cache after it.
const raceName = "race"

func newRacer(h *history, id int, rdb redis.UniversalClient, opts Options, pause func()) (*racer, error) {
	c, err := New(rdb, &opts)
	if err != nil {
		return nil, err
	}
	r := &racer{h: h, id: id, rdb: rdb, c: c, pause: pause}
	plain := &CachedOptions{ // so that GetOrLoad and Set share the entries
		Marshal: func(v any) ([]byte, error) { return []byte(v.(string)), nil },
		Unmarshal: func(b []byte, v any) error {
			*v.(*string) = string(b)
			return nil
		},
	}
	one, err := NewCached(c, raceName, func(ctx context.Context, key string) (string, error) {
		got, err := r.load(ctx, []string{key})
		if v, ok := got[key]; ok || err != nil {
			return v, err
		}
		return "", ErrNotFound
	}, plain)
	if err != nil {
		return nil, err
	}
	many, err := NewCachedMany(c, raceName, r.load, plain)
	r.cached = []*Cached[string]{one, many}
	return r, err
}

// plan is what loads do that are made for a call.
type plan struct {
	slow int // how many steps they take
	err  error
}

type planKey struct{}

var errLoad = errors.New("load failed")

func randomPlan() plan {
	p := plan{slow: 1 + rand.IntN(10)}
	switch rand.IntN(12) {
	case 0:
		p.err = errLoad
	case 1:
		p.err = ErrNotFound
	}
	return p
}

// load is the loader of everything.
func (r *racer) load(ctx context.Context, keys []string) (map[string]string, error) {
	p, _ := ctx.Value(planKey{}).(plan)
	loads := make([]int, len(keys))
	for i, key := range keys {
		loads[i] = r.h.begin(event{What: "load", Racer: r.id, Key: key})
	}
	for range p.slow {
		r.pause()
	}
	got := make(map[string]string)
	for i, key := range keys {
		r.h.end(loads[i], func(e *event) {
			if p.err == ErrNotFound {
				e.Value = ""
			} else {
				got[key] = e.Value
			}
		})
	}
	if p.err == errLoad {
		return nil, errLoad
	}
	return got, nil
}

// read makes a random call that reads the first of the keys, or all of them.
func (r *racer) read(ctx context.Context, keys []string) {
	ctx = context.WithValue(ctx, planKey{}, randomPlan())
	key, m := keys[0], r.cached[rand.IntN(2)]
	e := event{What: "get", Racer: r.id, Key: key, Start: r.h.clock()}
	var v string
	var err error
	switch rand.IntN(16) {
	default:
		var b []byte
		b, err = r.c.GetOrLoad(ctx, m.prefix+key, func(ctx context.Context) ([]byte, error) {
			got, err := r.load(ctx, keys[:1])
			if v, ok := got[key]; ok || err != nil {
				return []byte(v), err
			}
			return nil, ErrNotFound
		})
		v = string(b)
	case 0, 1:
		v, err = m.Get(ctx, key)
	case 2:
		e.What = "refresh"
		v, err = m.Refresh(ctx, key)
	case 3:
		e.What = "peek"
		b, ok, peekErr := r.c.Peek(ctx, m.prefix+key)
		if !ok && peekErr == nil {
			return
		}
		v, err = string(b), peekErr
	case 4, 5, 6, 7:
		e.What = "getmany"
		r.readMany(ctx, e, m, keys)
		return
	}
	r.done(e, v, err)
}

func (r *racer) readMany(ctx context.Context, e event, m *Cached[string], keys []string) {
	keys = slices.Clone(keys)
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	got, err := m.GetMany(ctx, keys)
	if err != nil {
		r.done(e, "", err)
	}
	for _, key := range keys {
		e.Key = key
		if v, ok := got[key]; ok {
			r.done(e, v, nil)
		} else if err == nil {
			r.done(e, "", ErrNotFound)
		}
	}
}

// done notes what a read returned.
func (r *racer) done(e event, v string, err error) {
	switch {
	case err == nil && v == "":
		err = errors.New("an empty value")
	case err == nil, err == ErrNotFound:
		e.Value, e.End = v, r.h.clock()
		r.h.mu.Lock()
		defer r.h.mu.Unlock()
		r.h.events = append(r.h.events, e)
		return
	case errors.Is(err, errLoad), ended(err), r.away && errors.Is(err, ErrUnavailable):
		return
	}
	r.h.surprise(e.What, err)
}

// ended reports whether a call failed because its context ended, or its load's.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// void makes the values of some of the keys void, in one of the ways there are.
func (r *racer) void(ctx context.Context, keys []string) {
	m := r.cached[0]
	e := event{What: "delete", Racer: r.id}
	kind := rand.IntN(8)
	if kind < 3 || rand.IntN(2) == 0 {
		keys = keys[:1]
	}
	e.What = map[int]string{0: "set", 1: "set", 2: "hold", 3: "expire"}[kind]
	if e.What == "" {
		e.What = "delete"
	}
	e.Many = len(keys) > 1
	var begun []int
	for _, key := range keys {
		e.Key = key
		begun = append(begun, r.h.begin(e))
	}
	var err error
	switch e.What {
	case "set":
		err = m.Set(ctx, keys[0], r.h.value(begun[0]), 0)
	case "hold":
		err = r.c.Hold(ctx, r.hold(), m.full(keys)...)
	case "expire":
		err = r.c.Expire(ctx, m.full(keys)...)
	default:
		err = m.Delete(ctx, keys...)
	}
	for _, i := range begun {
		r.h.end(i, func(e *event) { e.Failed = err != nil })
	}
	if err != nil && !ended(err) && !(r.away && errors.Is(err, ErrUnavailable)) {
		r.h.surprise(e.What, err)
	}
}

// counts says how much of what happened.
func (h *history) counts() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := make(map[string]int)
	for _, e := range h.events {
		what := e.What
		if e.Failed {
			what += " failed"
		}
		n[what]++
	}
	return n
}

func addCounts(to, from map[string]int) {
	for what, n := range from {
		to[what] += n
	}
}

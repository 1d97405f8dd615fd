package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// lead flies flights until nobody waits for them. They have one source; if it
// loads many keys at once, it does. Waits for Redis in the first round count
// against b.
func (c *Redis) lead(b exec.Budget, flights []*flight) {
	defer c.running.Done()
	for len(flights) > 0 {
		busy, loads := c.ask(b, flights)
		if len(loads) > 0 && len(busy) > 0 || len(busy) > 1 {
			c.part(busy)
			busy = nil
		}
		again := busy
		for _, l := range c.load(loads) {
			if c.flights.next(l.f) {
				again = append(again, l.f)
			}
		}
		if len(again) > 1 {
			c.part(again)
			return
		}
		flights = again
		if len(flights) == 1 && !c.pause(flights[0]) {
			return
		}
		b = *c.x.Budget()
	}
}

// part lets flights go on each by itself.
func (c *Redis) part(flights []*flight) {
	for _, f := range flights {
		c.running.Add()
		go func() {
			if c.pause(f) {
				c.lead(*c.x.Budget(), []*flight{f})
			} else {
				c.running.Done()
			}
		}()
	}
}

// pause waits for as long as a flight should before its next round. It reports
// false if the flight is over.
func (c *Redis) pause(f *flight) bool {
	if f.polls == 0 {
		return c.flights.next(f)
	}
	timer := time.NewTimer(f.pollPause())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closing.Done():
		c.flights.refuse(f, ErrClosed)
	}
	return c.flights.next(f)
}

// ask asks Redis for each flight's value or lease. It gives values to those who
// wait for them, and returns the flights that have to ask again and the loads
// that are to be made.
func (c *Redis) ask(b exec.Budget, flights []*flight) (again []*flight, loads []*loading) {
	// Before looking for what is owed: who comes after a Delete has failed must not
	// get what is read here.
	sent := c.seq.Add(1)
	var asking []*flight
	for _, f := range flights {
		if f.away || c.owed.has(f.key) {
			f.away = false
			loads = append(loads, newLoading(f, nil, true))
		} else {
			asking = append(asking, f)
		}
	}
	for i, a := range c.takeLeases(&b, asking) {
		f := asking[i]
		switch {
		case a.err != nil:
			loads = append(loads, newLoading(f, nil, true))
		case a.outcome == leaseMine:
			f.polls = 0
			loads = append(loads, newLoading(f, a.token, false))
		case a.outcome == leaseHeld:
			loads = append(loads, newLoading(f, nil, false))
		case a.outcome == leaseBusy:
			if f.wait(a.value, c.o.LoadTimeout) {
				again = append(again, f)
			} else {
				loads = append(loads, newLoading(f, nil, false))
			}
		default:
			f.polls = 0
			c.found(f, sent, a.value)
			if c.flights.next(f) {
				again = append(again, f)
			}
		}
	}
	return again, loads
}

// wait notes that holder has the lease. It reports false if the flight has waited
// long enough: for limit, or until the lease had passed on twice, so that there
// was time for a whole load whose value was not to be had. Then it loads for
// itself.
func (f *flight) wait(holder string, limit time.Duration) bool {
	if f.polls == 0 {
		f.since, f.holder, f.passed = time.Now(), holder, 0
	} else if holder != f.holder {
		f.holder = holder
		f.passed++
	}
	f.polls++
	return f.passed < 2 && time.Since(f.since) < limit
}

// found deals with a value that Redis had after all.
func (c *Redis) found(f *flight, sent uint64, raw string) {
	f.seen, f.old = "", nil
	e, err := decodeEntry(raw)
	if err != nil {
		c.n.corrupt.Add(1)
		f.seen = identity(raw)
		return
	}
	now, known := c.serverTime(f.key)
	if state, _ := c.judge(&e, now, known); state != expired {
		c.flights.deliver(f, sent, false, e.result())
		if !c.flights.anew(f) {
			return
		}
	}
	f.seen, f.old = identity(raw), e.kept()
}

func newLoading(f *flight, token []byte, away bool) *loading {
	return &loading{f: f, key: f.key, old: f.old, token: token, away: away, admitted: new(atomic.Bool)}
}

// result is what the load's waiters get if it did not fail.
func (l *loading) result() result {
	return result{payload: l.payload, err: l.err}
}

// gathering is how long what a load brought waits for that of others, to be
// stored with it.
const gathering = 20 * time.Millisecond

// load makes loads side by side and stores what they bring. When some have ended
// and others take long, the flights of those that have go on by themselves. It
// returns the other ones.
func (c *Redis) load(loads []*loading) []*loading {
	if len(loads) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(loads[0].f.ctx, c.o.LoadTimeout)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	renew := time.NewTicker(leaseRenew)
	defer renew.Stop()

	pending := make(map[*flight]*loading, len(loads))
	for _, l := range loads {
		pending[l.f] = l
	}
	var landed []*loading
	var gathered <-chan time.Time
	ended := c.startLoads(ctx, loads[0].f.src, loads)
	for len(pending) > 0 {
		select {
		case some := <-ended:
			for _, l := range some {
				if pending[l.f] != nil {
					delete(pending, l.f)
					c.handOut(l)
					landed = append(landed, l)
				}
			}
			if gathered == nil && len(pending) > 0 {
				gathered = time.After(gathering)
			}
		case <-gathered:
			c.goOn(landed)
			landed, gathered = nil, nil
		case <-renew.C:
			c.renew(pending)
		case <-ctx.Done():
			for f, l := range pending {
				switch {
				case c.closing.Err() != nil:
					l.err = ErrClosed
				case l.away && !l.admitted.Load():
					l.err = errTooMany(ctx)
				default:
					l.err = fmt.Errorf("cache: load: %w", ctx.Err())
				}
				delete(pending, f)
				c.handOut(l)
				landed = append(landed, l)
			}
		}
	}
	c.fill(landed)
	return landed
}

// goOn stores what loads brought, and lets their flights go on.
func (c *Redis) goOn(loads []*loading) {
	c.running.Add()
	go func() {
		defer c.running.Done()
		c.fill(loads)
		for _, l := range loads {
			c.part([]*flight{l.f})
		}
	}()
}

// handOut gives the outcome of a load to those who may have it in any case, and
// decides whether it is to be stored.
func (c *Redis) handOut(l *loading) {
	f := l.f
	f.seen, f.old, f.polls, f.failed = "", nil, 0, l.failed()
	if l.failed() {
		c.n.loadErrors.Add(1)
		if c.flights.refuse(f, l.err) == 0 {
			c.report(l.err)
		}
	} else {
		c.flights.deliver(f, l.began, true, l.result())
	}
	if l.stores = l.token != nil && !l.failed() && l.ttl >= time.Millisecond; !l.stores && l.token != nil {
		c.release(f, l.token)
	}
}

// fill stores loaded values. Those who came during the load get them if they
// were stored by a command that was sent after they had come.
func (c *Redis) fill(landed []*loading) {
	var loads []*loading
	for _, l := range landed {
		if l.stores {
			loads = append(loads, l)
		}
	}
	if len(loads) == 0 {
		return
	}
	cmds := make([]*exec.Cmd, len(loads))
	for i, l := range loads {
		head, rest := encodeEntry(l.token, l.notFound, l.cost, l.payload, c.o.CompressAbove)
		cmds[i] = fillScript.Cmd(c.keysOf(l.f.key), l.token, head, rest,
			l.ttl.Milliseconds(), c.expiry(l.ttl, l.notFound)).Idempotent().Splits()
	}
	sent := c.seq.Add(1)
	_ = c.x.DoAll(c.untilClosed(loads[0].f.ctx), c.x.Budget(), cmds) // each has its own
	for i, l := range loads {
		outcome, _, err := c.leaseReply(cmds[i])
		switch {
		case err != nil:
			c.n.dropped.Add(1)
			c.report(wrap("store", err))
			c.release(l.f, l.token) // or others wait for its end
			l.f.away = exec.KindOf(err) != exec.Refused
		case outcome == 0:
			c.n.refused.Add(1)
			if l.token[len(l.token)-1] > 0 {
				c.release(l.f, l.token) // that an earlier request took, which came late
			}
		default:
			c.n.stored.Add(1)
			if !c.owed.has(l.f.key) {
				c.flights.deliver(l.f, sent, false, l.result())
			}
		}
	}
}

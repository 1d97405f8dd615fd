package cache

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// freshness is what a stored value is good for now.
type freshness uint8

const (
	fresh   freshness = iota
	early             // fresh, but to be loaded anew in the background
	stale             // past its TTL; good while it is loaded anew
	expired           // good only if a load fails
)

// judge compares an entry with the time by its server's clock. For an early one it
// says how long before its time it is to be refreshed. If the clock is not known,
// which readings see to, the entry is not believed.
func (c *Redis) judge(e *entry, now time.Time, known bool) (f freshness, ahead time.Duration) {
	if !known {
		return expired, 0
	}
	switch left := e.until.Sub(now); {
	case left > 0 && !e.expired:
		if ahead = c.horizon(e); ahead >= left {
			return early, ahead
		}
		return fresh, 0
	case !e.notFound && max(-left, 0) < c.o.StaleFor:
		return stale, 0
	}
	return expired, 0
}

// horizon is how long before the end of its freshness this reader would have
// the entry loaded anew: exponentially distributed around the time that the load
// took (XFetch).
func (c *Redis) horizon(e *entry) time.Duration {
	if c.o.EarlyRefresh == 0 || e.cost == 0 || e.notFound {
		return 0
	}
	d := float64(e.cost) * c.o.EarlyRefresh * rand.ExpFloat64()
	return time.Duration(min(d, math.MaxInt64/2))
}

// coversError reports whether an entry that was read before a load may be
// served because the load failed.
func (c *Redis) coversError(key string, e *entry) bool {
	if e == nil || e.notFound {
		return false
	}
	now, ok := c.serverTime(key)
	return ok && max(now.Sub(e.until), 0) < c.o.StaleOnError
}

// refusedPause is how long a background refresh that somebody else makes, or
// that failed, keeps this process from trying again.
const (
	refusedPause = 100 * time.Millisecond
	failedPause  = time.Second
)

// refresh loads a value anew in the background, if no load of the key is under
// way in this process or another.
func (c *Redis) refresh(ctx context.Context, key string, src *source, e *entry, ahead time.Duration) {
	f := c.flights.open(ctx, key, src)
	if f == nil {
		return
	}
	old := e.kept()
	old.payload = bytes.Clone(e.payload) // the caller may change it
	c.running.Add()
	go func() {
		if c.rest(f, c.refreshOnce(f, old, ahead)) {
			c.lead(*c.x.Budget(), []*flight{f})
		} else {
			c.running.Done()
		}
	}()
}

// refreshOnce returns how long to leave the key alone.
func (c *Redis) refreshOnce(f *flight, e *entry, ahead time.Duration) time.Duration {
	token := newToken()
	cmd := refreshScript.Cmd(c.keysOf(f.key), token, leaseTerm.Milliseconds(), identity(e.raw),
		ahead.Milliseconds()).Splits()
	_ = c.x.Do(c.untilClosed(f.ctx), c.x.Budget(), cmd) // leaseReply has it
	outcome, _, err := c.leaseReply(cmd)
	if exec.KindOf(err) == exec.UnknownOutcome {
		c.release(f, token)
	}
	if err != nil || outcome != leaseMine {
		return refusedPause
	}
	c.n.refreshes.Add(1)
	f.old = e
	c.load([]*loading{newLoading(f, token, false)})
	if f.failed {
		return failedPause
	}
	return 0
}

// rest leaves a key's flight in its place for a while, so that no other refresh
// is tried, unless somebody joins it. It reports whether somebody did.
func (c *Redis) rest(f *flight, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.wake:
		case <-c.running.Ending():
		}
	}
	return c.flights.next(f)
}

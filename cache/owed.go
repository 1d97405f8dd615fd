package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

const (
	// maxOwed is how many failed Deletes are remembered one by one.
	maxOwed = 10_000
	// owedBatch is how many are tried at a time.
	owedBatch = 500
	owedPause = 50 * time.Millisecond // doubling up to
	owedRests = time.Second
)

// owed are the keys whose Delete failed. As long as a key is among them, this
// process does not believe what Redis has under it.
type owed struct {
	n    atomic.Int64 // of keys, or more if there are too many; zero is the fast path
	life atomic.Int64 // the longest that any entry lives, as a Duration

	mu      sync.Mutex
	keys    map[string]*debt
	all     time.Time // until then every key counts as owed
	working bool
}

// debt is one Delete to be done, after a time that is not before it failed, and in
// vain after another.
type debt struct {
	after, until time.Time
}

func (o *owed) count() int64 { return o.n.Load() }

// lives notes that an entry will live for d.
func (o *owed) lives(d time.Duration) {
	d = min(d, maxTTL)
	for {
		old := o.life.Load()
		if int64(d) <= old || o.life.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// has reports whether a Delete of key is still to be done.
func (o *owed) has(key string) bool {
	if o.n.Load() == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.keys[key] != nil || time.Now().Before(o.all)
}

// paid takes a key off, because a command that was sent at the given time has
// deleted it; but not if that was before another Delete failed, or before the time
// at which an abandoned Set can no longer undo it.
func (o *owed) paid(key string, sent time.Time) {
	if o.n.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.keys[key]; d != nil && sent.After(d.after) {
		o.drop(key)
	}
}

func (o *owed) drop(key string) {
	delete(o.keys, key)
	o.recount()
}

func (o *owed) recount() {
	n := int64(len(o.keys))
	if time.Now().Before(o.all) {
		n++
	}
	o.n.Store(n)
}

// owe notes keys whose Delete failed, to be done not before the given delay,
// and sees that somebody does it.
func (c *Redis) owe(keys []string, delay time.Duration) {
	o := &c.owed
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	// As long as a value can live that another process is loading now.
	life := max(time.Duration(o.life.Load()), c.o.TTL*2+c.o.stale(), c.o.NotFoundTTL)
	until := now.Add(min(life+c.o.LoadTimeout, maxTTL))
	for _, key := range keys {
		if o.keys[key] == nil && len(o.keys) >= maxOwed {
			o.all = until
			continue
		}
		after := now.Add(delay)
		if d := o.keys[key]; d != nil && d.after.After(after) {
			after = d.after
		}
		o.keys[key] = &debt{after: after, until: until}
	}
	o.recount()
	if !o.working {
		o.working = true
		c.running.Add()
		go c.payOff()
	}
}

// due returns some of the keys that may be deleted now, and forgets those that it
// is too late for. It reports false, and that nobody is at work, if none are left.
func (o *owed) due() (debts map[string]*debt, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	debts = make(map[string]*debt)
	for key, d := range o.keys {
		if now.After(d.until) {
			delete(o.keys, key)
		} else if now.After(d.after) && len(debts) < owedBatch {
			debts[key] = d
		}
	}
	o.recount()
	o.working = o.n.Load() > 0
	return debts, o.working
}

// payOff tries to delete what is owed until it is done, in vain, or the cache is
// closed.
func (c *Redis) payOff() {
	defer c.running.Done()
	for pause := owedPause; ; pause = min(2*pause, owedRests) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.running.Ending():
			timer.Stop()
			return
		}
		debts, ok := c.owed.due()
		if !ok {
			return
		}
		if c.pay(debts) {
			pause = owedPause / 2
		}
	}
}

// pay deletes keys. It reports whether all went well.
func (c *Redis) pay(debts map[string]*debt) bool {
	keys := make([]string, 0, len(debts))
	cmds := make([]*exec.Cmd, 0, len(debts))
	for key := range debts {
		keys = append(keys, key)
		cmds = append(cmds, c.unlink(key))
	}
	ctx := context.Background()
	failed := c.x.DoAll(ctx, c.x.Budget(), cmds)
	if failed != nil {
		c.report(wrap("delete again", failed))
	}
	for i, key := range keys {
		err := cmds[i].Err()
		if exec.IsTryAgain(err) {
			err = c.unlinkSingly(ctx, c.x.Budget(), keys[i:i+1])
		}
		if err == nil {
			c.owed.settle(key, debts[key])
		}
	}
	return failed == nil
}

// settle takes a key off if no other Delete of it has failed meanwhile.
func (o *owed) settle(key string, d *debt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys[key] == d {
		o.drop(key)
	}
}

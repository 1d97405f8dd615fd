package counter

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

// UniqueOptions are the settings of a [Unique]. In every field zero is the default; in those
// that say so a negative value turns the thing off.
type UniqueOptions struct {
	// Prefix begins every Redis key, as [Options.Prefix] does. All keys with one prefix are
	// in one slot of a cluster, so that Count can unite them. Zero: "counter". Change it to
	// spread over a cluster what is never counted together.
	Prefix string

	// Timeout bounds the time that one call waits for Redis, all its commands taken
	// together. Zero: 1 second. Negative: unbounded.
	Timeout time.Duration

	// TTL is how long a set lives from its first member. Zero: for ever. Set it where the key
	// has a date in it.
	TTL time.Duration

	// Exact is how many members are counted exactly. A set that has more becomes a
	// HyperLogLog, which has 12 KiB however many there are and a standard error of 0.81 %.
	// Zero: 1,000. Negative: every set is one from the start. Change it to what 0.81 % must
	// not hide; it is 10,000 at most.
	Exact int
}

const (
	defaultExact, maxExact = 1000, 10_000
	// stdErr is the relative standard error of a HyperLogLog of 16,384 registers.
	stdErr = 1.04 / 128
	// maxUnion bounds how many keys one script unites.
	maxUnion = 1000
)

// A Unique counts how many different members there are: of visitors who come more than once,
// say. It counts exactly up to a limit, and then with a HyperLogLog. It is safe for
// concurrent use and needs no closing.
type Unique struct {
	link
	keys   rkey.Space
	prefix string
	ttl    int64 // ms
	exact  int
	n      struct{ added, counted, condensed atomic.Uint64 }
}

// NewUnique returns a Unique in rdb. It does no I/O, never closes rdb, and refuses the clients
// that [New] refuses.
func NewUnique(rdb redis.UniversalClient, opts *UniqueOptions) (*Unique, error) {
	var o UniqueOptions
	if opts != nil {
		o = *opts
	}
	switch {
	case o.TTL < 0 || o.TTL > never:
		return nil, errors.New("counter: UniqueOptions.TTL is negative or more than 100 years")
	case o.Exact == 0:
		o.Exact = defaultExact
	case o.Exact > maxExact:
		return nil, errors.New("counter: UniqueOptions.Exact is more than 10,000")
	}
	u := &Unique{ttl: millis(o.TTL), exact: max(o.Exact, -1)}
	var err error
	if u.x, u.keys, err = connect(rdb, "UniqueOptions", &o.Prefix, &o.Timeout); err != nil {
		return nil, err
	}
	u.prefix = o.Prefix
	return u, nil
}

func (u *Unique) key(part, key string) string { return u.keys.Member(part, u.prefix, key) }

// Add notes members of key. Those that are there already change nothing, so that a call may
// be repeated.
//
// Cost: 1 round trip for each thousand members, 1 key, O(1) each; 1 more for the member that
// is one more than Exact, O(Exact).
// Atomic: for each thousand members, with the expiry.
// Errors: ErrUnavailable, and some may be noted; a server error if something else is under
// the key, or it is forbidden; the context's.
func (u *Unique) Add(ctx context.Context, key string, members ...string) error {
	k, b := u.key("u", key), u.x.Budget()
	for len(members) > 0 {
		part := members[:min(batch, len(members))]
		members = members[len(part):]
		args := append(make([]any, 0, 2+len(part)), u.exact, u.ttl)
		for _, m := range part {
			args = append(args, m)
		}
		cmd := seeScript.Cmd([]string{k}, args...).Idempotent()
		if err := u.x.Do(ctx, b, cmd); err != nil {
			return u.failed("add", err)
		}
		u.n.added.Add(uint64(len(part)))
		if cmd.Val() == int64(0) {
			u.condense(ctx, b, k, key)
		}
	}
	return nil
}

// condense makes a HyperLogLog of a set. If that fails, such as while a cluster moves the
// slot, the set goes on as it is until the next Add.
func (u *Unique) condense(ctx context.Context, b *exec.Budget, k, key string) {
	cmd := condenseScript.Cmd([]string{k, u.key("w", key)}, u.exact).Idempotent().Splits()
	if u.x.Do(ctx, b, cmd) == nil {
		u.n.condensed.Add(1)
	}
}

// Count returns how many different members keys have together, and the relative standard
// error of that: zero if it is exact, because all keys are, and 0.0081 otherwise. Of none,
// and of keys that are not there, it is zero.
//
// Cost: 1 round trip, a thousand keys at most, O(N) of keys, and of the members of those that
// are exact if there are several.
// Atomic: yes.
// Errors: ErrUnavailable, also while a cluster moves the slot of the Unique; a server error if
// something else is under a key, or it is forbidden; the context's.
func (u *Unique) Count(ctx context.Context, keys ...string) (n int64, relErr float64, err error) {
	switch {
	case len(keys) == 0:
		return 0, 0, nil
	case len(keys) > maxUnion:
		return 0, 0, errors.New("counter: more than 1,000 keys")
	}
	all := make([]string, 0, len(keys)+1)
	for _, key := range keys {
		all = append(all, u.key("u", key))
	}
	cmd := unionScript.Cmd(append(all, u.key("w", keys[0]))).Idempotent()
	if err := u.x.Do(ctx, u.x.Budget(), cmd); err != nil {
		return 0, 0, u.failed("count", err)
	}
	reply, _ := cmd.Val().([]any)
	if len(reply) != 2 {
		return 0, 0, u.failed("count", errReply)
	}
	n, ok := reply[0].(int64)
	about, ok2 := reply[1].(int64)
	if !ok || !ok2 {
		return 0, 0, u.failed("count", errReply)
	}
	u.n.counted.Add(1)
	if about != 0 {
		relErr = stdErr
	}
	return n, relErr, nil
}

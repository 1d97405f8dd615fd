package counter

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
)

// A Counter counts. [*Redis] and [*Buffered] implement it.
type Counter interface {
	// Add adds n, which may be negative, to the counter of key and returns the total.
	Add(ctx context.Context, key string, n int64) (int64, error)
	// AddOnce adds n unless the operation opID has been counted in key before. It returns
	// the total, and whether this call has counted.
	AddOnce(ctx context.Context, key, opID string, n int64) (total int64, applied bool, err error)
	// Get returns the total of key, which is zero if nothing was counted.
	Get(ctx context.Context, key string) (int64, error)
}

var (
	_ Counter = (*Redis)(nil)
	_ Counter = (*Buffered)(nil)
)

// Redis counts in Redis: each counter is a string that a native GET reads. It goes by the
// server's clock. It is safe for concurrent use and needs no closing.
type Redis struct {
	o *settings
	link
	n counters
}

// New returns a counter in rdb. It does no I/O, and never closes rdb.
//
// The client may be a *redis.Client, also one made for Sentinel, or a
// *redis.ClusterClient, with whatever timeouts and retries. New refuses a
// *redis.Ring, a *redis.AutoPipeliner and cluster clients that read from
// replicas, on which the guarantees cannot hold. A failover client with
// ReplicaOnly cannot be told from others and is not supported either.
func New(rdb redis.UniversalClient, opts *Options) (*Redis, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	r := &Redis{o: o}
	if r.x, o.keys, err = connect(rdb, "Options", &o.Prefix, &o.Timeout); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Redis) key(key string) string { return r.o.keys.Key("n", key) }

// Add adds n, which may be negative, and returns the total. It is sent once.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes, with the expiry.
// Errors: ErrUnavailable; ErrUnknownOutcome; a server error if the total would overflow,
// something that is not a count is under the key, or it is forbidden; the context's.
func (r *Redis) Add(ctx context.Context, key string, n int64) (int64, error) {
	k := r.key(key)
	var cmd *exec.Cmd
	if r.o.TTL == 0 {
		cmd = exec.Command(k, "incrby", k, n)
	} else {
		cmd = r.o.add.Cmd([]string{k}, n, millis(r.o.TTL))
	}
	if err := r.x.Do(ctx, r.x.Budget(), cmd); err != nil {
		return 0, r.failed("add", err)
	}
	total, err := number(cmd.Val())
	if err != nil {
		return 0, r.failed("add", err)
	}
	r.n.added.Add(1)
	return total, nil
}

// attempts bounds how often an AddOnce is sent, whose replies are lost or which a clock
// that is not known yet makes late.
const attempts = 4

// AddOnce adds n unless opID was counted in key within [Options.OnceFor]. It returns the
// total, and whether this call has counted. A call whose reply is lost is sent again, as
// long as Timeout allows, and finds what it has done. Whatever it returns, it may be called
// again with the same opID.
//
// An opID belongs to its key. Take and Reset leave it as it is: what was counted before
// them is not counted again.
//
// Cost: 1 round trip, 2 keys, O(1); 2 for the first on a server, whose clock has to be learnt.
// Atomic: yes, with the expiry.
// Errors: ErrUnavailable, also while a cluster moves the slot of key; ErrUnknownOutcome; a
// server error, as of Add; the context's.
func (r *Redis) AddOnce(ctx context.Context, key, opID string, n int64) (total int64, applied bool, err error) {
	if opID == "" {
		return 0, false, errors.New("counter: opID is empty")
	}
	keys := []string{r.key(key), r.o.keys.Key("o."+fingerprint(opID), key)}
	call := rand.Text()
	b := r.x.Budget()
	var lost error // the error of an attempt that may have been executed
	for sent := 0; sent < attempts; sent++ {
		latest := r.latest(ctx, b, keys[0], r.o.OnceFor)
		cmd := r.o.once.Cmd(keys, n, millis(r.o.TTL), call, latest, millis(r.o.OnceFor))
		err = r.x.Do(ctx, b, cmd)
		if exec.KindOf(err) == exec.UnknownOutcome {
			if latest > 0 { // else it came too late for certain
				lost = err
			}
			if b.Left() == 0 || ctx.Err() != nil {
				break
			}
			continue
		}
		if err != nil {
			break
		}
		var server, outcome int64
		if server, outcome, total, err = r.outcome(cmd); err != nil {
			break
		}
		switch outcome {
		case outcomeDone:
			r.n.added.Add(1)
			return total, true, nil
		case outcomeBefore:
			r.n.repeated.Add(1)
			return total, false, nil
		}
		err = &exec.Error{Kind: exec.Unavailable, Err: errLate}
		if server < latest+r.o.OnceFor.Microseconds() {
			lost = nil // it was too late then too, or what it did would be remembered
		}
	}
	if lost != nil {
		err = lost
	}
	return 0, false, r.failed("add once", err)
}

// fingerprint stands for an opID in a key: 128 bits of it.
func fingerprint(opID string) string {
	sum := sha256.Sum256([]byte(opID))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Get returns the total of key, zero if there is none. It is a native GET.
//
// Cost: 1 round trip, 1 key, O(1).
// Errors: ErrUnavailable; a server error if something that is not a count is under the key,
// or it is forbidden; the context's.
func (r *Redis) Get(ctx context.Context, key string) (int64, error) {
	cmd := exec.Get(r.key(key))
	_ = r.x.Do(ctx, r.x.Budget(), cmd) // total has it
	total, err := r.total(cmd)
	if err != nil {
		return 0, r.failed("get", err)
	}
	return total, nil
}

// total reads the reply to a GET.
func (r *Redis) total(cmd *exec.Cmd) (int64, error) {
	r.n.read.Add(1)
	switch err := cmd.Err(); {
	case err == nil:
		return number(cmd.Text())
	case exec.KindOf(err) == 0: // redis.Nil
		return 0, nil
	default:
		return 0, err
	}
}

// GetMany returns the totals of keys. Those of which nothing was counted are zero. When
// some fail the map has the others, and the error is that of the first. What is not a
// string under a key may be an error or a zero.
//
// Cost: 1 round trip per node for each thousand keys.
// Atomic: per key.
// Errors: as Get.
func (r *Redis) GetMany(ctx context.Context, keys []string) (map[string]int64, error) {
	totals := make(map[string]int64, len(keys))
	b := r.x.Budget()
	var first error
	for len(keys) > 0 && first == nil {
		part := keys[:min(batch, len(keys))]
		keys = keys[len(part):]
		cmds := exec.GetEach(r.o.keys.Keys("n", part))
		_ = r.x.DoAll(ctx, b, cmds) // each has its own
		for i, cmd := range cmds {
			total, err := r.total(cmd)
			if err == nil {
				totals[part[i]] = total
			} else if first == nil {
				first = err
			}
		}
	}
	if first != nil {
		return totals, r.failed("get many", first)
	}
	return totals, nil
}

// Take returns the total of key and makes it zero, so that each count is in one Take. If
// the reply is lost the total may be lost with it: it is sent once.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes.
// Errors: ErrUnavailable, and nothing was taken; ErrUnknownOutcome; a server error, as of
// Get; the context's.
func (r *Redis) Take(ctx context.Context, key string) (int64, error) {
	cmd := takeScript.Cmd([]string{r.key(key)})
	err := r.x.Do(ctx, r.x.Budget(), cmd)
	if err == redis.Nil {
		return 0, nil
	}
	var total int64
	if err == nil {
		total, err = number(cmd.Val())
	}
	if err != nil {
		return 0, r.failed("take", err)
	}
	r.n.taken.Add(1)
	return total, nil
}

// Reset makes keys zero. The next count of each begins a new counter.
//
// Cost: 1 round trip per node for each thousand keys.
// Atomic: per key.
// Errors: ErrUnavailable, and some may be zero; a server error that forbids it; the
// context's. Calling again is safe.
func (r *Redis) Reset(ctx context.Context, keys ...string) error {
	b := r.x.Budget()
	for len(keys) > 0 {
		part := r.o.keys.Keys("n", keys[:min(batch, len(keys))])
		keys = keys[len(part):]
		cmds := make([]*exec.Cmd, len(part))
		for i, k := range part {
			cmds[i] = exec.Command(k, "unlink", k).Idempotent()
		}
		if err := r.x.DoAll(ctx, b, cmds); err != nil {
			return r.failed("reset", err)
		}
		r.n.reset.Add(uint64(len(part)))
	}
	return nil
}

package session

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
)

var _ Store = (*Redis)(nil)

// Redis keeps records in Redis: each a string that a native GET reads and scripts write,
// and for each user a sorted set of his records. It goes by the server's clock. It is
// safe for concurrent use and needs no closing.
//
// A failover of Redis loses what was not replicated: a save, a deletion or a revocation
// that was acknowledged may be undone by it. A server that evicts keys ends sessions.
type Redis struct {
	o       *settings
	x       *exec.Client
	revoked revocations
	n       counters
}

// New returns a store in rdb. It does no I/O, and never closes rdb.
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
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return &Redis{o: o, x: x}, nil
}

// Get returns the record of a handle. It is a native GET; twice a minute, for each
// server, it is a script that returns the server's time as well.
//
// Cost: 1 round trip, 1 key, O(1).
// Errors: ErrNotFound; ErrCorrupt, or ErrNotFound if something that is not a string is
// there; ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) Get(ctx context.Context, handle string) (Record, error) {
	rec, _, err := r.get(ctx, r.x.Budget(), handle)
	return rec, err
}

// get also returns whose write it was.
func (r *Redis) get(ctx context.Context, b *exec.Budget, handle string) (Record, writeID, error) {
	key := r.o.keys.Key("s", handle)
	cmd := r.reading(key, r.x.ClockDue(key))
	_ = r.x.Do(ctx, b, cmd) // read has it
	rec, id, err := r.read(key, cmd)
	switch {
	case err == ErrNotFound:
		r.n.notFound.Add(1)
	case err != nil:
		err = r.failed("get", err)
	}
	return rec, id, err
}

// reading is the command that reads a record, and the server's time if that is due.
func (r *Redis) reading(key string, due bool) *exec.Cmd {
	if due {
		return peekScript.Cmd([]string{key}).Idempotent()
	}
	return exec.Get(key)
}

// read decodes the reply to a reading. Its errors are ErrNotFound, errCorrupt and those
// of exec.
func (r *Redis) read(key string, cmd *exec.Cmd) (Record, writeID, error) {
	r.n.reads.Add(1)
	if err := cmd.Err(); err != nil {
		if exec.KindOf(err) == 0 { // redis.Nil
			err = ErrNotFound
		}
		return Record{}, writeID{}, err
	}
	stored := cmd.Text()
	if reply, ok := cmd.Val().([]any); ok { // of peek.lua
		if len(reply) != 2 || !r.observe(cmd, reply[0]) {
			return Record{}, writeID{}, errReply
		}
		if reply[1] == nil {
			return Record{}, writeID{}, ErrNotFound
		}
		stored, _ = reply[1].(string)
	}
	h, ok := parseHeader(stored)
	if !ok {
		return Record{}, writeID{}, errCorrupt
	}
	rec := r.record(key, h)
	rec.Data = dataOf(stored)
	return rec, h.write, nil
}

// record translates a header to this process's clock, by the latest time that the
// server's may show.
func (r *Redis) record(key string, h header) Record {
	now := time.Now()
	_, server, ok := r.x.ServerTime(key)
	if !ok { // the slot has moved to a server that has not been asked yet
		server = now
	}
	local := func(ms int64) time.Time { return now.Add(time.UnixMilli(ms).Sub(server)) }
	return Record{Version: h.version, Login: h.login, Seen: local(h.seen), Deadline: local(h.deadline)}
}

// Create stores r as Version 1 if there is no record. It is sent once. If the reply is
// lost Create looks for the record, which costs a round trip more.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes.
// Errors: ErrConflict; ErrUnavailable; ErrUnknownOutcome if the record may be there, or
// appear later; a server error that forbids it; the context's.
func (r *Redis) Create(ctx context.Context, handle string, rec Record, ttl time.Duration) (Record, error) {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return Record{}, err
	}
	life, err := lifeUntil(rec.Deadline)
	if err != nil {
		return Record{}, err
	}
	h := header{version: 1, login: rec.Login, write: newWriteID()}
	key := r.o.keys.Key("s", handle)
	b := r.x.Budget()
	cmd := createScript.Cmd([]string{key}, h.start(), ceilMillis(life), ceilMillis(ttl), string(rec.Data))
	if err := r.x.Do(ctx, b, cmd); err != nil {
		if exec.KindOf(err) != exec.UnknownOutcome || b.Left() == 0 || ctx.Err() != nil {
			return Record{}, r.failed("create", err)
		}
		found, id, getErr := r.get(ctx, b, handle)
		if getErr != nil || id != h.write {
			return Record{}, r.failed("create", err)
		}
		r.n.created.Add(1)
		return found, nil
	}
	outcome, head, err := r.outcome(cmd)
	switch {
	case err != nil:
		return Record{}, r.failed("create", err)
	case outcome == outcomeOther:
		r.n.conflicts.Add(1)
		return Record{}, ErrConflict
	}
	r.n.created.Add(1)
	return r.stored("create", key, head, rec.Data)
}

// stored is what a script says that it has stored.
func (r *Redis) stored(op, key, head string, data []byte) (Record, error) {
	h, ok := parseHeader(head)
	if !ok {
		return Record{}, r.failed(op, errReply)
	}
	rec := r.record(key, h)
	rec.Data = data
	return rec, nil
}

// attempts bounds how often a Swap is sent whose replies are lost.
const attempts = 3

// Swap stores rec as Version rec.Version+1 in place of that version. A Swap whose reply
// is lost is sent again, as long as Timeout allows.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes.
// Errors: ErrNotFound; ErrConflict, with what is stored; ErrCorrupt; ErrUnavailable;
// ErrUnknownOutcome if it may have been done; a server error that forbids it; the
// context's.
func (r *Redis) Swap(ctx context.Context, handle string, rec Record, ttl time.Duration) (Record, error) {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return Record{}, err
	}
	deadline := ""
	if !rec.Deadline.IsZero() {
		life, err := lifeUntil(rec.Deadline)
		if err != nil {
			return Record{}, err
		}
		deadline = strconv.FormatInt(ceilMillis(life), 10)
	}
	h := header{version: rec.Version + 1, login: rec.Login, write: newWriteID()}
	key := r.o.keys.Key("s", handle)
	keys, start, data := []string{key}, h.start(), string(rec.Data)
	b := r.x.Budget()
	var cmd *exec.Cmd
	var lost error // the error of an attempt that may have been executed
	for range attempts {
		cmd = swapScript.Cmd(keys, word(rec.Version), start, deadline, ceilMillis(ttl), data)
		if err = r.x.Do(ctx, b, cmd); exec.KindOf(err) != exec.UnknownOutcome {
			break
		}
		lost = err
		if b.Left() == 0 || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		if lost != nil {
			err = lost
		}
		return Record{}, r.failed("swap", err)
	}
	outcome, text, err := r.outcome(cmd)
	if err != nil {
		return Record{}, r.failed("swap", err)
	}
	switch outcome {
	case outcomeNone:
		r.n.notFound.Add(1)
		return Record{}, ErrNotFound
	case outcomeCorrupt:
		return Record{}, r.failed("swap", errCorrupt)
	case outcomeOther:
		if lost != nil { // it may have been stored, and replaced by another since
			return Record{}, r.failed("swap", lost)
		}
		h, ok := parseHeader(text)
		if !ok {
			return Record{}, r.failed("swap", errCorrupt)
		}
		r.n.conflicts.Add(1)
		current := r.record(key, h)
		current.Data = dataOf(text)
		return current, ErrConflict
	}
	r.n.swapped.Add(1)
	return r.stored("swap", key, text, rec.Data)
}

// Touch moves Seen and the expiry of rec's login.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes.
// Errors: ErrNotFound; ErrConflict if another login is stored; ErrCorrupt;
// ErrUnavailable, and it may have been done; a server error that forbids it; the
// context's.
func (r *Redis) Touch(ctx context.Context, handle string, rec Record, ttl time.Duration) error {
	ttl, err := checkTTL(ttl)
	if err != nil {
		return err
	}
	cmd := touchScript.Cmd([]string{r.o.keys.Key("s", handle)}, word(rec.Login), ceilMillis(ttl)).Idempotent()
	if err := r.x.Do(ctx, r.x.Budget(), cmd); err != nil {
		return r.failed("touch", err)
	}
	outcome, _, err := r.outcome(cmd)
	switch {
	case err != nil:
		return r.failed("touch", err)
	case outcome == outcomeNone:
		r.n.notFound.Add(1)
		return ErrNotFound
	case outcome == outcomeOther:
		r.n.conflicts.Add(1)
		return ErrConflict
	case outcome == outcomeCorrupt:
		return r.failed("touch", errCorrupt)
	}
	r.n.touched.Add(1)
	return nil
}

// Delete removes records.
//
// Cost: 1 round trip per node for each thousand handles.
// Atomic: per record.
// Errors: ErrUnavailable, and some may be gone; a server error that forbids it; the
// context's.
func (r *Redis) Delete(ctx context.Context, handles ...string) error {
	if _, err := r.unlink(ctx, r.x.Budget(), handles); err != nil {
		return r.failed("delete", err)
	}
	return nil
}

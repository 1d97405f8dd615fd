package session

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

var _ UserIndex = (*Redis)(nil)

// overtime is how much longer than a deadline, as it was translated to this process's
// clock, a record stays listed: so that it is not off the list before it ends.
const overtime = time.Second

// lateness bounds how long after it was sent a listing may be executed. The shorter it
// is, the fewer logins shortly after a revocation need a second round trip.
const lateness = time.Second

// listings bounds how often a listing is sent: again because it came too late, to a
// server whose clock was not known, or after it was found out that a revocation is older
// than the credentials.
const listings = 6

var errLate = errors.New("the request came too late")

// AddUser lists a record as the user's. A listing that arrives when nobody waits for it
// any more does nothing.
//
// Whether a revocation came after since is decided by two spans: on the server's clock
// from the revocation to the listing, and on this process's monotonic clock from since to
// the last moment at which the server may have listed. No date of this process matters.
//
// Cost: 1 round trip, 1 key, O(log N) of the user's records; 1 more for the first on a
// server, whose clock has to be learnt; 1 more within a second after a revocation; 3 more
// if there are too many records.
// Atomic: the list, yes. The records that are too many are deleted one by one.
// Errors: ErrRevoked; ErrCorrupt; ErrUnavailable, and it may have been done; a server
// error that forbids it; the context's.
func (r *Redis) AddUser(ctx context.Context, user, handle string, since, deadline time.Time, most int) (evicted []string, err error) {
	if user == "" {
		return nil, errNoUser
	}
	life, err := lifeUntil(deadline)
	if err != nil {
		return nil, err
	}
	key := r.o.keys.Key("u", user)
	b := r.x.Budget()
	older := r.revoked.before(user, since)
	for range listings {
		latest, elapsed := r.latest(ctx, b, key, since)
		cmd := listScript.Cmd([]string{key}, latest, member(handle), ceilMicros(life+overtime), elapsed, older, max(most, 0)).Idempotent()
		if err := r.x.Do(ctx, b, cmd); err != nil {
			return nil, r.failed("add user", err)
		}
		outcome, text, err := r.outcome(cmd)
		switch {
		case err != nil:
			return nil, r.failed("add user", err)
		case outcome == listLate:
			continue
		case outcome == listRevoked:
			if text == older || !wasBefore(cmd, text, since) {
				r.n.refused.Add(1)
				return nil, ErrRevoked
			}
			older = text
			continue
		}
		r.n.listed.Add(1)
		if evicted, err = r.evict(ctx, b, key, cmd.Val().([]any)[2:], most); err != nil {
			return nil, r.failed("add user", err)
		}
		return evicted, nil
	}
	return nil, r.failed("add user", &exec.Error{Kind: exec.Unavailable, Err: errLate})
}

// latest is until when a listing may be executed, by the server's clock, and how long
// since will have been over then, both in µs. If the clock is not known it is a time that
// has passed.
func (r *Redis) latest(ctx context.Context, b *exec.Budget, key string, since time.Time) (us, elapsed int64) {
	left := min(b.Left(), lateness)
	if d, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(d))
	}
	server, _, ok := r.x.ServerTime(key)
	if !ok {
		return 0, 0
	}
	now := time.Now() // after the server's time was told: so elapsed is not too short
	return server.Add(left).UnixMicro(), ceilMicros(min(max(now.Sub(since), 0), maxLife) + max(left, 0))
}

// wasBefore reports whether a revocation was surely before since, from a reply of
// list.lua: it was executed before now.
func wasBefore(cmd *exec.Cmd, revoked string, since time.Time) bool {
	elapsed := ceilMicros(max(time.Since(since), 0))
	executed, err1 := strconv.ParseInt(cmd.Val().([]any)[0].(string), 10, 64)
	at, err2 := strconv.ParseInt(revoked, 10, 64)
	return err1 == nil && err2 == nil && executed-at > elapsed+1 // the server's are rounded down
}

// evict deletes the records that are too many. listed are the other ones on the list, by
// deadline, none if there are not too many with those that have expired.
func (r *Redis) evict(ctx context.Context, b *exec.Budget, key string, listed []any, most int) (evicted []string, err error) {
	if len(listed) == 0 {
		return nil, nil
	}
	others := handles(listed)
	cmds := make([]*exec.Cmd, len(others))
	for i, h := range others {
		k := r.o.keys.Key("s", h)
		cmds[i] = exec.Command(k, "exists", k).Idempotent()
	}
	if err := r.x.DoAll(ctx, b, cmds); err != nil {
		return nil, err
	}
	var gone []string
	for i, h := range others {
		if n, _ := cmds[i].Val().(int64); n == 0 {
			gone = append(gone, h)
		} else {
			evicted = append(evicted, h)
		}
	}
	evicted = evicted[:max(len(evicted)+1-most, 0)]
	if _, err := r.unlink(ctx, b, evicted); err != nil {
		return nil, err
	}
	r.n.evicted.Add(uint64(len(evicted)))
	return evicted, r.remove(ctx, b, key, append(gone, evicted...))
}

// CheckUser reports whether a record was revoked, and lists it again if the list was
// lost.
//
// Cost: 1 round trip, 1 key, O(log N) of the user's records.
// Atomic: yes.
// Errors: ErrRevoked; ErrCorrupt; ErrUnavailable, and it may be listed; a server error
// that forbids it; the context's.
func (r *Redis) CheckUser(ctx context.Context, user, handle string, deadline time.Time) error {
	if user == "" {
		return errNoUser
	}
	life, err := lifeUntil(deadline)
	if err != nil {
		return err
	}
	cmd := checkScript.Cmd([]string{r.o.keys.Key("u", user)}, member(handle), ceilMicros(life+overtime)).Idempotent()
	if err := r.x.Do(ctx, r.x.Budget(), cmd); err != nil {
		return r.failed("check user", err)
	}
	switch outcome, _ := cmd.Val().(int64); outcome {
	case listDone:
		return nil
	case checkRevoked:
		r.n.refused.Add(1)
		return ErrRevoked
	}
	return r.failed("check user", errReply)
}

// RemoveUser takes records off the user's list.
//
// Cost: 1 round trip, 1 key, O(log N) of the user's records for each.
// Atomic: yes.
// Errors: ErrCorrupt; ErrUnavailable, and it may have been done; a server error that
// forbids it; the context's.
func (r *Redis) RemoveUser(ctx context.Context, user string, handles ...string) error {
	if user == "" {
		return errNoUser
	}
	if err := r.remove(ctx, r.x.Budget(), r.o.keys.Key("u", user), handles); err != nil {
		return r.failed("remove user", err)
	}
	return nil
}

// UserRecords returns the records of a user. Those that have expired it takes off the
// list; if it fails to, the next one will. It leaves out what is not a record.
//
// Cost: 2 round trips, the second one per node for each thousand records; 1 more if any
// had expired.
// Atomic: no, each record is read after the list.
// Errors: ErrCorrupt; ErrUnavailable; a server error that forbids it; the context's.
func (r *Redis) UserRecords(ctx context.Context, user string) (map[string]Record, error) {
	if user == "" {
		return nil, errNoUser
	}
	key := r.o.keys.Key("u", user)
	b := r.x.Budget()
	cmd := exec.Command(key, "zrangebyscore", key, "0", "(9e15").Idempotent()
	if err := r.x.Do(ctx, b, cmd); err != nil {
		return nil, r.failed("user records", err)
	}
	listed, _ := cmd.Val().([]any)
	all := handles(listed)
	records := make(map[string]Record, len(all))
	var gone []string
	for begin := 0; begin < len(all); begin += batch {
		some := all[begin:min(begin+batch, len(all))]
		keys := make([]string, len(some))
		for i, h := range some {
			keys[i] = r.o.keys.Key("s", h)
		}
		cmds := exec.GetEach(keys)
		for _, i := range r.x.ClocksDue(keys) {
			cmds[i] = r.reading(keys[i], true)
		}
		_ = r.x.DoAll(ctx, b, cmds) // each has its own
		for i, h := range some {
			switch rec, _, err := r.read(keys[i], cmds[i]); {
			case err == nil:
				records[h] = rec
			case err == ErrNotFound:
				gone = append(gone, h)
			default:
				if err = r.failed("user records", err); !errors.Is(err, ErrCorrupt) {
					return nil, err
				}
			}
		}
	}
	_ = r.remove(ctx, b, key, gone)
	return records, nil
}

// RevokeUser deletes the user's records but those excepted.
//
// Cost: 2 round trips, the second one per node for each thousand records; 1 if there are
// none.
// Atomic: that no record but those excepted passes CheckUser any more, yes. They are
// deleted one by one.
// Errors: ErrCorrupt; ErrUnavailable, and it may have been done, or in part; a server
// error that forbids it; the context's.
func (r *Redis) RevokeUser(ctx context.Context, user string, until time.Time, except ...string) (int, error) {
	if user == "" {
		return 0, errNoUser
	}
	life, err := lifeUntil(until)
	if err != nil {
		return 0, err
	}
	args := make([]any, 1, 1+len(except))
	args[0] = ceilMicros(life + overtime)
	for _, h := range except {
		args = append(args, member(h))
	}
	b := r.x.Budget()
	cmd := revokeScript.Cmd([]string{r.o.keys.Key("u", user)}, args...).Idempotent()
	if err := r.x.Do(ctx, b, cmd); err != nil {
		return 0, r.failed("revoke user", err)
	}
	reply, _ := cmd.Val().([]any)
	if len(reply) == 0 || !r.observe(cmd, reply[0]) {
		return 0, r.failed("revoke user", errReply)
	}
	r.revoked.add(user, reply[0].(string))
	n, err := r.unlink(ctx, b, handles(reply[1:]))
	r.n.revoked.Add(uint64(n))
	if err != nil {
		return n, r.failed("revoke user", err)
	}
	return n, nil
}

// batch is how many records are read or deleted together.
const batch = 1000

// unlink deletes records, each by a command of its own since they are in different
// slots, and returns how many were there.
func (r *Redis) unlink(ctx context.Context, b *exec.Budget, handles []string) (n int, err error) {
	for begin := 0; begin < len(handles); begin += batch {
		some := handles[begin:min(begin+batch, len(handles))]
		cmds := make([]*exec.Cmd, len(some))
		for i, h := range some {
			k := r.o.keys.Key("s", h)
			cmds[i] = exec.Command(k, "unlink", k).Idempotent()
		}
		err := r.x.DoAll(ctx, b, cmds)
		for _, cmd := range cmds {
			if found, _ := cmd.Val().(int64); cmd.Err() == nil {
				n += int(found)
			}
		}
		if err != nil {
			return n, err
		}
		r.n.deleted.Add(uint64(len(some)))
	}
	return n, nil
}

// remove takes records off a list.
func (r *Redis) remove(ctx context.Context, b *exec.Budget, key string, handles []string) error {
	if len(handles) == 0 {
		return nil
	}
	args := make([]any, 2, 2+len(handles))
	args[0], args[1] = "zrem", key
	for _, h := range handles {
		args = append(args, member(h))
	}
	return r.x.Do(ctx, b, exec.Command(key, args...).Idempotent())
}

// member is a record as it stands in a list, where it cannot be taken for the mark of a
// revocation.
func member(handle string) string { return "s" + handle }

// handles are those of the members of a list.
func handles(members []any) []string {
	all := make([]string, 0, len(members))
	for _, m := range members {
		if text, ok := m.(string); ok {
			if h, ok := strings.CutPrefix(text, "s"); ok {
				all = append(all, h)
			}
		}
	}
	return all
}

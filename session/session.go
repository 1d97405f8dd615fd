package session

import (
	"context"
	"errors"
	"time"
)

// Record is what a [Store] keeps under a handle.
//
// Times are moments of the caller's clock, to be compared with time.Now. A Store that
// goes by another clock, as Redis does by the server's, translates in both directions,
// by how long ago and how long to go: the clocks of the processes need not agree. A
// translation is as accurate as a round trip is short, and a deadline comes out early
// rather than late. The deadline is the one moment that all processes can find again:
// another one, such as the time of a login, is best kept in Data as its distance from
// Deadline, since a date that one process wrote means nothing to another whose clock is
// hours off.
type Record struct {
	// Version counts the writes: 1 after Create, one more after every Swap. Touch leaves
	// it.
	Version uint64

	// Login tells the logins of a session apart. The caller counts it up whenever what
	// was read before must have no say any more: at a login and a renewal.
	Login uint64

	// Seen is when the record was last created, swapped or touched. The Store sets it; on
	// the way in it is ignored.
	Seen time.Time

	// Deadline is when the record ends, however it is used. It is set by Create, and by a
	// Swap that changes Login; until then no call moves it.
	Deadline time.Time

	// Data is the caller's. A Store does not look into it, keeps no reference to what it
	// is given, and what it returns belongs to the caller.
	Data []byte
}

// Store keeps opaque records under handles. [*Redis] and [*Memory] implement it;
// sessiontest.Run tests others.
//
// A handle is any string; it is not secret. Nothing but Create makes a record: what has
// been deleted, or has expired, stays away, whatever else arrives late. That holds for
// handles that are used once: make one of 16 random bytes for every record, and a new
// one if Create fails.
//
// Every call is atomic for its record, and the calls for one record take effect one
// after the other, in every process. A method is safe for concurrent use. It returns
// soon after its context ends.
//
// A ttl is how long the record lives from now unless something moves its end again, and
// never beyond the deadline. It is more than zero, or the call fails and does nothing; it
// may be rounded up to a millisecond. There is no record that does not expire.
//
// Beside the errors that are named, every method returns ErrUnavailable, ErrCorrupt if
// under the handle is what the Store did not put there, and the errors of its server and
// its context.
type Store interface {
	// Get returns the record. It changes nothing, Seen and the expiry included.
	//
	// Errors: ErrNotFound.
	Get(ctx context.Context, handle string) (Record, error)

	// Create stores r, as Version 1, if there is no record, and returns what is stored.
	// Of several for one handle one succeeds. r must have a Deadline; one that has passed
	// ends the record at once.
	//
	// Errors: ErrConflict if there is a record already, which stays as it is;
	// ErrUnknownOutcome, and the record may be there or appear later. Only this handle is
	// spoilt by that: the record is known to nobody, and the caller may Create another
	// with a new handle.
	Create(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error)

	// Swap stores r as Version r.Version+1 if r.Version is the stored one, and returns
	// what is stored now. It moves Seen and the expiry as Touch does. If r.Login is the
	// stored one the stored deadline stays and r.Deadline is ignored. If it is another one
	// r.Deadline counts, where zero means the stored one.
	//
	// Swap takes effect once or not at all. A reply that is lost is asked for again, and
	// finding its own write Swap reports success; a caller who retries by itself cannot
	// know that. So of writers that start from one version exactly one is told that it
	// succeeded.
	//
	// Errors: ErrNotFound; ErrConflict if another version is stored, which is returned
	// with the error: the caller looks at it, perhaps refuses it because of its Login, and
	// may try again from it. ErrUnknownOutcome if the write may have been done, and
	// another may have come after it: then nothing that depends on it may be repeated.
	Swap(ctx context.Context, handle string, r Record, ttl time.Duration) (Record, error)

	// Touch sets Seen to now and the expiry to ttl from now, at most to the deadline, if
	// r.Login is the stored one. Of r it looks at nothing else. It leaves Version, and
	// what others write at the same time, alone. It may be repeated.
	//
	// Errors: ErrNotFound; ErrConflict if another login is stored, whose record it leaves
	// as it is.
	Touch(ctx context.Context, handle string, r Record, ttl time.Duration) error

	// Delete removes records, those there are; that there is none is no error. Once it has
	// returned nil no Get finds them and no Swap or Touch has an effect. After an error
	// some may be gone, and it may be repeated.
	Delete(ctx context.Context, handles ...string) error
}

// UserIndex is what a [Store] may offer besides: which records are of which user. It
// deletes records of the Store, so that both are one type.
//
// The caller writes the record first, then the index, and only then hands out what opens
// the session: so what a crash leaves in between is a record that nobody can use, which
// expires, and never a session in use that RevokeUser does not know. In this order a
// handle that is listed has been a record, and one whose record is gone never becomes
// one again; whoever comes across it may remove it from the list.
//
// Records and the list of a user are not changed together, since on a cluster they are in
// different places. The list of a user, his last revocation and its exceptions are in one
// place and are changed, and lost, together. They end by themselves with the last of
// the deadlines.
//
// No user is the empty string. The errors that every method of a Store returns are
// returned here as well.
type UserIndex interface {
	// AddUser lists a record as the user's, after a login or another login of a listed
	// one; it may be repeated. The user's credentials were read at since or later, in this
	// process or at a moment translated to its clock. If a RevokeUser has taken effect
	// after that, or it cannot be told that it has not, AddUser fails with ErrRevoked: a
	// login that overlaps a revocation does not survive it. The caller then deletes the
	// record. A RevokeUser that had returned before since, in this process, is never held
	// against a login; one in another process is not if it was before since by more than
	// a round trip.
	//
	// With most above zero the user keeps at most so many records, this one among them:
	// those of the others whose deadlines come first are deleted, taken off the list, and
	// returned. Of logins at the same time the last one sees all others, so that no more
	// are left when all have returned. Records that expired do not count.
	//
	// Errors: ErrRevoked. After any other error the record may be listed or not; there may
	// be more than max. The caller does not hand out the session, and deletes the record.
	AddUser(ctx context.Context, user, handle string, since, deadline time.Time, most int) (evicted []string, err error)

	// CheckUser reports with ErrRevoked that a record is to be deleted, because a
	// RevokeUser that did not except it took effect after its login. It is to be called
	// with every Touch, at the same time, and as often with a Swap, after which no Touch
	// is due: then a session that escaped RevokeUser, because the process died that was
	// deleting records, or because the list was lost, ends no later than it is touched
	// next.
	//
	// It goes by the list, not by clocks. A record is good if it is listed and RevokeUser
	// has not marked it. One that is not listed is good if the list knows of no
	// revocation: then the list was lost, or lost it, and CheckUser puts it back, until
	// deadline. Else it is one that RevokeUser could not find: every later login is
	// listed.
	//
	// If the Touch that goes with it finds no record, CheckUser may have put one on the
	// list that was just deleted: the caller calls RemoveUser.
	//
	// Errors: ErrRevoked.
	CheckUser(ctx context.Context, user, handle string, deadline time.Time) error

	// RemoveUser takes records off the user's list, after they were deleted; those that
	// are not listed are no error. It may be repeated.
	RemoveUser(ctx context.Context, user string, handles ...string) error

	// UserRecords returns the user's records by handle: those that are listed, not
	// revoked, and still there. A list that was lost, as far as CheckUser has not restored
	// it, is not noticed.
	UserRecords(ctx context.Context, user string) (map[string]Record, error)

	// RevokeUser deletes the user's records but those excepted, and returns how many it
	// found to delete. In one step it notes the time, which AddUser goes by, and marks
	// the records; then it deletes them. If it fails in between, those that are left stay
	// marked: CheckUser refuses them, and another RevokeUser deletes them. It may be
	// repeated.
	//
	// An excepted record that is not listed, because the list was lost, is put on it. What
	// an earlier revocation has marked is not excepted by a later one. An exception is
	// kept as long as the list: it needs no repeating.
	//
	// The revocation is remembered until the given time at least, and until the last
	// listed deadline: no record that was there before may have a later one.
	RevokeUser(ctx context.Context, user string, until time.Time, except ...string) (int, error)
}

// maxLife bounds what may be between now and a deadline, or a ttl.
const maxLife = 100 * 365 * 24 * time.Hour

var (
	errTTL      = errors.New("session: the ttl is not more than zero")
	errDeadline = errors.New("session: the deadline is missing, or more than 100 years away")
	errNoUser   = errors.New("session: the user is empty")
)

// checkTTL returns a ttl that is in bounds.
func checkTTL(ttl time.Duration) (time.Duration, error) {
	if ttl <= 0 {
		return 0, errTTL
	}
	return min(ttl, maxLife), nil
}

// lifeUntil returns how long a deadline is away, zero if it has passed. It goes by the
// monotonic clock if the deadline was made by time.Now().Add.
func lifeUntil(deadline time.Time) (time.Duration, error) {
	life := time.Until(deadline)
	if deadline.IsZero() || life > maxLife {
		return 0, errDeadline
	}
	return max(life, 0), nil
}

package session

import "errors"

var (
	// ErrNotFound is returned by Get, Swap and Touch of a [Store] when there is no record,
	// because it was deleted or has expired, or never was. It does not come back. The
	// methods of a [Session] return it when the session has ended since it was loaded.
	ErrNotFound = errors.New("session: not found")

	// ErrConflict is returned when something else is stored than the call goes by: by
	// Create any record, by Swap another version, by Touch another login. Swap returns
	// what is stored with it, from which the caller may try again. A [Session] does that,
	// and returns ErrConflict if others were faster more than a hundred times in a row.
	ErrConflict = errors.New("session: conflict")

	// ErrRevoked is returned by AddUser and CheckUser of a [UserIndex] when all the
	// user's sessions were revoked and this one is, or may be, from before that. A retry
	// does not help; a login whose credentials are read again does.
	ErrRevoked = errors.New("session: revoked")

	// ErrCorrupt is returned when what is stored under a key was not stored by this
	// package, or was cut short. It stays there until it expires or is deleted. A retry
	// does not help.
	ErrCorrupt = errors.New("session: not a record")

	// ErrLoginRequired is what [Manager.RequireLogin] hands to the ErrorHandler when
	// nobody is logged in, or the login is too long ago. No call returns it.
	ErrLoginRequired = errors.New("session: login required")

	// ErrWrongSecret is what OnError is told when a request has the handle of a session
	// and another secret than that session's. Most often it was under way when a Login or
	// a Renew replaced the secret; somebody may also be guessing. No call returns it.
	ErrWrongSecret = errors.New("session: wrong secret")

	// ErrHeadersSent is returned by operations that have to set a cookie when the headers
	// of the response are out. A retry does not help.
	ErrHeadersSent = errors.New("session: headers already sent")

	// ErrUnavailable is returned by every call when Redis could not be reached or did not
	// answer in time. Nothing was done, or what may have been done may be done again. A
	// retry may succeed.
	ErrUnavailable = errors.New("session: redis unavailable")

	// ErrUnknownOutcome is returned by Create and Swap when the reply was lost: the write
	// was done once or not at all, and may still be. Repeating it could do it twice.
	ErrUnknownOutcome = errors.New("session: unknown outcome")
)

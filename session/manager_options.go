package session

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/internal/wire"
)

// ManagerOptions are the settings of a [Manager]. In every field zero is the default; in
// those that say so a negative value turns the thing off.
type ManagerOptions struct {
	// Cookie are the attributes of the cookie. Zero: the strictest there are.
	Cookie Cookie

	// Idle is how long a session lives that is not used. It may end up to
	// TouchEvery sooner. Zero: 30 minutes. Negative: off, so that only Lifetime ends it.
	Idle time.Duration

	// Lifetime is how long a session lives at most, however much it is used, since it was
	// created or, if that was later, since the last Login. At most 400 days. Zero: 24
	// hours.
	Lifetime time.Duration

	// TouchEvery is how often the use of a session is noted in the store. The request
	// that does so costs one round trip more, and finds out whether the user's
	// sessions have been revoked even if the index of them was lost; saving data does as
	// well, as often. Shorter than Idle. Zero: a tenth of Idle, at most a minute.
	// Negative: at every request.
	TouchEvery time.Duration

	// RenewEvery is how often a session in use gets a new secret, so that a stolen
	// cookie is good for not much longer than that and its use is noticed: see
	// OnReuse. Zero or negative: only Login and Renew change the secret.
	RenewEvery time.Duration

	// RenewGrace is how long the secret before is good after the new one of RenewEvery has
	// been used, for requests that were under way. Whoever has the old one can get the new
	// one meanwhile. A client that does not show the new one may use the old one for Idle.
	// At most Idle and RenewEvery. Zero: 30 seconds, or what these allow. Negative: none.
	RenewGrace time.Duration

	// MaxPerUser is how many sessions a user may have; a Login beyond that ends those that
	// would expire first. It needs a store that is a [UserIndex]. Zero or negative: any
	// number.
	MaxPerUser int

	// Keys encrypt what the store keeps of the data, with AES-256-GCM, and protect data,
	// user and secret against changes. Each has 32 random bytes. The first encrypts and
	// all decrypt: a new key is added behind the first on all machines, and then moved to
	// the front; the old one is removed a Lifetime later. Sessions that were stored
	// without keys are lost with the first. Who can write to Redis can still delete a
	// record, or put back what it was before, its secret included. Zero: none. Set it
	// where others can read Redis or its dumps.
	Keys [][]byte

	// Marshal and Unmarshal encode the data. Both or none are set. Zero: msgpack.
	// json.Marshal and json.Unmarshal fit.
	Marshal   func(any) ([]byte, error)
	Unmarshal func([]byte, any) error

	// Device describes the client that logs in, for [Manager.List]. Of what it returns the
	// first 255 bytes are kept. Zero: the User-Agent. Change it to add, say, the address.
	Device func(*http.Request) string

	// ErrorHandler answers a request whose session could not be read by
	// [Manager.RequireLogin], or not saved: in that case in place of the handler's
	// response. Its error is [ErrLoginRequired] if RequireLogin wants one, or another of
	// this package, or what a function given to Update returned when it was called again.
	// Zero: status 401 (ErrLoginRequired, ErrNotFound, ErrRevoked), 409 (ErrConflict), 503
	// (ErrUnavailable, ErrUnknownOutcome, and if the request's time is over), 500 (others)
	// and an application/problem+json that does not tell the error.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// OnReuse is told when the secret is used that RenewEvery replaced last, and whose
	// grace is over: the cookie was stolen, before or after that. One that is older is an
	// [ErrWrongSecret] as any other. The request has no session, but the other holder
	// still has; to end it, call [Manager.Revoke] or [Manager.RevokeAll]. Zero: only
	// counted.
	OnReuse func(ctx context.Context, user, handle string)

	// OnError is told what nobody receives otherwise: records that cannot be decoded,
	// [ErrWrongSecret], and failures to note the use of a session, to renew it in the
	// course of RenewEvery, and to save an Update that came after the header was sent. It
	// may be called by several goroutines at once and must not block. Zero: nobody; the
	// first two are counted.
	OnError func(error)
}

const (
	defaultIdle       = 30 * time.Minute
	defaultLifetime   = 24 * time.Hour
	defaultTouchEvery = time.Minute
	defaultRenewGrace = 30 * time.Second
	maxLifetime       = maxCookieAge
)

// fill checks the options and fills in the defaults.
func (o *ManagerOptions) fill() error {
	switch {
	case o.Lifetime < 0:
		return errors.New("session: ManagerOptions.Lifetime is negative")
	case o.Lifetime > maxLifetime:
		return errors.New("session: ManagerOptions.Lifetime is longer than 400 days")
	case (o.Marshal == nil) != (o.Unmarshal == nil):
		return errors.New("session: of ManagerOptions.Marshal and ManagerOptions.Unmarshal only one is set")
	}
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	switch {
	case o.Idle == 0:
		o.Idle = min(defaultIdle, o.Lifetime)
	case o.Idle < 0 || o.Idle > o.Lifetime:
		o.Idle = o.Lifetime
	}
	switch {
	case o.TouchEvery == 0:
		o.TouchEvery = min(o.Idle/10, defaultTouchEvery)
	case o.TouchEvery < 0:
		o.TouchEvery = 0
	case o.TouchEvery >= o.Idle:
		return errors.New("session: ManagerOptions.TouchEvery is not shorter than Idle")
	}
	o.RenewEvery = max(o.RenewEvery, 0)
	switch {
	case o.RenewEvery == 0: // and no grace
	case o.RenewGrace == 0:
		o.RenewGrace = min(defaultRenewGrace, o.Idle, o.RenewEvery)
	case o.RenewGrace < 0:
		o.RenewGrace = 0
	case o.RenewGrace > o.Idle:
		return errors.New("session: ManagerOptions.RenewGrace is longer than Idle")
	case o.RenewGrace > o.RenewEvery:
		return errors.New("session: ManagerOptions.RenewGrace is longer than RenewEvery")
	}
	o.MaxPerUser = max(o.MaxPerUser, 0)
	if o.Marshal == nil {
		o.Marshal, o.Unmarshal = wire.Marshal, wire.Unmarshal
	}
	if o.Device == nil {
		o.Device = (*http.Request).UserAgent
	}
	if o.ErrorHandler == nil {
		o.ErrorHandler = failed
	}
	if o.OnReuse == nil {
		o.OnReuse = func(context.Context, string, string) {}
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return nil
}

package pubsub

import (
	"errors"
	"net/http"
	"time"
)

// SSEOptions are the settings of an [SSE]. In every field zero is the default.
type SSEOptions struct {
	// MaxClients is how many clients may be connected to this handler at once; others are
	// refused with [ErrTooManyClients]. Zero: 10,000. Negative: any number. Change it to
	// what the process has memory and file descriptors for.
	MaxClients int

	// Buffer is how many of the latest events of each topic are kept in memory, while it
	// has clients, as far as they have no more than 8 MiB: who lags behind no further, or
	// comes back in time, has lost nothing. Where the topic is replayable others have
	// lost nothing either, but have to be read from the history. Zero: 1,024. Change it
	// to the longest burst.
	Buffer int

	// KeepAlive is how long nothing is sent at most, so that nobody on the way takes the
	// connection for dead: a comment is sent then. It varies by a fifth from client to
	// client. Zero: 15 seconds. Negative: no comments, and a client that vanishes without
	// a word is noticed when there is an event. Change it to less than the shortest
	// timeout of proxies.
	KeepAlive time.Duration

	// WriteTimeout is how long a client may take to accept 64 KiB; one that takes longer
	// is cut off. Zero: 10 seconds. Negative: any time; only then may a ResponseWriter be
	// used whose deadlines [http.ResponseController] cannot set.
	WriteTimeout time.Duration

	// Retry is how long browsers wait before they connect again. Each is told another time,
	// from half of it to half as much again. Zero: 2 seconds. Negative: they are not told.
	Retry time.Duration

	// Encode makes of an event what browsers see of it: the name for addEventListener,
	// which is "message" if it is empty, and the data. It is called once for all clients
	// of a topic, and again for those who read the event from the history. An event for
	// which ok is false they do not see. The name gap is not for events. Nil: the event's
	// Type and Data.
	Encode func(e Event) (name string, data []byte, ok bool)

	// ErrorHandler answers a request that is refused, before anything was sent: with
	// [ErrTooManyClients], [ErrClosed], [ErrUnavailable], an error of topics or another of
	// the bus. Nil: status 503 and Retry-After for the first three and if a deadline is
	// over, 403 for an error of topics, 500 for others. None of them tells the error.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
}

const (
	defaultMaxClients   = 10_000
	defaultKeepAlive    = 15 * time.Second
	defaultWriteTimeout = 10 * time.Second
	defaultRetry        = 2 * time.Second
)

func sseSettings(opts *SSEOptions) (SSEOptions, error) {
	var o SSEOptions
	if opts != nil {
		o = *opts
	}
	if o.Buffer < 0 {
		return o, errors.New("pubsub: SSEOptions.Buffer is negative")
	}
	if o.Retry > 0 && o.Retry < 2*time.Millisecond {
		return o, errors.New("pubsub: SSEOptions.Retry is less than two milliseconds")
	}
	if o.MaxClients == 0 {
		o.MaxClients = defaultMaxClients
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.Retry == 0 {
		o.Retry = defaultRetry
	}
	if o.Encode == nil {
		o.Encode = func(e Event) (string, []byte, bool) { return e.Type, e.Data, true }
	}
	return o, nil
}

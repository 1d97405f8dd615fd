package exec

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A Kind says what an error means for the caller.
type Kind uint8

const (
	// Unavailable means that Redis did not answer in time or could not be reached. The
	// command had no effect, or is idempotent.
	Unavailable Kind = iota + 1
	// UnknownOutcome means that the connection or the caller's patience ended after the
	// command was sent. It may have executed.
	UnknownOutcome
	// Refused means that the server answered with an error that trying again will not cure.
	Refused
	// Canceled means that the caller's context ended. The command had no effect, or is
	// idempotent.
	Canceled
)

// An Error is how a command failed. It wraps the cause: a go-redis server error,
// a network error, or the context's.
type Error struct {
	Kind Kind
	Err  error
}

// Error is the cause's text without what a server quotes of a command that it
// does not know: its arguments.
func (e *Error) Error() string {
	text, _, _ := strings.Cut(e.Err.Error(), ", with args beginning with:")
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of a command's error, zero if it is nil or redis.Nil.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// IsTryAgain reports whether err says that the keys of a command are split over
// two nodes while their slot moves. Single-key commands work meanwhile.
func IsTryAgain(err error) bool { return redis.HasErrorPrefix(err, "TRYAGAIN") }

var (
	errNoAnswer = errors.New("no answer from redis in time")
	errOpen     = errors.New("redis failed before and is not probed healthy yet")
)

// verdict is what the reply to one attempt means.
type verdict uint8

const (
	answered    verdict = iota // a reply, or nil
	noScript                   // not executed: the node lacks the script
	notExecuted                // surely not executed: may be sent again
	lost                       // may have executed
	refused                    // the server's last word
)

// connectionFailed reports whether the attempt says something about the node's
// health rather than about the command.
func connectionFailed(v verdict, err error) bool {
	if v != notExecuted {
		return v == lost
	}
	_, ok := serverError(err)
	return !ok
}

// noSentinel begins the error of a dial that found no sentinel that knows the
// master. It wraps what the sentinels answered, which may be nil.
const noSentinel = "redis: all sentinels specified in configuration are unreachable"

// serverError finds what the server answered, if it is that.
func serverError(err error) (server redis.Error, ok bool) {
	if strings.HasPrefix(err.Error(), noSentinel) {
		return nil, false
	}
	ok = errors.As(err, &server)
	return server, ok
}

// passing are the server errors of commands that did not execute and may
// succeed a little later. MOVED and ASK arrive only after the client has
// followed as many redirects as it is allowed.
var passing = []string{
	"LOADING ", "READONLY ", "MASTERDOWN ", "TRYAGAIN ", "CLUSTERDOWN ", "NOREPLICAS ", "BUSY ",
	"EXECABORT ", "MOVED ", "ASK ", "max number of clients", "ERR max number of clients",
}

// notServing reports whether the node would answer a PING with this error too.
func notServing(err error) bool {
	return redis.HasErrorPrefix(err, "LOADING ") || redis.HasErrorPrefix(err, "BUSY ")
}

func classify(err error) verdict {
	if err == nil || err == redis.Nil {
		return answered
	}
	if server, ok := serverError(err); ok {
		if server == redis.Nil { // wrapped by a hook
			return answered
		}
		text := server.Error()
		if strings.HasPrefix(text, "NOSCRIPT") {
			return noScript
		}
		for _, p := range passing {
			if strings.HasPrefix(text, p) {
				return notExecuted
			}
		}
		return refused
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial",
		errors.Is(err, redis.ErrPoolTimeout),
		errors.Is(err, redis.ErrPoolExhausted),
		strings.HasPrefix(err.Error(), noSentinel),
		errors.Is(err, context.Canceled): // left the pool's queue: only our own context is ever cancelled
		return notExecuted
	case errors.Is(err, redis.ErrClosed):
		return refused
	}
	return lost
}

// final turns the last attempt's error, which is not nil, into what the caller
// gets.
func (c *Cmd) final(err error) error {
	switch classify(err) {
	case answered:
		return redis.Nil
	case refused, noScript:
		return &Error{Refused, err}
	case lost:
		if !c.idempotent {
			return &Error{UnknownOutcome, err}
		}
	}
	if errors.Is(err, redis.Nil) { // a sentinel's
		err = errors.New(err.Error())
	}
	return &Error{Unavailable, err}
}

// abandoned is the error of a command whose caller left: because of its context
// or because the budget was used up. before is how the attempt before the one that
// it left had failed, or nil; sent whether there was any.
func (c *Cmd) abandoned(ctxErr, before error, sent bool) error {
	kind, err := Unavailable, errNoAnswer
	switch {
	case ctxErr != nil:
		kind, err = Canceled, ctxErr
	case before != nil:
		err = fmt.Errorf("%w: %w", errNoAnswer, before)
	}
	if sent && !c.idempotent {
		kind = UnknownOutcome
	}
	return &Error{kind, err}
}

func open(cause error) error {
	return &Error{Unavailable, fmt.Errorf("%w: %w", errOpen, cause)}
}

package cache

import (
	"errors"
	"fmt"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	// ErrNotFound is what a loader returns, alone or wrapped, when the thing does
	// not exist. The cache remembers that for [Options.NotFoundTTL], and calls
	// return ErrNotFound meanwhile. Loading again sooner needs a Delete.
	ErrNotFound = errors.New("cache: not found")

	// ErrNotModified is what a loader returns when the value that [Old] gave it is
	// still good. The old value is then stored as if it had been loaded. Calls
	// return ErrNotModified only if the loader had no old value to speak of.
	ErrNotModified = errors.New("cache: not modified")

	// ErrUnavailable is returned by Set, Delete, Expire, Hold and Peek when Redis
	// did not do it for sure: it could not be reached, or did not answer in
	// time. After Set and Delete the keys are loaded anew by this process until
	// the Delete has been done in the background; other processes may see the old
	// values. Calling again is safe. Loads return it when Redis is away and more
	// than [Options.MaxLoads] of them have kept one waiting for
	// [Options.LoadTimeout].
	ErrUnavailable = errors.New("cache: redis unavailable")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("cache: closed")
)

// A PanicError is what every caller that waited for a load gets when the loader
// panicked or called runtime.Goexit. The next call loads again.
type PanicError struct {
	Value any    // what the loader panicked with
	Stack []byte // of the loader's goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("cache: the loader panicked: %v", e.Value) }

// Unwrap returns Value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// wrap turns an error of a Redis command into the package's.
func wrap(op string, err error) error {
	switch exec.KindOf(err) {
	case 0:
		return err
	case exec.Unavailable, exec.UnknownOutcome:
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
	}
	return fmt.Errorf("cache: %s: %w", op, err)
}

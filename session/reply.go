package session

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// Causes of errors of this package.
var (
	errReply   = errors.New("a script replied something else than expected")
	errCorrupt = errors.New("its header is not one")
)

// outcome reads a reply that begins with the server's time and an outcome, and may go on
// with a text.
func (r *Redis) outcome(cmd *exec.Cmd) (outcome int64, text string, err error) {
	reply, _ := cmd.Val().([]any)
	if len(reply) < 2 || !r.observe(cmd, reply[0]) {
		return 0, "", errReply
	}
	outcome, ok := reply[1].(int64)
	if !ok {
		return 0, "", errReply
	}
	if len(reply) > 2 {
		text, _ = reply[2].(string)
	}
	return outcome, text, nil
}

// observe tells the clock of the server that answered cmd which time it replied, and
// reports whether it is one.
func (r *Redis) observe(cmd *exec.Cmd, us any) bool {
	text, _ := us.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		r.x.Observe(cmd, time.UnixMicro(n))
	}
	return err == nil
}

// failed counts an error and makes it the package's.
func (r *Redis) failed(op string, err error) error {
	kind := exec.KindOf(err)
	switch {
	case kind == exec.UnknownOutcome:
		r.n.unknown.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnknownOutcome, op, err)
	case kind == exec.Unavailable:
		r.n.unavailable.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
	case err == errCorrupt, kind == exec.Refused && strings.Contains(err.Error(), "WRONGTYPE "): // in a script it need not come first
		r.n.corrupt.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, op, err)
	}
	return fmt.Errorf("session: %s: %w", op, err)
}

// ceilMillis is a duration in ms, rounded up.
func ceilMillis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// ceilMicros is a duration in µs, rounded up.
func ceilMicros(d time.Duration) int64 {
	n := d.Microseconds()
	if d%time.Microsecond > 0 {
		n++
	}
	return n
}

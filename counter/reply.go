package counter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// Causes of errors of this package.
var (
	errReply = errors.New("redis replied something else than expected")
	errLate  = errors.New("the request came too late")
)

// batch is how many keys, or members, go out together.
const batch = 1000

// link is how the types of this package talk to Redis.
type link struct {
	x           *exec.Client
	unavailable atomic.Uint64
	unknown     atomic.Uint64
}

// failed counts an error and makes it the package's.
func (l *link) failed(op string, err error) error {
	switch exec.KindOf(err) {
	case exec.UnknownOutcome:
		l.unknown.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnknownOutcome, op, err)
	case exec.Unavailable:
		l.unavailable.Add(1)
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
	}
	return fmt.Errorf("counter: %s: %w", op, err)
}

// latest is a server time until which the caller of b still waits, in µs; what waits
// longer than limit is not waited for so long. If the server's clock is not known it is a
// time that is over.
func (l *link) latest(ctx context.Context, b *exec.Budget, key string, limit time.Duration) int64 {
	_, now, ok := l.x.ServerTime(key)
	if !ok {
		return 0
	}
	left := min(b.Left(), limit)
	if d, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(d))
	}
	return now.Add(left).UnixMicro()
}

// observe tells the clock of the server that answered cmd which time it replied.
func (l *link) observe(cmd *exec.Cmd, us any) (server int64, ok bool) {
	text, _ := us.(string)
	server, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		l.x.Observe(cmd, time.UnixMicro(server))
	}
	return server, err == nil
}

// outcome reads the reply of once.lua and flush.lua.
func (l *link) outcome(cmd *exec.Cmd) (server, outcome, total int64, err error) {
	reply, _ := cmd.Val().([]any)
	if len(reply) != 3 {
		return 0, 0, 0, errReply
	}
	server, timed := l.observe(cmd, reply[0])
	outcome, ok := reply[1].(int64)
	if !timed || !ok {
		return 0, 0, 0, errReply
	}
	if outcome >= 0 {
		total, err = number(reply[2])
	}
	return server, outcome, total, err
}

// number reads a count in whatever form Redis replies it.
func number(reply any) (int64, error) {
	switch n := reply.(type) {
	case int64:
		return n, nil
	case string:
		v, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return 0, errNotANumber
		}
		return v, nil
	}
	return 0, errReply
}

// errNotANumber does not quote what is there.
var errNotANumber = errors.New("the value is not a count")

// isForeign reports whether a server refused to count because of what is in Redis under
// the key, which waiting will not change. In a script the code need not come first.
func isForeign(err error) bool {
	text := err.Error()
	return exec.KindOf(err) == exec.Refused && (strings.Contains(text, "WRONGTYPE ") ||
		strings.Contains(text, "not an integer") || strings.Contains(text, "would overflow"))
}

// millis is a duration in ms, rounded up.
func millis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

package redistest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPoll(t *testing.T) {
	calls := 0
	err := poll(t.Context(), time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("poll = %v after %d calls, want nil after 3", err, calls)
	}
	cause := errors.New("never")
	if err := poll(t.Context(), time.Minute, func(context.Context) error { return permanent{cause} }); err != cause {
		t.Errorf("poll of what waiting does not cure = %v", err)
	}
	err = poll(t.Context(), 30*time.Millisecond, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
			return cause
		}
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "gave up after") {
		t.Errorf("poll of what never happens = %v", err)
	}
	// Ping fails at the deadline, which is no sign of a server that is down.
	if err := poll(t.Context(), 10*time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return nil }); err == nil {
		t.Error("poll took the end of its own context for success")
	}
}

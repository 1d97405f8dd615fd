package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A lease that a Delete has removed is not renewed into being, and what was
// loaded under it is not stored.
func TestRenewalNeverRecreates(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		cs := newCaches(t, s, 2, Options{Prefix: "p"})
		first := begin(t.Context(), cs[0], "k", slow(10*time.Second))
		synctest.Wait()
		if !s.Mini().Exists("p:l:{k}") {
			t.Fatal("there is no lease during the load")
		}
		if err := cs[1].Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if s.Mini().Exists("p:l:{k}") {
			t.Error("the lease is back after a Delete")
		}
		(<-first).wants(t, "k", "slow")
		synctest.Wait()
		if s.Mini().Exists("p:v:{k}") {
			t.Error("the load of a lost lease stored its value")
		}
	})
}

// refusal is an error of the server.
type refusal string

func (e refusal) Error() string { return string(e) }
func (refusal) RedisError()     {}

// noFill is a hook under which nothing that is loaded can be stored.
type noFill struct{}

func (noFill) DialHook(next redis.DialHook) redis.DialHook { return next }

func (noFill) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if len(cmd.Args()) == 3+3+5 { // a script, its keys and its arguments
			cmd.SetErr(refusal("MISCONF no disk"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func (noFill) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A load whose value could not be stored gives the lease back.
func TestFillFails(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		rdb.AddHook(noFill{})
		c := newCache(t, rdb, Options{Prefix: "p", Timeout: 100 * time.Millisecond})
		wants(t, c, "k", slow(time.Millisecond), "slow")
		time.Sleep(500 * time.Millisecond)
		if n := c.Stats(); n.Dropped != 1 {
			t.Errorf("Stats().Dropped = %d, want 1", n.Dropped)
		}
		if s.Mini().Exists("p:l:{k}") {
			t.Error("the lease is still there")
		}
	})
}

// meddle is a hook that does what it likes with the commands that a cache sends.
type meddle func(cmd redis.Cmder, send func() error) error

func (meddle) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m meddle) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !cmd.NoRetry() {
			return next(ctx, cmd)
		}
		return m(cmd, func() error { return next(ctx, cmd) })
	}
}

func (meddle) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

package counter

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// killedRole is a process that counts in every way until it is killed: by itself, at a
// command that it is told (before it is sent, or when it has been executed), or by the test.
// It is told the URL of a server, a prefix, the number of the command, and whether that is
// executed.
var killedRole = redistest.Role{Env: "FRESHET_COUNTER_KILLED", Run: countUntilKilled}

func countUntilKilled(arg string) {
	var url, prefix string
	var at int
	var executed bool
	_, err := fmt.Sscan(arg, &url, &prefix, &at, &executed)
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	fail(err)
	rdb, err := redistest.ClientFromURL(url)
	fail(err)
	redistest.Ready()
	k := &killing{executed: executed}
	k.at.Store(int64(at))
	rdb.AddHook(k)
	ctx := context.Background()
	const patience, ttl = 10 * time.Second, time.Hour
	for i := 0; ; i++ {
		r, err := New(rdb, &Options{Prefix: prefix, Timeout: patience, TTL: ttl, Sliding: i%2 == 1, OnceFor: ttl})
		fail(err)
		s, err := NewSeries(rdb, &SeriesOptions{Prefix: prefix, Timeout: patience})
		fail(err)
		u, err := NewUnique(rdb, &UniqueOptions{Prefix: prefix, Timeout: patience, TTL: ttl, Exact: 2})
		fail(err)
		b, err := NewBuffered(r, &BufferedOptions{Interval: time.Hour})
		fail(err)
		key := fmt.Sprint(i)
		fail(second(r.Add(ctx, "add"+key, 1)))
		_, _, err = r.AddOnce(ctx, "once"+key, "op", 1)
		fail(err)
		fail(second(b.Add(ctx, "flush"+key, 1)))
		fail(second(b.Add(ctx, "add"+key, 1)))
		fail(b.Flush(ctx))
		fail(s.Add(ctx, "series"+key, 1))
		fail(u.Add(ctx, "exact"+key, "a"))
		fail(u.Add(ctx, "exact"+key, "b"))
		fail(u.Add(ctx, "about"+key, "a", "b", "c", "d"))
		_, _, err = u.Count(ctx, "exact"+key, "about"+key)
		fail(err)
		fail(second(r.Take(ctx, "once"+key)))
	}
}

// killing ends the process at one of its commands.
type killing struct {
	at       atomic.Int64
	executed bool
}

func (k *killing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *killing) kill(cmd redis.Cmder, send func() error) error {
	if cmd.Name() == "cluster" || cmd.Name() == "hello" || cmd.Name() == "client" {
		return send()
	}
	if k.at.Add(-1) != 0 {
		return send()
	}
	if k.executed {
		_ = send()
	}
	p, _ := os.FindProcess(os.Getpid())
	_ = p.Kill()
	select {}
}

func (k *killing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return k.kill(cmd, func() error { return next(ctx, cmd) })
	}
}

func (k *killing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return k.kill(cmds[0], func() error { return next(ctx, cmds) })
	}
}

// A process is killed at each of its commands, before or after it is executed, or at some
// moment: no key is left without its expiry.
func TestKilled(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		steps := []int{7}
		if s.Topology() == redistest.Standalone {
			steps = []int{2, 5, 9}
		}
		if redistest.IsLong() {
			steps = make([]int, 40)
			for i := range steps {
				steps[i] = i + 1
			}
		}
		for _, at := range steps {
			for _, executed := range []bool{false, true} {
				prefix := redistest.Prefix(t)
				p := killedRole.Start(t, fmt.Sprintln(s.URL(), prefix, at, executed))
				p.Begin()
				for line := range p.Lines { // until it is dead
					t.Error(line)
				}
				allExpire(t, s, prefix)
			}
		}
		prefix := redistest.Prefix(t)
		p := killedRole.Start(t, fmt.Sprintln(s.URL(), prefix, 0, false))
		p.Begin()
		redistest.Eventually(t, "it counts", func() bool { return len(keysOf(t, s, prefix)) > 50 })
		check(t, p.Process.Kill())
		for line := range p.Lines {
			t.Error(line)
		}
		if n := allExpire(t, s, prefix); n < 50 {
			t.Errorf("there are %d keys", n)
		}
	})
}

func allExpire(t *testing.T, s *redistest.Server, prefix string) (n int) {
	t.Helper()
	keys := keysOf(t, s, prefix)
	for _, key := range keys {
		if ms := s.Do(t, "pttl", key).(int64); ms < 0 && ms != -2 {
			t.Errorf("%q does not expire", strings.TrimPrefix(key, prefix))
		}
	}
	return len(keys)
}

// A user who may count but not set an expiry counts nothing, and leaves nothing.
func TestExpiryForbidden(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		s.Do(t, "acl", "setuser", "counting", "on", ">secret", "~*", "+@all", "-pexpire", "-expireat", "-expire")
		rdb := s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "counting", "secret" })
		prefix := redistest.Prefix(t)
		r := newCounter(t, rdb, Options{Prefix: prefix, TTL: time.Hour})
		adds(t, r, "k", 1, 1) // SET can
		series, u := newSeries(t, rdb, SeriesOptions{Prefix: prefix}), newUnique(t, rdb, UniqueOptions{Prefix: prefix, TTL: time.Hour})
		for name, err := range map[string]error{"Series.Add": series.Add(t.Context(), "k", 1), "Unique.Add": u.Add(t.Context(), "k", "a")} {
			if err == nil || !strings.Contains(err.Error(), "permission") && !strings.Contains(err.Error(), "can't run") {
				t.Errorf("%s = %v, want that it is forbidden", name, err)
			}
		}
		check(t, newSeries(t, s.Client(t), SeriesOptions{Prefix: prefix, Days: -1, Hours: -1}).Add(t.Context(), "there", 1))
		if err := newSeries(t, rdb, SeriesOptions{Prefix: prefix, Days: -1, Hours: -1}).Add(t.Context(), "there", 5); err == nil {
			t.Error("Series.Add has no error")
		}
		if n := allExpire(t, s, prefix); n != 2 {
			t.Errorf("there are %d keys, want the counter and the series that was there", n)
		}
		points, err := newSeries(t, rdb, SeriesOptions{Prefix: prefix}).Range(t.Context(), "there", time.Now().Add(-time.Hour), time.Now().Add(time.Minute), 2*time.Hour)
		if err == nil && len(points) > 0 && points[0].N > 1 {
			t.Errorf("Range = %v, want what was there", points)
		}
	})
}

package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// What must not be in the text of an error. Keys, values and passwords contain it.
const secret = "hunter2"

func noSecret(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("%s = %v, want no key, value or password in it", what, err)
	}
}

// Errors that real servers give.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	type want struct {
		kind  Kind
		is    func(error) bool
		again bool // it may pass, and is sent again
	}
	prefix := func(p string) func(error) bool {
		return func(err error) bool { return redis.HasErrorPrefix(err, p) }
	}
	const key = "key-" + secret
	script := NewScript(`return redis.call('set', KEYS[1], ARGV[1])`)
	set := func() *Cmd { return Command(key, "set", key, "value-"+secret) }
	for name, test := range map[string]struct {
		breaks breaks
		heals  func(t *testing.T, rdb redis.UniversalClient)
		edit   func(o *redis.UniversalOptions)
		cmd    func() *Cmd
		want
	}{
		"WRONGTYPE": {
			breaks: func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) { rdb.LPush(t.Context(), key, 1) },
			cmd:    func() *Cmd { return Get(key) },
			want:   want{Refused, prefix("WRONGTYPE"), false},
		},
		"WRONGTYPE in a script": {
			breaks: func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) { rdb.LPush(t.Context(), key, 1) },
			cmd:    func() *Cmd { return incr(key) },
			want:   want{Refused, prefix("WRONGTYPE"), false},
		},
		"OOM": {
			breaks: config("maxmemory", "1"),
			cmd:    set,
			want:   want{Refused, redis.IsOOMError, false},
		},
		"OOM in a script": {
			breaks: config("maxmemory", "1"),
			cmd:    func() *Cmd { return script.Cmd([]string{key}, "value-"+secret) },
			want:   want{Refused, redis.IsOOMError, false},
		},
		"MISCONF": {
			breaks: failSaves,
			cmd:    set,
			want:   want{Refused, prefix("MISCONF"), false},
		},
		"NOREPLICAS": {
			breaks: config("min-replicas-to-write", "1"),
			heals:  heal("config", "set", "min-replicas-to-write", "0"),
			cmd:    set,
			want:   want{Unavailable, redis.IsNoReplicasError, true},
		},
		"NOREPLICAS in a script": {
			breaks: config("min-replicas-to-write", "1"),
			heals:  heal("config", "set", "min-replicas-to-write", "0"),
			cmd:    func() *Cmd { return script.Cmd([]string{key}, "v") },
			want:   want{Unavailable, redis.IsNoReplicasError, true},
		},
		"READONLY": {
			breaks: func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) {
				rdb.Do(t.Context(), "replicaof", "127.0.0.1", "1")
			},
			heals: heal("replicaof", "no", "one"),
			cmd:   set,
			want:  want{Unavailable, redis.IsReadOnlyError, true},
		},
		"READONLY in a script": {
			breaks: func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) {
				rdb.Do(t.Context(), "replicaof", "127.0.0.1", "1")
			},
			heals: heal("replicaof", "no", "one"),
			cmd:   func() *Cmd { return script.Cmd([]string{key}, "v") },
			want:  want{Unavailable, redis.IsReadOnlyError, true},
		},
		"MASTERDOWN": {
			breaks: func(t *testing.T, s *redistest.Server, rdb redis.UniversalClient) {
				config("replica-serve-stale-data", "no")(t, s, rdb)
				rdb.Do(t.Context(), "replicaof", "127.0.0.1", "1")
			},
			heals: heal("replicaof", "no", "one"),
			cmd:   func() *Cmd { return Get(key) },
			want:  want{Unavailable, redis.IsMasterDownError, true},
		},
		"BUSY": {
			breaks: func(t *testing.T, s *redistest.Server, rdb redis.UniversalClient) {
				config("lua-time-limit", "1")(t, s, rdb)
				stuck := s.Client(t)
				go stuck.Eval(context.Background(), "while true do end", nil)
				redistest.Eventually(t, "the server is busy", func() bool { return redis.HasErrorPrefix(rdb.Ping(t.Context()).Err(), "BUSY") })
			},
			heals: heal("script", "kill"),
			cmd:   func() *Cmd { return Get(key) },
			want:  want{Unavailable, prefix("BUSY "), true},
		},
		"NOPERM": {
			breaks: acl("on", ">"+secret, "~*", "+@all", "-set"),
			edit:   func(o *redis.UniversalOptions) { o.Username, o.Password = "user", secret },
			cmd:    set,
			want:   want{Refused, redis.IsPermissionError, false},
		},
		"NOPERM on a key": {
			breaks: acl("on", ">"+secret, "~other", "+@all"),
			edit:   func(o *redis.UniversalOptions) { o.Username, o.Password = "user", secret },
			cmd:    set,
			want:   want{Refused, redis.IsPermissionError, false},
		},
		"WRONGPASS": {
			breaks: acl("on", ">right", "~*", "+@all"),
			edit:   func(o *redis.UniversalOptions) { o.Username, o.Password = "user", secret },
			cmd:    set,
			want:   want{Refused, redis.IsAuthError, false},
		},
		"NOAUTH": {
			breaks: config("requirepass", secret),
			cmd:    set,
			want:   want{Refused, redis.IsAuthError, false},
		},
		"unknown command": {
			cmd:  func() *Cmd { return Command(key, "nosuch", key, "value-"+secret) },
			want: want{Refused, prefix("unknown command"), false},
		},
		"wrong argument": {
			cmd:  func() *Cmd { return Command(key, "set", key, "value-"+secret, secret) },
			want: want{Refused, prefix("syntax error"), false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Private(t, redistest.Standalone)
			admin := s.Client(t)
			p := s.Proxy(t)
			if test.breaks != nil {
				test.breaks(t, s, admin)
			}
			for _, call := range []string{"Do", "DoAll"} {
				rdb := p.Client(t, func(o *redis.UniversalOptions) {
					if test.edit != nil {
						test.edit(o)
					}
				})
				w := watched(rdb)
				timeout := patience
				if test.again { // until then
					timeout = slack
				}
				c := newClient(t, rdb, timeout)
				cmds := []*Cmd{test.cmd()}
				if cmds[0].script != nil && !test.again {
					loaded(t, admin, cmds[0].script)
				}
				do := func() error { return c.Do(t.Context(), c.Budget(), cmds[0]) }
				if call == "DoAll" {
					cmds = append(cmds, Command("other", "get", "other"), test.cmd())
					do = func() error { return c.DoAll(t.Context(), c.Budget(), cmds) }
				}
				before := p.Requests()
				err := do()
				sent := p.Requests() - before
				what := fmt.Sprintf("%s(%s)", call, name)
				if test.again && errors.Is(err, errNoAnswer) {
					continue // cut off during the last attempt
				}
				wantKind(t, what, err, test.kind)
				var server redis.Error
				if !test.is(err) || !errors.As(err, &server) {
					t.Errorf("%s = %v, want %s", what, err, name)
				}
				noSecret(t, what, err)
				noSecret(t, what, fmt.Errorf("wrapped: %w", err))
				if !test.again && (sent > len(cmds) || w.dialed() > 2) {
					t.Errorf("%s sent %d commands on %d connections, want %d commands once", what, sent, w.dialed(), len(cmds))
				}
				if test.again && sent < 2*len(cmds) {
					t.Errorf("%s sent %d commands, want them to be sent again", what, sent)
				}
				if n, _ := c.nodes.of(""); !test.again && n.breaker.failures.Load() != 0 {
					t.Errorf("%s counted as a failure of the connection", what)
				}
			}
			if test.heals == nil {
				return
			}
			rdb := p.Client(t)
			c := newClient(t, rdb, patience)
			timer := time.AfterFunc(30*time.Millisecond, func() { test.heals(t, admin) })
			defer timer.Stop()
			if err := c.DoAll(t.Context(), c.Budget(), []*Cmd{test.cmd(), test.cmd()}); err != nil && err != redis.Nil {
				t.Errorf("DoAll(%s) that passes = %v, want nil", name, err)
			}
		})
	}
}

type breaks = func(t *testing.T, s *redistest.Server, rdb redis.UniversalClient)

func config(name, value string) breaks {
	return func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) {
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatalf("CONFIG SET %s = %v", name, err)
		}
	}
}

func acl(rules ...string) breaks {
	return func(t *testing.T, _ *redistest.Server, rdb redis.UniversalClient) {
		if err := rdb.ACLSetUser(t.Context(), "user", rules...).Err(); err != nil {
			t.Fatalf("ACL SETUSER = %v", err)
		}
	}
}

func heal(args ...any) func(t *testing.T, rdb redis.UniversalClient) {
	return func(_ *testing.T, rdb redis.UniversalClient) { rdb.Do(context.Background(), args...) }
}

// failSaves makes the server unable to save, where a directory is in the way.
func failSaves(t *testing.T, s *redistest.Server, rdb redis.UniversalClient) {
	dir := rdb.ConfigGet(t.Context(), "dir").Val()["dir"]
	if err := os.MkdirAll(filepath.Join(dir, "dump.rdb", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	config("save", "3600 1")(t, s, rdb)
	rdb.Set(t.Context(), "k", "v", 0)
	if err := rdb.BgSave(t.Context()).Err(); err != nil {
		t.Fatalf("BGSAVE = %v", err)
	}
	redistest.Eventually(t, "the save has failed", func() bool {
		return strings.Contains(rdb.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err")
	})
}

// Errors that are not a server's have no secret either.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Standalone)
	config("requirepass", secret)(t, s, s.Client(t))
	p := s.Proxy(t)
	c := newClient(t, p.Client(t, func(o *redis.UniversalOptions) { o.Password = secret }), 50*time.Millisecond)
	cmd := func() *Cmd { return Command(secret, "append", secret, secret) }
	timeout := patience
	check := func(what string, kind Kind) {
		t.Helper()
		err := c.Do(t.Context(), NewBudget(timeout), cmd())
		wantKind(t, what, err, kind)
		noSecret(t, what, err)
		err = c.DoAll(t.Context(), NewBudget(timeout), []*Cmd{cmd(), cmd()})
		noSecret(t, what+" in a batch", err)
	}
	check("Do", 0)
	p.DropRepliesTo(redistest.Command("append"), 2)
	check("Do with a lost reply", UnknownOutcome)
	p.Blackhole(true)
	timeout = c.timeout
	check("Do without a reply", UnknownOutcome)
	for range breakerTrips {
		noSecret(t, "Do", c.Do(t.Context(), c.Budget(), cmd()))
	}
	check("Do with an open breaker", Unavailable)
	p.Blackhole(false)
	recovery(t, c, "k")
	p.Refuse(true)
	noSecret(t, "Do with a refused connection", c.Do(t.Context(), c.Budget(), cmd()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	noSecret(t, "Do with an ended context", c.Do(ctx, c.Budget(), cmd()))
}

func TestClassify(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, test := range []struct {
		err  error
		want verdict
	}{
		{nil, answered},
		{redis.Nil, answered},
		{fmt.Errorf("a hook: %w", redis.Nil), answered},
		{dial, notExecuted},
		{fmt.Errorf("a hook: %w", dial), notExecuted},
		{redis.ErrPoolTimeout, notExecuted},
		{redis.ErrPoolExhausted, notExecuted},
		{redis.ErrClosed, refused},
		{io.EOF, lost},
		{io.ErrUnexpectedEOF, lost},
		{&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, lost},
		{&net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}, lost},
		{context.DeadlineExceeded, lost},
		{context.Canceled, notExecuted},
		{errors.New("anything"), lost},
		{redis.ErrNoScript, noScript},
		{fmt.Errorf("a hook: %w", redis.ErrNoScript), noScript},
		{redis.ErrCrossSlot, refused},
		// A sentinel that does not know the master's name answers nil.
		{fmt.Errorf("redis: all sentinels specified in configuration are unreachable: %w", errors.Join(redis.Nil, redis.Nil)), notExecuted},
		{fmt.Errorf("redis: all sentinels specified in configuration are unreachable: %w", errors.Join(io.EOF, dial)), notExecuted},
	} {
		if got := classify(test.err); got != test.want {
			t.Errorf("classify(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

// A hook of the user that wraps every error, redis.Nil too.
func TestWrappingHook(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		rdb := s.Client(t)
		rdb.AddHook(wrapping{})
		c := newClient(t, rdb, patience)
		key := redistest.Prefix(t)
		if err := c.Do(t.Context(), c.Budget(), Get(key)); err != redis.Nil {
			t.Errorf("Do(GET) = %v, want redis.Nil", err)
		}
		script := unknownScripts(t, 1)[0]
		if err := c.Do(t.Context(), c.Budget(), script.Cmd([]string{key}, "v")); err != nil {
			t.Errorf("Do of an unknown script = %v, want nil", err)
		}
		err := c.Do(t.Context(), c.Budget(), Get(key))
		if KindOf(err) != Refused || !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Errorf("Do(GET) of a list = %v, want refused, WRONGTYPE", err)
		}
	})
}

type wrapping struct{}

func (wrapping) DialHook(next redis.DialHook) redis.DialHook { return next }
func (wrapping) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := next(ctx, cmd); err != nil {
			return fmt.Errorf("a hook: %w", err)
		}
		return nil
	}
}
func (wrapping) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// hangsAfter is a hook that answers the first command with an error and lets the
// others hang until their caller has left.
type hangsAfter struct {
	err   error
	calls atomic.Int32
}

func (h *hangsAfter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *hangsAfter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *hangsAfter) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.calls.Add(1) > 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		cmd.SetErr(h.err)
		return h.err
	}
}

// Who runs out of time in a second attempt is told why the first one failed.
func TestEarlierFailureIsTold(t *testing.T) {
	t.Parallel()
	s := redistest.Private(t, redistest.Miniredis)
	rdb := s.Client(t)
	rdb.AddHook(&hangsAfter{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}})
	c := newClient(t, rdb, time.Second)
	err := c.Do(t.Context(), c.Budget(), Get("k"))
	wantKind(t, "Do(GET)", err, Unavailable)
	if !errors.Is(err, errNoAnswer) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Do(GET) = %v, want no answer, and the refusal before it", err)
	}
}

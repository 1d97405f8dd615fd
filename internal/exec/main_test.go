package exec

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// patience bounds the waits for what must come but need not come soon.
const patience = 10 * time.Second

// slack is what a machine that does other things may add to any wait.
const slack = 500 * time.Millisecond

func newClient(t testing.TB, rdb redis.UniversalClient, timeout time.Duration) *Client {
	t.Helper()
	c, err := New(rdb, timeout)
	if err != nil {
		t.Fatalf("New(%T) = %v, want nil", rdb, err)
	}
	return c
}

// incrScript is the command that must not be executed twice.
var incrScript = NewScript(`return redis.call('incr', KEYS[1])`)

func incr(key string) *Cmd { return incrScript.Cmd([]string{key}) }

// loaded makes all masters know the scripts.
func loaded(t testing.TB, rdb redis.UniversalClient, scripts ...*Script) {
	t.Helper()
	for _, s := range scripts {
		if err := rdb.ScriptLoad(t.Context(), s.src).Err(); err != nil {
			t.Fatalf("SCRIPT LOAD = %v, want nil", err)
		}
	}
}

// count is the value of a counter, zero if it does not exist.
func count(t testing.TB, rdb redis.UniversalClient, key string) int64 {
	t.Helper()
	n, err := rdb.Get(t.Context(), key).Int64()
	if err != nil && err != redis.Nil {
		t.Fatalf("GET %s = %v, want a number", key, err)
	}
	return n
}

// keys returns n keys; in a cluster they are spread over its nodes.
func keys(t testing.TB, n int) []string {
	prefix := redistest.Prefix(t)
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s:{%d}", prefix, i)
	}
	return all
}

func wantKind(t testing.TB, what string, err error, want Kind) {
	t.Helper()
	if got := KindOf(err); got != want {
		t.Errorf("%s = %v (kind %d), want kind %d", what, err, got, want)
	}
}

// watch is a go-redis hook that counts dials and notes commands.
type watch struct {
	mu    sync.Mutex
	dials int
	cmds  []string // name and first argument
}

func watched(rdb redis.UniversalClient) *watch {
	w := &watch{}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(w) })
	} else {
		rdb.AddHook(w)
	}
	return w
}

func (w *watch) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.mu.Lock()
		w.dials++
		w.mu.Unlock()
		return next(ctx, network, addr)
	}
}

func (w *watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.note(cmd)
		return next(ctx, cmd)
	}
}

func (w *watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.note(cmds...)
		return next(ctx, cmds)
	}
}

func (w *watch) note(cmds ...redis.Cmder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cmd := range cmds {
		words := []string{cmd.Name()}
		if args := cmd.Args(); len(args) > 1 {
			words = append(words, strings.ToLower(fmt.Sprint(args[1])))
		}
		w.cmds = append(w.cmds, strings.Join(words, " "))
	}
}

// sent returns how many commands began with one of the texts.
func (w *watch) sent(texts ...string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cmd := range w.cmds {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(cmd, text) }) {
			n++
		}
	}
	return n
}

func (w *watch) dialed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// workerCount is how many workers there are in the process.
func workerCount() int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return strings.Count(string(buf[:n]), "exec.(*workers).loop(")
		}
		buf = make([]byte, 2*len(buf))
	}
}

// overruns checks how much later than they should some calls came back. What
// the library promises is 10 ms; a machine that does other things at the same
// time may spoil some of the measurements, but not all of them.
func overruns(t testing.TB, what string, late []time.Duration) {
	t.Helper()
	slices.Sort(late)
	best, worst := late[0], late[len(late)-1]
	t.Logf("%s: late by %v (best), %v (median), %v (worst)", what, best.Round(time.Microsecond), late[len(late)/2].Round(time.Microsecond), worst.Round(time.Microsecond))
	if best > 10*time.Millisecond {
		t.Errorf("%s: the best of %d calls came back %v late, want at most 10ms", what, len(late), best)
	}
	if worst > slack {
		t.Errorf("%s: the worst of %d calls came back %v late, want at most %v", what, len(late), worst, slack)
	}
}

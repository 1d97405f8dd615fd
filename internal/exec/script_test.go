package exec

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// unknownScripts are scripts that append their first argument to a list and
// that no server knows.
func unknownScripts(t *testing.T, n int) []*Script {
	id := redistest.Prefix(t)
	all := make([]*Script, n)
	for i := range all {
		all[i] = NewScript(fmt.Sprintf("return redis.call('rpush', KEYS[1], ARGV[1]) -- %s %d", id, i))
	}
	return all
}

// A node that does not know a script is sent its source: each call is executed
// once, and those of a batch in order.
func TestNoScript(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		rdb := s.Client(t)
		c := newClient(t, rdb, patience)
		t.Run("single", func(t *testing.T) {
			key := redistest.Prefix(t)
			script := unknownScripts(t, 1)[0]
			w := watched(rdb)
			for i := range 3 {
				cmd := script.Cmd([]string{key}, i)
				if err := c.Do(t.Context(), c.Budget(), cmd); err != nil || cmd.Val() != int64(i+1) {
					t.Errorf("Do(%d) = %v, %v, want %d, nil", i, cmd.Val(), err, i+1)
				}
			}
			if s.Topology() != redistest.Cluster && w.sent("eval ") != 1 {
				t.Errorf("the source was sent %d times, want once", w.sent("eval "))
			}
		})
		t.Run("batch", func(t *testing.T) {
			keys := keys(t, 5)
			scripts := unknownScripts(t, 3)
			var cmds []*Cmd
			for i := range 12 {
				for _, key := range keys {
					cmds = append(cmds, scripts[i%3].Cmd([]string{key}, i))
				}
			}
			if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
				t.Errorf("DoAll = %v, want nil", err)
			}
			want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}
			for i, cmd := range cmds {
				if cmd.Err() != nil || cmd.Val() != int64(i/len(keys)+1) {
					t.Errorf("command %d = %v, %v, want %d, nil", i, cmd.Val(), cmd.Err(), i/len(keys)+1)
				}
			}
			for _, key := range keys {
				if got := rdb.LRange(t.Context(), key, 0, -1).Val(); !slices.Equal(got, want) {
					t.Errorf("executed %v, want %v", got, want)
				}
			}
		})
		t.Run("concurrent", func(t *testing.T) {
			keys := keys(t, 5)
			script := unknownScripts(t, 1)[0]
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					if i%2 == 0 {
						if err := c.Do(t.Context(), c.Budget(), script.Cmd(keys[i%5:][:1], i)); err != nil {
							t.Errorf("Do = %v, want nil", err)
						}
						return
					}
					cmds := make([]*Cmd, len(keys))
					for k := range keys {
						cmds[k] = script.Cmd(keys[k:][:1], i)
					}
					if err := c.DoAll(t.Context(), c.Budget(), cmds); err != nil {
						t.Errorf("DoAll = %v, want nil", err)
					}
				})
			}
			wg.Wait()
			for k, key := range keys {
				if n := rdb.LLen(t.Context(), key).Val(); n != 24 {
					t.Errorf("key %d: executed %d times, want 24", k, n)
				}
			}
		})
	})
}

// SCRIPT FLUSH at any time is not seen.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		t.Parallel()
		rdb := s.Client(t)
		c := newClient(t, rdb, patience)
		const callers, calls = 8, 100
		done := make(chan struct{})
		var flusher, wg sync.WaitGroup
		flusher.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
						t.Errorf("SCRIPT FLUSH = %v, want nil", err)
						return
					}
				}
			}
		})
		for i := range callers {
			wg.Go(func() {
				for range calls / 4 {
					err := c.Do(t.Context(), c.Budget(), incr("k"))
					if err == nil {
						err = c.DoAll(t.Context(), c.Budget(), []*Cmd{incr("k"), incr("k"), incr("k")})
					}
					if err != nil {
						t.Errorf("caller %d: INCR = %v, want nil", i, err)
					}
				}
			})
		}
		wg.Wait()
		close(done)
		flusher.Wait()
		if n := count(t, rdb, "k"); n != callers*calls {
			t.Errorf("executed %d times, want %d", n, callers*calls)
		}
	})
}

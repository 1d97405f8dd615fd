package session

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// everything is every call of a store once, on a record and a user that are there.
func everything(r *Redis, user, h string, rec Record) map[string]func(ctx context.Context) error {
	later := time.Now().Add(time.Hour)
	return map[string]func(ctx context.Context) error{
		"Get": func(ctx context.Context) error { _, err := r.Get(ctx, h); return err },
		"Create": func(ctx context.Context) error {
			_, err := r.Create(ctx, newHandle(), fresh("x"), time.Hour)
			return err
		},
		"Swap": func(ctx context.Context) error {
			_, err := r.Swap(ctx, h, rec, time.Hour)
			if errors.Is(err, ErrConflict) {
				err = nil
			}
			return err
		},
		"Touch":       func(ctx context.Context) error { return r.Touch(ctx, h, rec, time.Hour) },
		"Delete":      func(ctx context.Context) error { return r.Delete(ctx, newHandle()) },
		"AddUser":     func(ctx context.Context) error { _, err := r.AddUser(ctx, user, h, time.Now(), later, 0); return err },
		"CheckUser":   func(ctx context.Context) error { return r.CheckUser(ctx, user, h, later) },
		"RemoveUser":  func(ctx context.Context) error { return r.RemoveUser(ctx, user, newHandle()) },
		"UserRecords": func(ctx context.Context) error { _, err := r.UserRecords(ctx, user); return err },
		"RevokeUser":  func(ctx context.Context) error { _, err := r.RevokeUser(ctx, user, later, h); return err },
	}
}

// knowsScripts makes every master know the scripts.
func knowsScripts(t *testing.T, s *redistest.Server) {
	t.Helper()
	rdb := s.Client(t)
	load := func(ctx context.Context, node *redis.Client) error {
		for _, source := range []string{peekSource, createSource, swapSource, touchSource, listSource, checkSource, revokeSource} {
			if err := node.ScriptLoad(ctx, source).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	switch rdb := rdb.(type) {
	case *redis.ClusterClient:
		err = rdb.ForEachMaster(t.Context(), load)
	case *redis.Client:
		err = load(t.Context(), rdb)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// works reports whether every call does.
func works(t *testing.T, calls map[string]func(context.Context) error) bool {
	for _, f := range calls {
		if f(t.Context()) != nil {
			return false
		}
	}
	return true
}

// While Redis is away calls fail within Timeout, and after a few at once, with errors
// that say so and nothing else; and they work soon after it is back, on what was there.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		for name, set := range map[string]func(p *redistest.Proxy, on bool){
			"refused":    (*redistest.Proxy).Refuse,
			"blackholed": (*redistest.Proxy).Blackhole,
		} {
			const patience = 100 * time.Millisecond
			p := s.Proxy(t)
			r := newStore(t, p.Client(t), Options{Timeout: patience})
			direct := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
			user := newHandle()
			h, rec := logsIn(t, direct, user)
			calls := everything(r, user, h, rec)
			redistest.Eventually(t, "all calls work", func() bool { return works(t, calls) })
			set(p, true)
			fastest := time.Hour
			for i := range 15 {
				for op, f := range calls {
					start := time.Now()
					err := f(t.Context())
					took := time.Since(start)
					if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrNotFound) {
						t.Errorf("%s: %s = %v, want ErrUnavailable or ErrUnknownOutcome", name, op, err)
					}
					if errors.Is(err, ErrUnknownOutcome) && op != "Create" && op != "Swap" {
						t.Errorf("%s: %s = %v, want ErrUnavailable", name, op, err)
					}
					if err != nil && (strings.Contains(err.Error(), h) || strings.Contains(err.Error(), user) || !strings.HasPrefix(err.Error(), "session: ")) {
						t.Errorf("%s: %s = %v, which tells a handle or a user, or not who says it", name, op, err)
					}
					if took > patience+2*time.Second { // of go-redis's five, and more
						t.Errorf("%s: %s took %v, want at most %v", name, op, took, patience)
					}
					if i > 5 {
						fastest = min(fastest, took)
					}
				}
			}
			if fastest > 2*time.Millisecond {
				t.Errorf("%s: after a while a call took %v, want 1 ms", name, fastest)
			}
			if st := r.Stats(); st.Unavailable+st.Unknown < 150 {
				t.Errorf("%s: Stats() = %+v, want 150 Unavailable or Unknown", name, st)
			}
			set(p, false)
			redistest.Eventually(t, "all calls work again", func() bool { return works(t, calls) })
			finds(t, direct, h, nil)
		}
	})
}

// A server that is killed and comes back empty, and one that stands still.
func TestRestart(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{Timeout: 200 * time.Millisecond})
		var h string
		var rec Record
		redistest.Eventually(t, "the store works", func() (ok bool) {
			var err error
			h = newHandle()
			rec, err = r.Create(t.Context(), h, fresh("x"), time.Hour)
			return err == nil
		})
		s.Pause(t)
		_, err := r.Get(t.Context(), h)
		wants(t, "Get from a server that stands still", err, ErrUnavailable)
		_, err = r.Swap(t.Context(), h, rec, time.Hour)
		if !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("Swap on a server that stands still = %v", err)
		}
		s.Resume(t)
		redistest.Eventually(t, "Get works again", func() bool { _, err := r.Get(t.Context(), h); return err == nil })
		s.Kill(t)
		_, err = r.Get(t.Context(), h)
		wants(t, "Get from a server that is down", err, ErrUnavailable)
		s.Restart(t)
		redistest.Eventually(t, "the record is gone with the server's data", func() bool { _, err := r.Get(t.Context(), h); return errors.Is(err, ErrNotFound) })
		wants(t, "Touch", r.Touch(t.Context(), h, rec, time.Hour), ErrNotFound)
		_, err = r.Swap(t.Context(), h, rec, time.Hour)
		wants(t, "Swap", err, ErrNotFound)
		finds(t, r, h, ErrNotFound)
	})
}

// What was given up lists nobody when the server gets to it, so that a login that was
// refused to the user takes no place.
func TestAddUserAbandoned(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{Timeout: 100 * time.Millisecond})
		direct := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
		later := time.Now().Add(time.Hour)
		add := func(user string) error {
			_, err := r.AddUser(t.Context(), user, newHandle(), time.Now(), later, 0)
			return err
		}
		redistest.Eventually(t, "the clock is known", func() bool { return add("warm") == nil })
		user := newHandle()
		s.Pause(t)
		for range 2 {
			wants(t, "AddUser on a server that stands still", add(user), ErrUnavailable)
		}
		time.Sleep(50 * time.Millisecond) // until it is too late for both
		s.Resume(t)
		redistest.Eventually(t, "AddUser works again", func() bool { return add("warm") == nil })
		for range 20 { // what was in its sockets has been read by then
			finds(t, direct, user, ErrNotFound)
		}
		if n, _ := s.Do(t, "exists", r.o.keys.Key("u", user)).(int64); n != 0 {
			t.Error("a listing that was given up was done later")
		}
	})
}

// A call ends with its context.
func TestContext(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newStore(t, p.Client(t), Options{})
		user := newHandle()
		h, rec := logsIn(t, r, user)
		calls := everything(r, user, h, rec)
		if !works(t, calls) {
			t.Fatal("the calls do not work")
		}
		p.Blackhole(true)
		defer p.Blackhole(false)
		for op, f := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			start := time.Now()
			wants(t, op, f(ctx), context.DeadlineExceeded)
			cancel()
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s took %v, want 20 ms", op, took)
			}
		}
	})
}

// The server forgets the scripts.
func TestScriptFlush(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone, redistest.Miniredis}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		h, rec := logsIn(t, r, user)
		for op, f := range everything(r, user, h, rec) {
			s.Do(t, "script", "flush")
			wants(t, op+" after SCRIPT FLUSH", f(t.Context()), nil)
		}
	})
}

// Where memory is short what is new is refused, with the server's error; sessions that
// are there are read, kept and revoked.
func TestOutOfMemory(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		h, rec := logsIn(t, r, user)
		s.Do(t, "config", "set", "maxmemory-policy", "noeviction")
		s.Do(t, "config", "set", "maxmemory", "1")
		_, err := r.Create(t.Context(), newHandle(), fresh("x"), time.Hour)
		if !redis.IsOOMError(err) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Create = %v, want OOM", err)
		}
		if _, err := r.Swap(t.Context(), h, rec, time.Hour); !redis.IsOOMError(err) {
			t.Errorf("Swap = %v, want OOM", err)
		}
		finds(t, r, h, nil)
		wants(t, "Touch", r.Touch(t.Context(), h, rec, time.Hour), nil)
		wants(t, "CheckUser", r.CheckUser(t.Context(), user, h, rec.Deadline), nil)
		n, err := r.RevokeUser(t.Context(), user, rec.Deadline)
		if err != nil || n != 1 {
			t.Errorf("RevokeUser = %d, %v, want 1", n, err)
		}
		finds(t, r, h, ErrNotFound)
	})
}

// A touch for almost no time, on a server that is kept from its processor in the middle of
// the script, makes no record of what it removes. Chance decides whether it is, so that the
// script is run many times, beside others who want the processor.
func TestTouchMakesNothing(t *testing.T) {
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{Prefix: redistest.Prefix(t)})
		h, rec := creates(t, r, "x")
		key := r.o.keys.Key("s", h)
		var stop atomic.Bool
		defer stop.Store(true)
		for range 2 * runtime.NumCPU() {
			go func() {
				for !stop.Load() {
				}
			}()
		}
		script := "local function touch()\n" + touchSource + "\nend\n" + `
			local record, made = redis.call('GET', KEYS[1]), 0
			for i = 1, 1000 do
				redis.call('SET', KEYS[1], record, 'PX', 100000)
				touch()
				if redis.call('PTTL', KEYS[1]) == -1 then
					made = made + 1
				end
			end
			redis.call('SET', KEYS[1], record, 'PX', 100000)
			return made`
		for range 100 {
			if made := s.Do(t, "eval", script, 1, key, word(rec.Login), 1); made != int64(0) {
				t.Fatalf("%v of 1,000 touches made a key that does not expire", made)
			}
		}
	})
}

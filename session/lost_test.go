package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A reply is lost at each step, once or as often as it is sent: what was asked for is
// done once, and whoever cannot know it is told so.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	create1, get, peek := redistest.Script(createSource), redistest.Command("get"), redistest.Script(peekSource)
	either := func(request []byte) bool { return create1(request) || get(request) || peek(request) }
	type state struct {
		r         *Redis // behind the proxy
		direct    *Redis
		user, h   string
		rec       Record
		deadline  time.Time
		newHandle string
	}
	version := func(want uint64, data string) func(t *testing.T, s *state) {
		return func(t *testing.T, s *state) {
			if r := finds(t, s.direct, s.h, nil); r.Version != want || string(r.Data) != data {
				t.Errorf("the record is version %d with %q, want %d with %q", r.Version, r.Data, want, data)
			}
		}
	}
	created := func(t *testing.T, s *state) {
		if r := finds(t, s.direct, s.newHandle, nil); r.Version != 1 || string(r.Data) != "new" {
			t.Errorf("the record is version %d with %q, want 1 with what was created", r.Version, r.Data)
		}
	}
	gone := func(t *testing.T, s *state) { finds(t, s.direct, s.h, ErrNotFound) }
	lists := func(n int) func(t *testing.T, s *state) {
		return func(t *testing.T, s *state) {
			if got, err := s.direct.UserRecords(t.Context(), s.user); err != nil || len(got) != n {
				t.Errorf("UserRecords = %d, %v, want %d", len(got), err, n)
			}
		}
	}
	create := func(ctx context.Context, s *state) error {
		r, err := s.r.Create(ctx, s.newHandle, fresh("new"), time.Hour)
		if err == nil && (r.Version != 1 || string(r.Data) != "new") {
			return fmt.Errorf("version %d with %q", r.Version, r.Data)
		}
		return err
	}
	swap := func(ctx context.Context, s *state) error {
		s.rec.Data = []byte("swapped")
		r, err := s.r.Swap(ctx, s.h, s.rec, time.Hour)
		if err == nil && (r.Version != 2 || string(r.Data) != "swapped") {
			return fmt.Errorf("version %d with %q", r.Version, r.Data)
		}
		return err
	}
	touch := func(ctx context.Context, s *state) error { return s.r.Touch(ctx, s.h, s.rec, time.Hour) }
	add := func(ctx context.Context, s *state) error {
		h, rec := creates(t, s.direct, "second")
		_, err := s.r.AddUser(ctx, s.user, h, time.Now(), rec.Deadline, 0)
		return err
	}
	evict := func(ctx context.Context, s *state) error {
		h, rec := creates(t, s.direct, "second")
		evicted, err := s.r.AddUser(ctx, s.user, h, time.Now(), rec.Deadline, 1)
		if err == nil && (len(evicted) != 1 || evicted[0] != s.h) {
			return fmt.Errorf("evicted %v", evicted)
		}
		return err
	}
	check := func(ctx context.Context, s *state) error {
		h, rec := creates(t, s.direct, "second")
		return s.r.CheckUser(ctx, s.user, h, rec.Deadline)
	}
	remove := func(ctx context.Context, s *state) error { return s.r.RemoveUser(ctx, s.user, s.h) }
	revoke := func(ctx context.Context, s *state) error {
		_, err := s.r.RevokeUser(ctx, s.user, s.deadline)
		return err
	}
	unlink := redistest.Command("unlink")
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		knowsScripts(t, s)
		for _, test := range []struct {
			name  string
			match func([]byte) bool
			drops int
			do    func(ctx context.Context, s *state) error
			want  error
			after func(t *testing.T, s *state)
		}{
			{"create", create1, 1, create, nil, created},
			{"create and the look for it", either, 100, create, ErrUnknownOutcome, created},
			{"swap", redistest.Script(swapSource), 1, swap, nil, version(2, "swapped")},
			{"swap twice", redistest.Script(swapSource), attempts - 1, swap, nil, version(2, "swapped")},
			{"swap always", redistest.Script(swapSource), 100, swap, ErrUnknownOutcome, version(2, "swapped")},
			{"touch", redistest.Script(touchSource), 1, touch, nil, version(1, "x")},
			{"touch always", redistest.Script(touchSource), 100, touch, ErrUnavailable, version(1, "x")},
			{"delete", unlink, 1, func(ctx context.Context, s *state) error { return s.r.Delete(ctx, s.h) }, nil, gone},
			{"delete always", unlink, 100, func(ctx context.Context, s *state) error { return s.r.Delete(ctx, s.h) }, ErrUnavailable, gone},
			{"add", redistest.Script(listSource), 1, add, nil, lists(2)},
			{"add always", redistest.Script(listSource), 100, add, ErrUnavailable, func(*testing.T, *state) {}},
			{"evict, the list", redistest.Script(listSource), 1, evict, nil, lists(1)},
			{"evict, who is there", redistest.Command("exists"), 1, evict, nil, lists(1)},
			{"evict, delete", unlink, 1, evict, nil, lists(1)},
			{"evict, remove", redistest.Command("zrem"), 1, evict, nil, lists(1)},
			{"check", redistest.Script(checkSource), 1, check, nil, lists(2)},
			{"remove", redistest.Command("zrem"), 1, remove, nil, lists(0)},
			{"revoke", redistest.Script(revokeSource), 1, revoke, nil, gone},
			{"revoke, delete", unlink, 1, revoke, nil, gone},
			{"revoke, delete always", unlink, 100, revoke, ErrUnavailable, gone},
			{"get", get, 1, func(ctx context.Context, s *state) error { _, err := s.r.Get(ctx, s.h); return err }, nil, version(1, "x")},
			{"list", redistest.Command("zrangebyscore"), 1, func(ctx context.Context, s *state) error { _, err := s.r.UserRecords(ctx, s.user); return err }, nil, lists(1)},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				opts := Options{Prefix: redistest.Prefix(t), Timeout: 3 * time.Second}
				if test.want == ErrUnavailable || test.want == ErrUnknownOutcome { // which takes as long
					opts.Timeout = 300 * time.Millisecond
				}
				p := s.Proxy(t)
				st := &state{r: newStore(t, p.Client(t), opts), direct: newStore(t, s.Client(t), Options{Prefix: opts.Prefix}), user: newHandle(), newHandle: newHandle()}
				// The connections work, and some clocks are known.
				redistest.Eventually(t, "the store works", func() bool {
					_, err := st.r.AddUser(t.Context(), "warm", newHandle(), time.Now(), time.Now().Add(time.Hour), 0)
					_, getErr := st.r.Get(t.Context(), "warm")
					return err == nil && errors.Is(getErr, ErrNotFound)
				})
				st.h, st.rec = logsIn(t, st.direct, st.user)
				st.deadline = time.Now().Add(2 * time.Hour)
				finds(t, st.r, st.h, nil)
				p.DropRepliesTo(test.match, test.drops)
				err := test.do(t.Context(), st)
				p.DropRepliesTo(nil, 0)
				if !errors.Is(err, test.want) {
					t.Errorf("with %d lost replies: %v, want %v", test.drops, err, test.want)
				}
				test.after(t, st)
			})
		}
	})
}

// interfering does something after commands that match were executed, and loses their
// replies.
type interfering struct {
	match func(cmd redis.Cmder) bool
	then  func()
	times atomic.Int64
}

func (h *interfering) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *interfering) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if h.match(cmd) && h.times.Add(-1) >= 0 {
			h.then()
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return err
	}
}

func (h *interfering) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// dying makes the process crash instead of sending a command.
type dying struct{ command string }

func (d dying) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d dying) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != d.command {
			return next(ctx, cmd)
		}
		cmd.SetErr(errCrashed)
		return errCrashed
	}
}

func (d dying) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() != d.command {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errCrashed)
		}
		return errCrashed
	}
}

func isScript(cmd redis.Cmder) bool { return strings.HasPrefix(cmd.Name(), "evalsha") }

// The reply to a Swap is lost, and before it is asked for again another write comes: the
// outcome is unknown, and not a conflict after which the caller would write once more.
func TestSwapLostThenReplaced(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newStore(t, rdb, Options{})
		other := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
		for _, test := range []struct {
			name string
			then func(h string)
			want error
		}{
			{"nothing", func(string) {}, nil},
			{"a touch", func(h string) { wants(t, "Touch", other.Touch(t.Context(), h, Record{Login: 1}, time.Hour), nil) }, nil},
			{"a swap", func(h string) {
				rec := finds(t, other, h, nil)
				_, err := other.Swap(t.Context(), h, rec, time.Hour)
				wants(t, "the other Swap", err, nil)
			}, ErrUnknownOutcome},
			{"a deletion", func(h string) { wants(t, "Delete", other.Delete(t.Context(), h), nil) }, ErrNotFound},
		} {
			h, rec := creates(t, r, "x")
			rec, err := r.Swap(t.Context(), h, rec, time.Hour) // the script is known
			wants(t, "Swap", err, nil)
			hook := &interfering{match: isScript, then: func() { test.then(h) }}
			hook.times.Store(1)
			rdb.AddHook(hook)
			rec.Data = []byte("mine")
			_, err = r.Swap(t.Context(), h, rec, time.Hour)
			if !errors.Is(err, test.want) || test.want != ErrConflict && errors.Is(err, ErrConflict) {
				t.Errorf("Swap whose reply is lost before %s = %v, want %v", test.name, err, test.want)
			}
			hook.times.Store(0)
		}
	})
}

// One reply in five is lost, of anything, with many writers: what was acknowledged is
// there once, what is unknown at most once, and what was refused not at all.
func TestRandomlyLostReplies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const writers, writes = 8, 10
		p := s.Proxy(t)
		r := newStore(t, p.Client(t), Options{})
		direct := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
		h, _ := creates(t, direct, "")
		finds(t, r, h, nil)
		var n atomic.Int64
		p.DropRepliesTo(func(request []byte) bool {
			return strings.Contains(string(request), "evalsha") && n.Add(1)%5 == 0
		}, 1_000_000)
		var acked, unknown [writers * writes]bool
		redistest.Together(writers, func(w int) {
			rec, _ := direct.Get(t.Context(), h)
			for i := w * writes; i < (w+1)*writes; {
				next := rec
				next.Data = append(append([]byte(nil), rec.Data...), fmt.Sprintf("<%d>", i)...)
				stored, err := r.Swap(t.Context(), h, next, time.Hour)
				switch {
				case err == nil:
					acked[i] = true
				case errors.Is(err, ErrUnknownOutcome):
					unknown[i] = true
				case errors.Is(err, ErrConflict):
					rec = stored
					continue
				case errors.Is(err, ErrUnavailable): // after so many Redis seems to be away
					time.Sleep(time.Millisecond)
					continue
				default:
					t.Errorf("Swap = %v", err)
					return
				}
				i++
				if stored, err = direct.Get(t.Context(), h); err != nil {
					t.Errorf("Get = %v", err)
					return
				}
				rec = stored
			}
		})
		data := string(finds(t, direct, h, nil).Data)
		for i := range acked {
			switch n := strings.Count(data, fmt.Sprintf("<%d>", i)); {
			case acked[i] && n != 1, n > 1:
				t.Errorf("update %d is there %d times; acknowledged %v, unknown %v", i, n, acked[i], unknown[i])
			}
		}
	})
}

package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// history is what the actors of one interleaving have done to one session. They act one
// at a time, so that it needs no lock.
type history struct {
	t      *testing.T
	handle string
	user   string
	dead   string // what has ended the session, once that has been acknowledged
	saved  []string
	writes uint64 // swaps acknowledged
	login  uint64 // the latest that was acknowledged
	script []string
}

func (h *history) note(format string, args ...any) {
	h.script = append(h.script, fmt.Sprintf(format, args...))
}

func (h *history) broken(format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("%s; so far: %s", fmt.Sprintf(format, args...), strings.Join(h.script, ", "))
}

// saw checks a call that began when the session had ended as dead says, or not.
func (h *history) saw(call, dead string, err error) {
	h.note("%s=%v", call, err)
	switch {
	case dead != "" && err == nil:
		h.broken("%s succeeded after %s", call, dead)
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknownOutcome):
		h.broken("%s = %v", call, err)
	}
}

// read gets the session as a request does that has a secret of the given login.
func (h *history) read(a *actor) (Record, bool) {
	dead := h.dead
	r, err := a.Get(h.t.Context(), h.handle)
	h.saw("get", dead, err)
	return r, err == nil
}

// save swaps until it succeeds, as long as the login is the one it began with.
func (h *history) save(a *actor, r Record, token string, login uint64) {
	mine := r.Login
	for {
		dead, latest := h.dead, h.login
		next := r
		next.Data = append([]byte(nil), r.Data...)
		if token != "" {
			next.Data = append(next.Data, token...)
		}
		next.Login = login
		stored, err := a.Swap(h.t.Context(), h.handle, next, time.Hour)
		h.saw("swap"+token, dead, err)
		if err == nil {
			if latest > mine && token != "" {
				h.broken("a save of login %d succeeded after login %d was acknowledged", mine, latest)
			}
			h.writes++
			h.login = max(h.login, login)
			if token != "" {
				h.saved = append(h.saved, token)
			}
			if stored.Version != r.Version+1 {
				h.broken("swap of version %d stored version %d", r.Version, stored.Version)
			}
			return
		}
		if !errors.Is(err, ErrConflict) || stored.Login != mine {
			return // as the Manager does: the secret of this request is void
		}
		r = stored
	}
}

// roles are what requests do to a session.
var roles = map[string]func(h *history, a *actor, token string){
	"saver": func(h *history, a *actor, token string) {
		if r, ok := h.read(a); ok {
			h.save(a, r, token, r.Login)
		}
	},
	"renewer": func(h *history, a *actor, _ string) {
		if r, ok := h.read(a); ok {
			h.save(a, r, "", r.Login+1)
		}
	},
	"toucher": func(h *history, a *actor, _ string) {
		r, ok := h.read(a)
		if !ok {
			return
		}
		dead, latest := h.dead, h.login
		err := a.Touch(h.t.Context(), h.handle, r, time.Hour)
		h.saw("touch", dead, err)
		if err == nil && latest > r.Login {
			h.broken("a touch of login %d succeeded after login %d was acknowledged", r.Login, latest)
		}
		checked := a.CheckUser(h.t.Context(), h.user, h.handle, r.Deadline)
		h.note("check=%v", checked)
		if errors.Is(err, ErrNotFound) && checked == nil {
			h.note("remove=%v", a.RemoveUser(h.t.Context(), h.user, h.handle))
		}
	},
	"slow reader": func(h *history, a *actor, _ string) { // and writes at the end, from hours ago
		r, ok := h.read(a)
		for range 3 {
			h.read(a)
		}
		if ok {
			dead := h.dead
			h.saw("late touch", dead, a.Touch(h.t.Context(), h.handle, r, time.Hour))
		}
	},
	"destroyer": func(h *history, a *actor, _ string) {
		err := a.Delete(h.t.Context(), h.handle)
		h.note("delete=%v", err)
		h.dead = "Delete"
		h.note("remove=%v", a.RemoveUser(h.t.Context(), h.user, h.handle))
	},
	"revoker": func(h *history, a *actor, _ string) {
		n, err := a.RevokeUser(h.t.Context(), h.user, time.Now().Add(time.Hour))
		h.note("revoke=%d %v", n, err)
		h.dead = "RevokeUser"
	},
}

// TestInterleavings runs requests for one session in random orders of their commands:
// nothing that has ended comes back, and no update is lost.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		schedules := schedules(s, 10_000)
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 1))
		actors := newActors(t, s, 5, Options{})
		names := []string{"saver", "saver", "renewer", "toucher", "slow reader", "destroyer", "revoker"}
		var ended, lasted int
		for n := range schedules {
			h := &history{t: t, user: newHandle(), login: 1}
			h.handle, _ = logsIn(t, actors[0].Redis, h.user)
			var do []func(*actor)
			for i := range 2 + rng.IntN(4) {
				name := names[rng.IntN(len(names))]
				do = append(do, func(a *actor) { roles[name](h, a, fmt.Sprintf("<%d>", i)) })
			}
			run(rng, actors, do, nil)
			h.check(actors[0])
			if h.dead != "" {
				ended++
			} else {
				lasted++
			}
			if t.Failed() {
				t.Fatalf("interleaving %d of seed %d", n, seed)
			}
		}
		if ended < schedules/10 || lasted < schedules/10 {
			t.Errorf("%d sessions ended and %d lasted, want some of both", ended, lasted)
		}
	})
}

// check looks at what is left when all have done what they had to do.
func (h *history) check(a *actor) {
	r, err := a.Get(h.t.Context(), h.handle)
	records, listErr := a.UserRecords(h.t.Context(), h.user)
	if listErr != nil {
		h.broken("UserRecords = %v", listErr)
	}
	if h.dead != "" {
		if !errors.Is(err, ErrNotFound) || len(records) != 0 {
			h.broken("in the end Get = %v and UserRecords has %d, want nothing after %s", err, len(records), h.dead)
		}
		return
	}
	if err != nil || len(records) != 1 {
		h.broken("in the end Get = %v and UserRecords has %d, want the session", err, len(records))
	}
	if want := "x" + strings.Join(h.saved, ""); string(r.Data) != want || r.Version != h.writes+1 || r.Login != h.login {
		h.broken("in the end version %d of login %d with %q, want version %d of login %d with %q", r.Version, r.Login, r.Data, h.writes+1, h.login, want)
	}
}

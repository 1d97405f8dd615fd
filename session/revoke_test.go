package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// logins is what several processes have done to the sessions of one user.
type logins struct {
	t       *testing.T
	user    string
	done    []login
	revokes []revoke
}

type login struct {
	handle string
	since  time.Time
	began  int // how many revocations had been acknowledged at since
	err    error
}

type revoke struct {
	began  time.Time
	except string
}

// login makes a session whose credentials were read at since; between the steps, and the
// reading, others act.
func (l *logins) login(a *actor, since time.Time, began int) {
	h := newHandle()
	r, err := a.Create(l.t.Context(), h, fresh("x"), time.Hour)
	if err != nil {
		l.t.Errorf("Create = %v", err)
		return
	}
	_, err = a.AddUser(l.t.Context(), l.user, h, since, r.Deadline, 0)
	if err != nil && !errors.Is(err, ErrRevoked) {
		l.t.Errorf("AddUser = %v", err)
	}
	l.done = append(l.done, login{h, since, began, err})
}

// acts are what processes do about one user.
var acts = map[string]func(l *logins, a *actor){
	"login": func(l *logins, a *actor) { l.login(a, time.Now(), len(l.revokes)) },
	"login in two steps": func(l *logins, a *actor) {
		since, began := time.Now(), len(l.revokes)
		if _, err := a.Get(l.t.Context(), "the first step"); !errors.Is(err, ErrNotFound) {
			l.t.Errorf("Get = %v", err)
		}
		if _, err := a.Get(l.t.Context(), "the second step"); !errors.Is(err, ErrNotFound) {
			l.t.Errorf("Get = %v", err)
		}
		l.login(a, since, began)
	},
	"revoke": func(l *logins, a *actor) { l.revoke(a, "") },
	"revoke others": func(l *logins, a *actor) {
		for _, d := range l.done {
			if d.err == nil {
				l.revoke(a, d.handle)
				return
			}
		}
	},
	"revoke and login": func(l *logins, a *actor) {
		l.revoke(a, "")
		time.Sleep(time.Microsecond) // at the same time would be too early
		l.login(a, time.Now(), len(l.revokes))
	},
}

func (l *logins) revoke(a *actor, except string) {
	r := revoke{time.Now(), except}
	var spared []string
	if except != "" {
		spared = []string{except}
	}
	if _, err := a.RevokeUser(l.t.Context(), l.user, time.Now().Add(time.Hour), spared...); err != nil {
		l.t.Errorf("RevokeUser = %v", err)
	}
	l.revokes = append(l.revokes, r)
}

// check looks at what is left: every login that began before a revocation did is gone or
// was refused, unless it was excepted by all that came; and one that was not refused and
// came after all is there.
func (l *logins) check(a *actor) (survived, refused int) {
	for _, d := range l.done {
		if d.err != nil {
			refused++
			continue
		}
		doomed, spared := false, false
		for i, r := range l.revokes {
			switch {
			case r.except == d.handle:
				spared = true
			case i >= d.began && !d.since.After(r.began):
				doomed = true
			}
		}
		_, err := a.Get(l.t.Context(), d.handle)
		checked := a.CheckUser(l.t.Context(), l.user, d.handle, time.Now().Add(time.Hour))
		if err == nil {
			survived++
		}
		if doomed && (!errors.Is(err, ErrNotFound) || !errors.Is(checked, ErrRevoked)) {
			l.t.Errorf("a login survived: Get = %v, CheckUser = %v, with %d revocations", err, checked, len(l.revokes))
		}
		if spared && !doomed && len(l.revokes) == 1 && (err != nil || checked != nil) {
			l.t.Errorf("an exception did not: Get = %v, CheckUser = %v", err, checked)
		}
		if len(l.revokes) == d.began && (err != nil || checked != nil) {
			l.t.Errorf("a login after all revocations did not: Get = %v, CheckUser = %v", err, checked)
		}
	}
	return survived, refused
}

// raceLogins runs logins and revocations of a user in random orders of their commands;
// tick lets time pass between these.
func raceLogins(t *testing.T, actors []*actor, schedules int, tick func(rng *rand.Rand)) {
	t.Helper()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	names := []string{"login", "login", "login in two steps", "revoke", "revoke others", "revoke and login"}
	var survived, refused int
	for n := range schedules {
		l := &logins{t: t, user: newHandle()}
		var do []func(*actor)
		var chosen []string
		for range 1 + rng.IntN(len(actors)) {
			name := names[rng.IntN(len(names))]
			chosen = append(chosen, name)
			do = append(do, func(a *actor) { acts[name](l, a) })
		}
		run(rng, actors, do, func(waiting []*passage) int {
			tick(rng)
			return rng.IntN(len(waiting))
		})
		s, r := l.check(actors[0])
		survived, refused = survived+s, refused+r
		// Who reads the credentials anew when RevokeUser has returned gets in, at once in
		// the process that revoked and after a moment in others.
		if slices.Equal(chosen, []string{"revoke and login"}) && (len(l.done) != 1 || l.done[0].err != nil) {
			t.Errorf("a login after the revocation of the same process: %+v", l.done)
		}
		if t.Failed() {
			t.Fatalf("interleaving %d of seed %d: %v", n, seed, chosen)
		}
	}
	if survived == 0 || refused == 0 {
		t.Errorf("%d logins survived and %d were refused, want some of both", survived, refused)
	}
}

func TestLoginsRacingRevocations(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		raceLogins(t, newActors(t, s, 4, Options{}), schedules(s, 5_000), func(*rand.Rand) {})
	})
}

// The clocks of the clients are hours off in either direction, by which nothing changes.
func TestLoginsRacingRevocationsWithClocksOff(t *testing.T) {
	schedules := 100
	if redistest.IsLong() {
		schedules = 1_000
	}
	for _, off := range []time.Duration{-7 * time.Hour, 0, 7 * time.Hour, 30 * 24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				pass := func(d time.Duration) {
					time.Sleep(d)
					s.Mini().SetTime(time.Now().Add(-off))
				}
				pass(1)
				raceLogins(t, newActors(t, s, 4, Options{}), schedules, func(rng *rand.Rand) {
					pass(time.Duration(rng.IntN(2_000)) * time.Microsecond)
				})
			})
		})
	}
}

// What a record says of times is true in a process whose clock is hours off, and it ends
// when it should.
func TestClocksOff(t *testing.T) {
	for _, off := range []time.Duration{-7 * time.Hour, 7 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				pass := func(d time.Duration) {
					time.Sleep(d)
					s.Mini().SetTime(time.Now().Add(-off))
				}
				pass(1)
				prefix := redistest.Prefix(t)
				r := newStore(t, s.Client(t), Options{Prefix: prefix})
				h := newHandle()
				deadline := time.Now().Add(time.Hour)
				_, err := r.Create(t.Context(), h, Record{Login: 1, Deadline: deadline}, 30*time.Minute)
				wants(t, "Create", err, nil)
				created := time.Now()
				about := func(what string, got, want time.Time) {
					t.Helper()
					if d := got.Sub(want); d.Abs() > 10*time.Millisecond || d > 0 && what == "Deadline" {
						t.Errorf("%s is off by %v", what, d)
					}
				}
				pass(20 * time.Minute)
				for range 2 { // with a script and a GET
					rec := finds(t, newStore(t, s.Client(t), Options{Prefix: prefix}), h, nil)
					about("Deadline", rec.Deadline, deadline)
					about("Seen", rec.Seen, created)
					rec = finds(t, r, h, nil)
					about("Deadline", rec.Deadline, deadline)
				}
				wants(t, "Touch", r.Touch(t.Context(), h, Record{Login: 1}, 2*time.Hour), nil)
				pass(39 * time.Minute)
				about("Seen", finds(t, r, h, nil).Seen, created.Add(20*time.Minute))
				pass(time.Minute + time.Second)
				finds(t, r, h, ErrNotFound)
			})
		})
	}
}

// A process dies when it has revoked a user and has not deleted the records yet: they
// are marked, and whoever revokes again deletes them.
func TestRevokeUserCrash(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newStore(t, rdb, Options{Timeout: 300 * time.Millisecond})
		other := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
		user := newHandle()
		spared, rec := logsIn(t, other, user)
		var left []string
		for range 3 {
			h, _ := logsIn(t, other, user)
			left = append(left, h)
		}
		redistest.Eventually(t, "the connection is there", func() bool { return r.CheckUser(t.Context(), user, spared, rec.Deadline) == nil })
		rdb.AddHook(dying{"unlink"})
		_, err := r.RevokeUser(t.Context(), user, rec.Deadline, spared)
		wants(t, "RevokeUser in a process that dies", err, ErrUnavailable)
		for _, h := range left {
			finds(t, other, h, nil)
			wants(t, "CheckUser", other.CheckUser(t.Context(), user, h, rec.Deadline), ErrRevoked)
		}
		wants(t, "CheckUser of the exception", other.CheckUser(t.Context(), user, spared, rec.Deadline), nil)
		if got, err := other.UserRecords(t.Context(), user); err != nil || len(got) != 1 {
			t.Errorf("UserRecords = %d, %v, want the exception", len(got), err)
		}
		after, _ := logsIn(t, other, user)
		n, err := other.RevokeUser(t.Context(), user, rec.Deadline, spared, after, left[0])
		if err != nil || n != len(left) {
			t.Errorf("RevokeUser again = %d, %v, want %d", n, err, len(left))
		}
		for _, h := range left {
			finds(t, other, h, ErrNotFound)
		}
		finds(t, other, spared, nil)
		finds(t, other, after, nil)
	})
}

// The list of a user is lost, by eviction, before or after a revocation.
func TestListLost(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		lose := func(user string) {
			if n := s.Do(t, "unlink", r.o.keys.Key("u", user)); n != int64(1) {
				t.Errorf("UNLINK of the list = %v, want 1", n)
			}
		}
		user := newHandle()
		seen, rec := logsIn(t, r, user)
		unseen, _ := logsIn(t, r, user)
		current, _ := logsIn(t, r, user)
		lose(user)
		wants(t, "CheckUser when the list is lost", r.CheckUser(t.Context(), user, seen, rec.Deadline), nil)
		n, err := r.RevokeUser(t.Context(), user, rec.Deadline, current)
		if err != nil || n != 1 {
			t.Errorf("RevokeUser = %d, %v, want the one that was seen again", n, err)
		}
		finds(t, r, seen, ErrNotFound)
		finds(t, r, unseen, nil) // until it is touched:
		wants(t, "CheckUser of one that was not", r.CheckUser(t.Context(), user, unseen, rec.Deadline), ErrRevoked)
		wants(t, "CheckUser of the exception", r.CheckUser(t.Context(), user, current, rec.Deadline), nil)

		lose(user)
		wants(t, "CheckUser of the exception when the list is lost", r.CheckUser(t.Context(), user, current, rec.Deadline), nil)
		if got, err := r.UserRecords(t.Context(), user); err != nil || len(got) != 1 {
			t.Errorf("UserRecords = %d, %v, want the exception", len(got), err)
		}
	})
}

// A process dies between the record and the list: nobody has the session, and it
// expires.
func TestCrashBeforeList(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		r := newStore(t, rdb, Options{Timeout: 300 * time.Millisecond})
		user, h := newHandle(), newHandle()
		rec := fresh("x")
		redistest.Eventually(t, "Create works", func() bool {
			h = newHandle()
			_, err := r.Create(t.Context(), h, rec, 500*time.Millisecond)
			return err == nil
		})
		rdb.AddHook(dying{"evalsha"})
		_, err := r.AddUser(t.Context(), user, h, time.Now(), rec.Deadline, 0)
		wants(t, "AddUser in a process that dies", err, ErrUnavailable)
		other := newStore(t, s.Client(t), Options{Prefix: r.o.Prefix})
		if got, err := other.UserRecords(t.Context(), user); err != nil || len(got) != 0 {
			t.Errorf("UserRecords = %d, %v, want none", len(got), err)
		}
		redistest.Eventually(t, "it expires", func() bool { return len(s.Keys(t, r.o.Prefix+":")) == 0 })
	})
}

// When all deadlines have passed no key is left, though nobody cleans up.
func TestNothingRemains(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, some(), func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		knowsScripts(t, s)
		finds(t, r, "warm", ErrNotFound)
		const life = 2 * time.Second
		deadline := time.Now().Add(life)
		ok := func(call string, err error) {
			t.Helper()
			if err != nil && time.Now().Before(deadline) { // a busy machine may be too slow
				t.Errorf("%s = %v", call, err)
			}
		}
		for i := range 4 {
			user := fmt.Sprint("user", i)
			if i > 1 {
				_, err := r.RevokeUser(t.Context(), user, deadline, newHandle())
				wants(t, "RevokeUser", err, nil)
			}
			for range 3 {
				h := newHandle()
				rec, err := r.Create(t.Context(), h, Record{Login: 1, Deadline: deadline}, time.Hour)
				wants(t, "Create", err, nil)
				_, err = r.AddUser(t.Context(), user, h, time.Now().Add(-time.Duration(i)), deadline, 2)
				if !errors.Is(err, ErrRevoked) {
					wants(t, "AddUser", err, nil)
				}
				rec, err = r.Swap(t.Context(), h, rec, time.Hour)
				ok("Swap", err)
				err = r.Touch(t.Context(), h, rec, time.Hour)
				ok("Touch", err)
				if err := r.CheckUser(t.Context(), user, h, deadline); !errors.Is(err, ErrRevoked) {
					wants(t, "CheckUser", err, nil)
				}
			}
			if i == 3 {
				_, err := r.RevokeUser(t.Context(), user, deadline)
				wants(t, "RevokeUser", err, nil)
			}
		}
		all := s.Keys(t, r.o.Prefix+":")
		if len(all) < 4 && time.Now().Before(deadline) {
			t.Errorf("%d keys, want records and lists", len(all))
		}
		start := time.Now()
		redistest.Eventually(t, "no key is left", func() bool { return len(s.Keys(t, r.o.Prefix+":")) == 0 })
		if d := time.Since(start); d > life+overtime+5*time.Second {
			t.Errorf("the last key was gone only %v later", d)
		}
	})
}

// The clock of the server is set back, past a revocation: a login is refused once, not
// until the clock has come so far again.
func TestServerClockSetBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		h, rec := creates(t, r, "x")
		future := time.Now().Add(5 * time.Hour).UnixMicro()
		s.Do(t, "zadd", r.o.keys.Key("u", user), "9e15", fmt.Sprint("r", future))
		s.Do(t, "pexpire", r.o.keys.Key("u", user), 3_600_000)
		_, err := r.AddUser(t.Context(), user, h, time.Now(), rec.Deadline, 0)
		wants(t, "AddUser", err, ErrRevoked)
		time.Sleep(20 * time.Millisecond) // more than a reply takes
		redistest.Eventually(t, "AddUser works", func() bool {
			since := time.Now()
			time.Sleep(time.Millisecond)
			_, err := r.AddUser(t.Context(), user, h, since, rec.Deadline, 0)
			return err == nil
		})
		if ttl, _ := s.Do(t, "pttl", r.o.keys.Key("u", user)).(int64); ttl <= 0 {
			t.Errorf("the list has the TTL %d, want one", ttl)
		}
	})
}

// Revoking all the time does not make the list grow for ever.
func TestMarkedRecordsAreBounded(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		key := r.o.keys.Key("u", user)
		args := []any{"zadd", key}
		for i := range 1500 {
			args = append(args, time.Now().Add(time.Hour+time.Duration(i)*time.Second).UnixMicro(), member(fmt.Sprint(i)))
		}
		s.Do(t, args...)
		kept := "1200"
		_, err := r.RevokeUser(t.Context(), user, time.Now().Add(time.Hour), kept)
		wants(t, "RevokeUser", err, nil)
		if n := s.Do(t, "zcard", key); n != int64(1002) { // and the mark, and the exception
			t.Errorf("the list has %v members, want 1002", n)
		}
		wants(t, "CheckUser of the exception", r.CheckUser(t.Context(), user, kept, time.Now().Add(time.Hour)), nil)
		for _, h := range []string{"0", "1499"} {
			wants(t, "CheckUser", r.CheckUser(t.Context(), user, h, time.Now().Add(time.Hour)), ErrRevoked)
		}
	})
}

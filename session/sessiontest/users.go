package sessiontest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/session"
)

// login makes a record and lists it; its deadline is in so long.
func (s *suite) login(user string, life time.Duration, most int) (h string, evicted []string) {
	s.Helper()
	h = handle()
	r := fresh("x")
	r.Deadline = time.Now().Add(life)
	since := time.Now()
	r = s.create(h, r, hour)
	evicted, err := s.AddUser(s.Context(), user, h, since, r.Deadline, most)
	if err != nil {
		s.stop("AddUser = %v, want no error", err)
	}
	return h, evicted
}

// lists checks which records a user has.
func (s *suite) lists(user, when string, want ...string) {
	s.Helper()
	records, err := s.UserRecords(s.Context(), user)
	s.wants("UserRecords", err, nil)
	for _, h := range want {
		r, ok := records[h]
		if !ok {
			s.broken("UserRecords %s lacks a record", when)
			continue
		}
		s.holds("a record of UserRecords", r, r.Version, r.Login, string(s.get(h).Data), s.get(h).Deadline)
	}
	if len(records) != len(want) {
		s.broken("UserRecords %s returned %d records, want %d", when, len(records), len(want))
	}
}

// revoke revokes a user and checks how many records that deleted.
func (s *suite) revoke(user string, want int, except ...string) {
	s.Helper()
	n, err := s.RevokeUser(s.Context(), user, time.Now().Add(hour), except...)
	s.wants("RevokeUser", err, nil)
	if n != want {
		s.broken("RevokeUser = %d, want %d records", n, want)
	}
}

// check calls CheckUser for a record of an hour.
func (s *suite) check(user, h, when string, want error) {
	s.Helper()
	s.wants("CheckUser "+when, s.CheckUser(s.Context(), user, h, time.Now().Add(hour)), want)
}

var userCases = []testCase{
	{"Users", "A user has the records that AddUser listed and RemoveUser did not take away.", func(s *suite) {
		user, other := handle(), handle()
		s.lists(user, "of nobody")
		a, _ := s.login(user, hour, 0)
		b, _ := s.login(user, hour, 0)
		c, _ := s.login(other, hour, 0)
		s.lists(user, "after two logins", a, b)
		s.lists(other, "of another user", c)
		_, err := s.AddUser(s.Context(), user, a, time.Now(), time.Now().Add(hour), 0)
		s.wants("AddUser again", err, nil)
		s.lists(user, "after AddUser again", a, b)
		s.wants("RemoveUser", s.RemoveUser(s.Context(), user, a, handle()), nil)
		s.wants("RemoveUser again", s.RemoveUser(s.Context(), user, a), nil)
		s.wants("RemoveUser of nothing", s.RemoveUser(s.Context(), user), nil)
		s.lists(user, "after RemoveUser", b)
		s.get(a)
		s.wants("Delete", s.Delete(s.Context(), b), nil)
		s.lists(user, "after Delete")
	}},
	{"UserNames", "Any string but the empty one is a user.", func(s *suite) {
		unique := handle()
		for _, user := range []string{"}", "{", "%", "r", "a:b", "\x00\xff", "user@example.com"} {
			user += unique
			h, _ := s.login(user, hour, 0)
			s.lists(user, "of "+strconv.Quote(user), h)
		}
		_, err := s.AddUser(s.Context(), "", handle(), time.Now(), time.Now().Add(hour), 0)
		s.fails("AddUser of nobody", err)
		s.fails("CheckUser of nobody", s.CheckUser(s.Context(), "", handle(), time.Now().Add(hour)))
		s.fails("RemoveUser of nobody", s.RemoveUser(s.Context(), "", handle()))
		_, err = s.UserRecords(s.Context(), "")
		s.fails("UserRecords of nobody", err)
		_, err = s.RevokeUser(s.Context(), "", time.Now().Add(hour))
		s.fails("RevokeUser of nobody", err)
	}},
	{"UserExpired", "A record that has expired is not one of the user's.", func(s *suite) {
		user, h := handle(), handle()
		r := s.create(h, fresh("x"), 100*time.Millisecond)
		_, err := s.AddUser(s.Context(), user, h, time.Now(), r.Deadline, 0)
		s.wants("AddUser", err, nil)
		s.vanishes(h, "after its ttl")
		s.lists(user, "after that")
		s.revoke(user, 0)
	}},
	{"RevokeUser", "RevokeUser deletes the user's records, and no others.", func(s *suite) {
		user, other := handle(), handle()
		s.revoke(user, 0)
		a, _ := s.login(user, hour, 0)
		b, _ := s.login(user, hour, 0)
		c, _ := s.login(other, hour, 0)
		s.revoke(user, 2)
		s.absent(a, "after RevokeUser")
		s.absent(b, "after RevokeUser")
		s.lists(user, "after RevokeUser")
		s.check(user, a, "of a record that was revoked", session.ErrRevoked)
		s.get(c)
		s.check(other, c, "of another user's", nil)
		s.revoke(user, 0)
		d, _ := s.login(user, hour, 0)
		s.check(user, d, "of a login after RevokeUser", nil)
		s.lists(user, "after a login after RevokeUser", d)
	}},
	{"RevokeUserExcept", "RevokeUser spares the exceptions, for good, also if they were not listed.", func(s *suite) {
		user := handle()
		a, _ := s.login(user, hour, 0)
		b, _ := s.login(user, hour, 0)
		lost := handle()
		s.create(lost, fresh("x"), hour)
		s.revoke(user, 1, a, lost)
		s.absent(b, "after RevokeUser")
		for range 2 {
			s.check(user, a, "of an exception", nil)
			s.check(user, lost, "of an exception that was not listed", nil)
			s.check(user, b, "of a record that was revoked", session.ErrRevoked)
		}
		s.lists(user, "after RevokeUser", a, lost)
		s.revoke(user, 1, lost)
		s.absent(a, "when the exceptions are others")
		s.check(user, a, "when the exceptions are others", session.ErrRevoked)
		s.check(user, lost, "of an exception twice", nil)
		s.revoke(user, 1)
		s.absent(lost, "when there are no exceptions")
		s.revoke(user, 0, b)
		s.check(user, b, "of an exception that had been revoked before", session.ErrRevoked)
	}},
	{"CheckUser", "CheckUser lists a record again whose list was lost, unless the user was revoked.", func(s *suite) {
		user := handle()
		lost, late := handle(), handle()
		s.create(lost, fresh("x"), hour)
		s.create(late, fresh("x"), hour)
		s.check(user, lost, "of a record that is not listed", nil)
		s.lists(user, "after CheckUser", lost)
		s.check(user, lost, "of a record that is listed", nil)
		s.revoke(user, 1)
		s.check(user, late, "of a record that RevokeUser did not find", session.ErrRevoked)
		s.lists(user, "after CheckUser has refused")
		s.wants("CheckUser of an ended record", s.CheckUser(s.Context(), handle(), handle(), time.Now().Add(-hour)), nil)
	}},
	{"LoginBeforeRevoke", "A login whose credentials were read before RevokeUser is refused; one whose were read after it is not.", func(s *suite) {
		user := handle()
		for range 20 {
			before, h := time.Now(), handle()
			r := s.create(h, fresh("x"), hour)
			time.Sleep(time.Millisecond)
			n, err := s.RevokeUser(s.Context(), user, time.Now().Add(hour))
			s.wants("RevokeUser", err, nil)
			_ = n
			for time.Now().Equal(before) { // a coarse clock
				time.Sleep(time.Millisecond)
			}
			after := time.Now()
			_, err = s.AddUser(s.Context(), user, h, before, r.Deadline, 0)
			s.wants("AddUser since before RevokeUser", err, session.ErrRevoked)
			_, err = s.AddUser(s.Context(), user, h, time.Time{}, r.Deadline, 0)
			s.wants("AddUser since nobody knows when", err, session.ErrRevoked)
			s.lists(user, "after a login that was refused")
			_, err = s.AddUser(s.Context(), user, h, after, r.Deadline, 0)
			s.wants("AddUser since after RevokeUser", err, nil)
			s.check(user, h, "after a login", nil)
		}
	}},
	{"LoginRevokeRace", "A login that overlaps RevokeUser does not survive it.", func(s *suite) {
		for range 10 {
			user := handle()
			began := make(chan struct{})
			var revoking atomic.Bool
			type result struct {
				h      string
				before bool // the credentials were read before RevokeUser began
				err    error
			}
			results := make(chan result, 8)
			together(9, func(i int) {
				if i == 8 {
					<-began
					revoking.Store(true)
					if _, err := s.RevokeUser(s.Context(), user, time.Now().Add(hour)); err != nil {
						s.broken("RevokeUser = %v", err)
					}
					return
				}
				since, h := time.Now(), handle()
				before := !revoking.Load()
				r, err := s.Create(s.Context(), h, fresh("x"), hour)
				if i == 0 {
					close(began)
				}
				if err == nil {
					_, err = s.AddUser(s.Context(), user, h, since, r.Deadline, 0)
				}
				results <- result{h, before, err}
			})
			close(results)
			for r := range results {
				switch {
				case errors.Is(r.err, session.ErrRevoked):
				case r.err != nil:
					s.broken("a login = %v, want ErrRevoked or no error", r.err)
				case r.before:
					s.absent(r.h, "of a login that began before RevokeUser and was not refused")
				}
			}
		}
	}},
	{"Most", "With a limit the records whose deadlines come first make room for the new one.", func(s *suite) {
		user := handle()
		late, _ := s.login(user, hour, 2)
		early, _ := s.login(user, 30*time.Minute, 2)
		last, evicted := s.login(user, 10*time.Minute, 2)
		if !slices.Equal(evicted, []string{early}) {
			s.broken("AddUser evicted %d records, want the one whose deadline came first and was listed", len(evicted))
		}
		s.absent(early, "after it was evicted")
		s.lists(user, "after the third login of two", late, last)
		_, err := s.AddUser(s.Context(), user, last, time.Now(), time.Now().Add(hour), 2)
		s.wants("AddUser again", err, nil)
		s.lists(user, "after AddUser again", late, last)
		only, evicted := s.login(user, time.Minute, 1)
		if len(evicted) != 2 {
			s.broken("AddUser with a lower limit evicted %d records, want 2", len(evicted))
		}
		s.lists(user, "with a lower limit", only)
	}},
	{"MostExpired", "Records that expired do not count.", func(s *suite) {
		user := handle()
		a, _ := s.login(user, 30*time.Minute, 2)
		for range 3 {
			h := handle()
			r := s.create(h, fresh("x"), 50*time.Millisecond)
			if _, err := s.AddUser(s.Context(), user, h, time.Now(), r.Deadline, 2); err != nil {
				s.stop("AddUser = %v", err)
			}
			s.vanishes(h, "after its ttl")
		}
		b, evicted := s.login(user, hour, 2)
		if len(evicted) != 0 {
			s.broken("AddUser evicted %d records, want none: only one other is left", len(evicted))
		}
		s.lists(user, "after that", a, b)
	}},
	{"MostRace", "Of logins at the same time no more than the limit remain.", func(s *suite) {
		for range 5 {
			user := handle()
			together(8, func(int) {
				h := handle()
				r, err := s.Create(s.Context(), h, fresh("x"), hour)
				if err == nil {
					_, err = s.AddUser(s.Context(), user, h, time.Now(), r.Deadline, 3)
				}
				s.wants("a login", err, nil)
			})
			records, err := s.UserRecords(s.Context(), user)
			s.wants("UserRecords", err, nil)
			if len(records) > 3 || len(records) == 0 {
				s.broken("%d records remain, want 3 at most", len(records))
			}
		}
	}},
	{"UserContext", "A call whose context has ended returns its error and does nothing.", func(s *suite) {
		user := handle()
		a, _ := s.login(user, hour, 0)
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		deadline := time.Now().Add(hour)
		_, err := s.AddUser(ctx, user, handle(), time.Now(), deadline, 0)
		s.wants("AddUser", err, context.Canceled)
		s.wants("CheckUser", s.CheckUser(ctx, user, a, deadline), context.Canceled)
		s.wants("RemoveUser", s.RemoveUser(ctx, user, a), context.Canceled)
		_, err = s.UserRecords(ctx, user)
		s.wants("UserRecords", err, context.Canceled)
		_, err = s.RevokeUser(ctx, user, deadline)
		s.wants("RevokeUser", err, context.Canceled)
		s.lists(user, "after that", a)
	}},
}

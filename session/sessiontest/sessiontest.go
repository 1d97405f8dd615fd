// Package sessiontest is a suite of tests for implementations of [session.Store]:
//
//	func TestStore(t *testing.T) {
//		sessiontest.Run(t, func(t *testing.T) session.Store { return NewStore(…) })
//	}
//
// It checks what can be seen from outside: the meaning of each method, expiry, and
// writers at the same time. It cannot check what happens when a reply is lost or a
// server stops, which an implementation has to test with faults of its own.
package sessiontest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/session"
)

// Run tests a store. If it is a [session.UserIndex] too, it tests that. newStore is
// called for each of the cases, which run side by side; stores may share what is behind
// them, since each case has handles and users of its own. It takes a few seconds.
func Run(t *testing.T, newStore func(t *testing.T) session.Store) {
	t.Helper()
	cases := append([]testCase(nil), recordCases...)
	if _, ok := newStore(t).(session.UserIndex); ok {
		cases = append(cases, userCases...)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, Store: newStore(t), rule: c.rule}
			s.UserIndex, _ = s.Store.(session.UserIndex)
			c.run(s)
		})
	}
}

// testCase is one rule and how it is tested.
type testCase struct {
	name, rule string
	run        func(s *suite)
}

// suite is a case at work: the test, the store, and what is expected of it.
type suite struct {
	*testing.T
	session.Store
	session.UserIndex
	rule string
}

const (
	hour = time.Hour
	// slack is how far a time may be off that a store translates.
	slack = time.Second
	// patience bounds the wait for something to expire.
	patience = 20 * time.Second
)

// broken reports that the rule of the case is broken.
func (s *suite) broken(format string, args ...any) {
	s.Helper()
	s.Errorf("%s\nthe rule: %s", fmt.Sprintf(format, args...), s.rule)
}

// stop ends a case that cannot go on.
func (s *suite) stop(format string, args ...any) {
	s.Helper()
	s.Fatalf("%s\nthe rule: %s", fmt.Sprintf(format, args...), s.rule)
}

// wants checks an error; nil wants none.
func (s *suite) wants(call string, err, want error) {
	s.Helper()
	if want == nil && err != nil {
		s.broken("%s = %v, want no error", call, err)
	} else if want != nil && !errors.Is(err, want) {
		s.broken("%s = %v, want an error that is %q", call, err, want)
	}
}

// fails checks that there is an error.
func (s *suite) fails(call string, err error) {
	s.Helper()
	if err == nil {
		s.broken("%s = nil, want an error", call)
	}
}

// handle makes a handle, or the name of a user.
func handle() string { return rand.Text() }

// fresh is a record that lives for an hour.
func fresh(data string) session.Record {
	return session.Record{Login: 1, Deadline: time.Now().Add(hour), Data: []byte(data)}
}

// create makes a record that must be new.
func (s *suite) create(h string, r session.Record, ttl time.Duration) session.Record {
	s.Helper()
	got, err := s.Create(s.Context(), h, r, ttl)
	if err != nil {
		s.stop("Create(%q) = %v, want no error", h, err)
	}
	return got
}

// get reads a record that must be there.
func (s *suite) get(h string) session.Record {
	s.Helper()
	r, err := s.Get(s.Context(), h)
	if err != nil {
		s.stop("Get(%q) = %v, want the record", h, err)
	}
	return r
}

// swap replaces a record, which must succeed.
func (s *suite) swap(h string, r session.Record, ttl time.Duration) session.Record {
	s.Helper()
	got, err := s.Swap(s.Context(), h, r, ttl)
	if err != nil {
		s.stop("Swap(%q, version %d) = %v, want no error", h, r.Version, err)
	}
	return got
}

// absent checks that there is no record.
func (s *suite) absent(h, why string) {
	s.Helper()
	_, err := s.Get(s.Context(), h)
	s.wants(fmt.Sprintf("Get(%q) %s", h, why), err, session.ErrNotFound)
}

// vanishes checks that a record expires before long.
func (s *suite) vanishes(h, why string) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, err := s.Get(s.Context(), h)
		if errors.Is(err, session.ErrNotFound) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			s.broken("Get(%q) %s = %v, want ErrNotFound before long", h, why, err)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// holds checks what a record says, and that its deadline and Seen are about right.
func (s *suite) holds(what string, got session.Record, version, login uint64, data string, deadline time.Time) {
	s.Helper()
	if got.Version != version || got.Login != login || string(got.Data) != data {
		s.broken("%s is version %d of login %d with %.60q, want version %d of login %d with %.60q", what, got.Version, got.Login, got.Data, version, login, data)
	}
	if off := got.Deadline.Sub(deadline); off.Abs() > slack {
		s.broken("%s has a deadline that is off by %v", what, off)
	}
	if ago := time.Since(got.Seen); ago < -slack || ago > patience {
		s.broken("%s was seen %v ago, want just now", what, ago)
	}
}

// together runs f n times side by side.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

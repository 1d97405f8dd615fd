package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// What is not a record is an error that says so, stays as it is, and can be deleted.
func TestForeign(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		h, rec := creates(t, r, "data")
		whole, _ := s.Do(t, "get", r.o.keys.Key("s", h)).(string)
		foreign := map[string]func(key string){
			"a hash": func(key string) { s.Do(t, "hset", key, "a", "b") },
			"a list": func(key string) { s.Do(t, "rpush", key, "a") },
		}
		for name, value := range map[string]string{
			"text": "hello", "a long text": strings.Repeat("hello", 50), "another format": "\x02" + whole[1:],
			"a header cut short": whole[:headLen-1], "a byte": "\x01", "a broken deadline": whole[:headDeadline] + "not a number!" + whole[headLen:],
		} {
			foreign[name] = func(key string) { s.Do(t, "set", key, value, "px", 3_600_000) }
		}
		for name, put := range foreign {
			h := newHandle()
			key := r.o.keys.Key("s", h)
			put(key)
			kind := s.Do(t, "type", key)
			rec.Version = 1
			_, err := r.Get(t.Context(), h)
			_, swapErr := r.Swap(t.Context(), h, rec, time.Hour)
			for call, err := range map[string]error{"Get": err, "Swap": swapErr, "Touch": r.Touch(t.Context(), h, rec, time.Hour)} {
				wants(t, call+" of "+name, err, ErrCorrupt)
				if err != nil && (strings.Contains(err.Error(), h) || strings.Contains(err.Error(), "hello")) {
					t.Errorf("%s of %s = %v, which tells too much", call, name, err)
				}
			}
			_, err = r.Create(t.Context(), h, fresh("x"), time.Hour)
			wants(t, "Create over "+name, err, ErrConflict)
			if now := s.Do(t, "type", key); now != kind {
				t.Errorf("%s is now a %v, want it left alone", name, now)
			}
			wants(t, "Delete of "+name, r.Delete(t.Context(), h), nil)
			finds(t, r, h, ErrNotFound)
		}
		if st := r.Stats(); st.Corrupt != uint64(3*len(foreign)) {
			t.Errorf("Stats() = %+v, want %d Corrupt", st, 3*len(foreign))
		}
	})
}

// Something else than a list is under a user's key; and a list has members that are
// nobody's.
func TestForeignList(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		h, rec := creates(t, r, "x")
		s.Do(t, "set", r.o.keys.Key("u", user), "mine")
		for op, f := range everything(r, user, h, rec) {
			if err := f(t.Context()); strings.Contains(op, "User") != errors.Is(err, ErrCorrupt) {
				t.Errorf("%s with a string in place of the list = %v", op, err)
			}
		}
		if got := s.Do(t, "get", r.o.keys.Key("u", user)); got != "mine" {
			t.Errorf("what was in place of the list is now %q", got)
		}

		user = newHandle()
		s.Do(t, "zadd", r.o.keys.Key("u", user), "8e15", "nobody", "8e15", "")
		_, err := r.AddUser(t.Context(), user, h, time.Now(), rec.Deadline, 1)
		wants(t, "AddUser to a list with foreign members", err, nil)
		if got, err := r.UserRecords(t.Context(), user); err != nil || len(got) != 1 {
			t.Errorf("UserRecords with foreign members = %d, %v, want 1", len(got), err)
		}
		if n, err := r.RevokeUser(t.Context(), user, rec.Deadline); err != nil || n != 1 {
			t.Errorf("RevokeUser with foreign members = %d, %v, want 1", n, err)
		}
		finds(t, r, h, ErrNotFound)
	})
}

// A corrupt record does not hide the others of a user.
func TestCorruptAmongOthers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newStore(t, s.Client(t), Options{})
		user := newHandle()
		good, _ := logsIn(t, r, user)
		bad, _ := logsIn(t, r, user)
		s.Do(t, "set", r.o.keys.Key("s", bad), "hello", "px", 3_600_000)
		got, err := r.UserRecords(t.Context(), user)
		if _, ok := got[good]; err != nil || !ok || len(got) != 1 {
			t.Errorf("UserRecords = %d, %v, want the good one", len(got), err)
		}
		if n, err := r.RevokeUser(t.Context(), user, time.Now().Add(time.Hour)); err != nil || n != 2 {
			t.Errorf("RevokeUser = %d, %v, want both", n, err)
		}
		finds(t, r, bad, ErrNotFound)
	})
}

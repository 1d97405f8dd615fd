package session

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestManagerDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o                                    ManagerOptions
		idle, lifetime, touch, renews, grace time.Duration
	}{
		{ManagerOptions{}, 30 * time.Minute, 24 * time.Hour, time.Minute, 0, 0},
		{ManagerOptions{Idle: 5 * time.Minute}, 5 * time.Minute, 24 * time.Hour, 30 * time.Second, 0, 0},
		{ManagerOptions{Idle: -1}, 24 * time.Hour, 24 * time.Hour, time.Minute, 0, 0},
		{ManagerOptions{Lifetime: 10 * time.Minute}, 10 * time.Minute, 10 * time.Minute, time.Minute, 0, 0},
		{ManagerOptions{Idle: time.Hour, Lifetime: 10 * time.Minute}, 10 * time.Minute, 10 * time.Minute, time.Minute, 0, 0},
		{ManagerOptions{TouchEvery: -1, RenewEvery: -1, MaxPerUser: -1}, 30 * time.Minute, 24 * time.Hour, 0, 0, 0},
		{ManagerOptions{RenewEvery: time.Hour}, 30 * time.Minute, 24 * time.Hour, time.Minute, time.Hour, 30 * time.Second},
		{ManagerOptions{RenewEvery: time.Second}, 30 * time.Minute, 24 * time.Hour, time.Minute, time.Second, time.Second},
		{ManagerOptions{RenewEvery: time.Hour, RenewGrace: -1}, 30 * time.Minute, 24 * time.Hour, time.Minute, time.Hour, 0},
	} {
		o := newManager(t, newMemory(t), c.o).o
		if o.Idle != c.idle || o.Lifetime != c.lifetime || o.TouchEvery != c.touch || o.RenewEvery != c.renews || o.RenewGrace != c.grace || o.MaxPerUser != 0 {
			t.Errorf("%+v became %+v", c.o, o)
		}
	}
}

func TestManagerOptionsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    ManagerOptions
		want string
	}{
		{ManagerOptions{Lifetime: -1}, "Lifetime"},
		{ManagerOptions{Lifetime: 400*24*time.Hour + 1}, "Lifetime"},
		{ManagerOptions{TouchEvery: 30 * time.Minute}, "TouchEvery"},
		{ManagerOptions{RenewEvery: time.Hour, RenewGrace: 31 * time.Minute}, "RenewGrace"},
		{ManagerOptions{RenewEvery: time.Minute, RenewGrace: 2 * time.Minute}, "RenewGrace"},
		{ManagerOptions{Keys: [][]byte{nil}}, "Keys[0]"},
		{ManagerOptions{Marshal: json.Marshal}, "Unmarshal"},
		{ManagerOptions{Unmarshal: json.Unmarshal}, "Marshal"},
		{ManagerOptions{Cookie: Cookie{Name: "a b"}}, "Cookie"},
	} {
		if m, err := NewManager[cart](newMemory(t), &c.o); err == nil || !strings.Contains(err.Error(), "ManagerOptions."+c.want) {
			t.Errorf("%+v: %v, %v, want an error about %s", c.o, m, err, c.want)
		}
	}
	if _, err := NewManager[cart](plainStore{newMemory(t)}, &ManagerOptions{MaxPerUser: 1}); err == nil || !strings.Contains(err.Error(), "MaxPerUser") {
		t.Errorf("MaxPerUser without a UserIndex: %v", err)
	}
	if _, err := NewManager[cart](nil, nil); err == nil {
		t.Error("there is a manager without a store")
	}
}

// Another encoding fits as it is, and a T that is no struct does too.
func TestManagerEncoding(t *testing.T) {
	t.Parallel()
	mem := newMemory(t)
	m, err := NewManager[map[string]int](mem, &ManagerOptions{Marshal: json.Marshal, Unmarshal: json.Unmarshal})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, m)
	for range 2 {
		b.visit(func(s *Session[map[string]int]) {
			check(t, s.Update(func(v *map[string]int) error {
				if *v == nil {
					*v = make(map[string]int)
				}
				(*v)["tea"]++
				return nil
			}))
		})
	}
	b.login("alice")
	tok, _ := parseToken(b.cookie)
	rec, err := mem.Get(t.Context(), tok.handle)
	if user, data := b.look(); err != nil || user != "alice" || data["tea"] != 2 || !strings.HasSuffix(string(rec.Data), `{"tea":2}`) {
		t.Errorf("%q has %v, stored as %q, %v", user, data, rec.Data, err)
	}
	// What cannot be encoded is an error where it is put in.
	never, err := NewManager[any](mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	newBrowser(t, never).visit(func(s *Session[any]) {
		if err := s.Update(func(v *any) error { *v = make(chan int); return nil }); err == nil {
			t.Error("a channel can be encoded")
		}
	})
}

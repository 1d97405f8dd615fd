package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/session"
)

var recordCases = []testCase{
	{"Create", "Create stores what it is given as version 1, and Get returns it.", func(s *suite) {
		h, r := handle(), fresh("data")
		r.Version, r.Login, r.Seen = 99, 7, time.Now().Add(-hour) // the version and Seen are the store's
		s.holds("what Create returned", s.create(h, r, hour), 1, 7, "data", r.Deadline)
		s.holds("what Get returned", s.get(h), 1, 7, "data", r.Deadline)
	}},
	{"CreateExists", "Create is not an update: where there is a record it changes nothing and returns ErrConflict.", func(s *suite) {
		h := handle()
		r := s.create(h, fresh("first"), hour)
		_, err := s.Create(s.Context(), h, fresh("second"), 50*time.Millisecond)
		s.wants("a second Create", err, session.ErrConflict)
		time.Sleep(100 * time.Millisecond) // longer than the ttl that must not count
		s.holds("the record", s.get(h), 1, 1, "first", r.Deadline)
	}},
	{"CreateRace", "Of several Creates for one handle exactly one succeeds.", func(s *suite) {
		h := handle()
		var won atomic.Int64
		together(8, func(i int) {
			_, err := s.Create(s.Context(), h, fresh(fmt.Sprint(i)), hour)
			if err == nil {
				won.Add(1)
				return
			}
			s.wants("a Create that lost", err, session.ErrConflict)
		})
		if won.Load() != 1 {
			s.broken("%d Creates succeeded, want 1", won.Load())
		}
	}},
	{"Missing", "Nothing but Create makes a record: the others return ErrNotFound where there is none.", func(s *suite) {
		h := handle()
		s.absent(h, "of what never was")
		_, err := s.Swap(s.Context(), h, fresh("x"), hour)
		s.wants("Swap", err, session.ErrNotFound)
		s.wants("Touch", s.Touch(s.Context(), h, fresh("x"), hour), session.ErrNotFound)
		s.wants("Delete", s.Delete(s.Context(), h), nil)
		s.absent(h, "after Swap, Touch and Delete")
	}},
	{"Swap", "Swap replaces the version that the record was made from, and returns what is stored.", func(s *suite) {
		h := handle()
		first := s.create(h, fresh("first"), hour)
		second := first
		second.Data = []byte("second")
		s.holds("what Swap returned", s.swap(h, second, hour), 2, 1, "second", first.Deadline)
		s.holds("what Get returned", s.get(h), 2, 1, "second", first.Deadline)
	}},
	{"SwapConflict", "Swap of another version than the stored one changes nothing, and returns what is stored with ErrConflict.", func(s *suite) {
		h := handle()
		first := s.create(h, fresh("first"), hour)
		second := first
		second.Data = []byte("second")
		s.swap(h, second, hour)
		for _, version := range []uint64{0, 1, 3, 1 << 63} {
			late := session.Record{Version: version, Login: 5, Deadline: time.Now().Add(2 * hour), Data: []byte("late")}
			current, err := s.Swap(s.Context(), h, late, 50*time.Millisecond)
			s.wants(fmt.Sprintf("Swap of version %d", version), err, session.ErrConflict)
			s.holds("what it returned", current, 2, 1, "second", first.Deadline)
		}
		time.Sleep(100 * time.Millisecond) // longer than the ttl that must not count
		s.holds("the record", s.get(h), 2, 1, "second", first.Deadline)
	}},
	{"SwapRace", "Of several Swaps from one version exactly one succeeds.", func(s *suite) {
		h := handle()
		first := s.create(h, fresh("first"), hour)
		var won atomic.Int64
		together(8, func(i int) {
			r := first
			r.Data = []byte(fmt.Sprint(i))
			_, err := s.Swap(s.Context(), h, r, hour)
			if err == nil {
				won.Add(1)
				return
			}
			s.wants("a Swap that lost", err, session.ErrConflict)
		})
		if got := s.get(h); won.Load() != 1 || got.Version != 2 {
			s.broken("%d Swaps succeeded and the version is %d, want 1 and 2", won.Load(), got.Version)
		}
	}},
	{"SwapDeadline", "The deadline moves only when a Swap changes Login and names another one.", func(s *suite) {
		h := handle()
		r := s.create(h, fresh("x"), hour)
		first, second := r.Deadline, time.Now().Add(2*hour)
		r.Deadline = second
		r = s.swap(h, r, hour)
		s.holds("after a Swap of the same login", r, 2, 1, "x", first)
		r.Login, r.Deadline = 2, time.Time{}
		r = s.swap(h, r, hour)
		s.holds("after a Swap of another login without a deadline", r, 3, 2, "x", first)
		r.Login, r.Deadline = 3, second
		r = s.swap(h, r, hour)
		s.holds("after a Swap of another login with a deadline", r, 4, 3, "x", second)
		s.holds("what Get returned then", s.get(h), 4, 3, "x", second)
		r.Login, r.Deadline = 4, time.Now().Add(50*time.Millisecond)
		s.swap(h, r, hour)
		s.vanishes(h, "after a Swap to an earlier deadline")
	}},
	{"Touch", "Touch moves Seen and the expiry and nothing else.", func(s *suite) {
		h := handle()
		first := s.create(h, fresh("data"), hour)
		time.Sleep(30 * time.Millisecond)
		touch := session.Record{Version: 77, Login: 1, Deadline: time.Now().Add(9 * hour), Data: []byte("not this")}
		s.wants("Touch", s.Touch(s.Context(), h, touch, hour), nil)
		got := s.get(h)
		s.holds("the record", got, 1, 1, "data", first.Deadline)
		if !got.Seen.After(first.Seen) {
			s.broken("Seen is %v, not after %v", got.Seen, first.Seen)
		}
		got.Data = []byte("more")
		s.holds("a Swap after Touch", s.swap(h, got, hour), 2, 1, "more", first.Deadline)
		s.wants("Touch with less ttl", s.Touch(s.Context(), h, touch, 100*time.Millisecond), nil)
		s.vanishes(h, "after a Touch with a ttl of 100 ms")
	}},
	{"TouchOtherLogin", "Touch of another login than the stored one is refused with ErrConflict, and does not keep the record.", func(s *suite) {
		const ttl = 200 * time.Millisecond
		h, began := handle(), time.Now()
		r := s.create(h, fresh("data"), ttl)
		for _, login := range []uint64{0, 2, 1 << 63} {
			r.Login = login
			err := s.Touch(s.Context(), h, r, hour)
			if time.Since(began) >= ttl && errors.Is(err, session.ErrNotFound) {
				break // a slow machine
			}
			s.wants(fmt.Sprintf("Touch of login %d", login), err, session.ErrConflict)
		}
		s.vanishes(h, "after Touches that were refused")
	}},
	{"Expiry", "A record expires when its ttl is over, however short that is.", func(s *suite) {
		for _, ttl := range []time.Duration{1, time.Microsecond, time.Millisecond, 999 * time.Microsecond, 100 * time.Millisecond} {
			h := handle()
			s.create(h, fresh("x"), ttl)
			s.vanishes(h, fmt.Sprintf("with a ttl of %v", ttl))

			h = handle()
			r := s.create(h, fresh("x"), hour)
			s.swap(h, r, ttl)
			s.vanishes(h, fmt.Sprintf("after Swap with a ttl of %v", ttl))

			h = handle()
			r = s.create(h, fresh("x"), hour)
			s.wants("Touch", s.Touch(s.Context(), h, r, ttl), nil)
			s.vanishes(h, fmt.Sprintf("after Touch with a ttl of %v", ttl))
		}
	}},
	{"BadTTL", "A ttl of zero or less is an error and nothing happens.", func(s *suite) {
		h, other := handle(), handle()
		r := s.create(h, fresh("x"), hour)
		for _, ttl := range []time.Duration{0, -1, -hour} {
			_, err := s.Create(s.Context(), other, fresh("x"), ttl)
			s.fails(fmt.Sprintf("Create with a ttl of %v", ttl), err)
			s.absent(other, "after that")
			_, err = s.Swap(s.Context(), h, r, ttl)
			s.fails(fmt.Sprintf("Swap with a ttl of %v", ttl), err)
			s.fails(fmt.Sprintf("Touch with a ttl of %v", ttl), s.Touch(s.Context(), h, r, ttl))
		}
		s.holds("the record", s.get(h), 1, 1, "x", r.Deadline)
	}},
	{"LongTTL", "However long a ttl is, the record expires with its deadline.", func(s *suite) {
		h := handle()
		r := session.Record{Deadline: time.Now().Add(100 * time.Millisecond)}
		s.create(h, r, 1<<63-1)
		s.vanishes(h, "after its deadline")
	}},
	{"Deadline", "No Swap and no Touch keeps a record beyond its deadline.", func(s *suite) {
		h := handle()
		r := s.create(h, session.Record{Login: 1, Deadline: time.Now().Add(200 * time.Millisecond)}, hour)
		for began := time.Now(); ; {
			var err error
			if r, err = s.Swap(s.Context(), h, r, hour); err == nil {
				err = s.Touch(s.Context(), h, r, hour)
			}
			if errors.Is(err, session.ErrNotFound) {
				break
			}
			s.wants("Swap and Touch", err, nil)
			if err != nil || time.Since(began) > patience {
				s.stop("the record is still there %v after it was made", time.Since(began))
			}
			time.Sleep(5 * time.Millisecond)
		}
		s.absent(h, "after its deadline")

		touched, swapped := handle(), handle()
		short := func() session.Record {
			return session.Record{Login: 1, Deadline: time.Now().Add(200 * time.Millisecond)}
		}
		r = s.create(touched, short(), hour)
		if err := s.Touch(s.Context(), touched, r, hour); !errors.Is(err, session.ErrNotFound) {
			s.wants("Touch", err, nil)
		}
		r = s.create(swapped, short(), hour)
		if _, err := s.Swap(s.Context(), swapped, r, hour); !errors.Is(err, session.ErrNotFound) {
			s.wants("Swap", err, nil)
		}
		s.vanishes(touched, "after a Touch with a long ttl, when its deadline has passed") // by itself
		s.vanishes(swapped, "after a Swap with a long ttl, when its deadline has passed")
	}},
	{"BadDeadline", "A record must have a deadline; one that has passed ends it at once.", func(s *suite) {
		h := handle()
		_, err := s.Create(s.Context(), h, session.Record{}, hour)
		s.fails("Create without a deadline", err)
		s.absent(h, "after that")
		if _, err := s.Create(s.Context(), h, session.Record{Deadline: time.Now().Add(-hour)}, hour); err == nil {
			s.vanishes(h, "with a deadline that has passed")
		}
		s.absent(h, "with a deadline that has passed")
	}},
	{"Delete", "What Delete has removed stays away, whatever comes late.", func(s *suite) {
		var handles []string
		var records []session.Record
		for range 3 {
			h := handle()
			handles, records = append(handles, h), append(records, s.create(h, fresh("x"), hour))
		}
		kept := handle()
		s.create(kept, fresh("kept"), hour)
		s.wants("Delete of three records and one that is missing", s.Delete(s.Context(), append(handles, handle())...), nil)
		for i, h := range handles {
			s.absent(h, "after Delete")
			_, err := s.Swap(s.Context(), h, records[i], hour)
			s.wants("a late Swap", err, session.ErrNotFound)
			s.wants("a late Touch", s.Touch(s.Context(), h, records[i], hour), session.ErrNotFound)
			s.absent(h, "after a late Swap and a late Touch")
		}
		s.wants("Delete again", s.Delete(s.Context(), handles...), nil)
		s.wants("Delete of nothing", s.Delete(s.Context()), nil)
		s.get(kept)
	}},
	{"Handles", "Any string is a handle, and no two are the same.", func(s *suite) {
		unique := handle()
		for i, h := range []string{"", "}", "{", "{}", "%", "%}", "}x{y}", ":", "a b", "\x00\xff\r\n", strings.Repeat("long", 300)} {
			h += unique
			s.create(h, fresh(fmt.Sprint(i)), hour)
			defer func() {
				if got := s.get(h); string(got.Data) != fmt.Sprint(i) {
					s.broken("Get(%.20q) = %q, want %d", h, got.Data, i)
				}
			}()
		}
	}},
	{"Data", "Data may be any bytes, and is shared with nobody.", func(s *suite) {
		for _, data := range []string{"", "\x00", "\xff\r\n$5", strings.Repeat("\x01big", 1<<16)} {
			h := handle()
			given := []byte(data)
			r := s.create(h, session.Record{Deadline: time.Now().Add(hour), Data: given}, hour)
			clear(given)
			one, two := s.get(h), s.get(h)
			if string(one.Data) != data {
				s.broken("Get returned %.20q, want %.20q", one.Data, data)
			}
			clear(one.Data)
			if string(two.Data) != data || string(s.get(h).Data) != data {
				s.broken("Data is shared: %.20q was cleared in one record and is %.20q in another", data, two.Data)
			}
			given = []byte(data)
			r.Data = given
			s.swap(h, r, hour)
			clear(given)
			r.Version = 0
			current, err := s.Swap(s.Context(), h, r, hour)
			s.wants("Swap of another version", err, session.ErrConflict)
			if string(current.Data) != data {
				s.broken("Swap returned %.20q with ErrConflict, want %.20q", current.Data, data)
			}
		}
	}},
	{"Writers", "No update is lost: 16 writers that swap 25 times each, and begin anew after a conflict, leave 400 updates.", func(s *suite) {
		h := handle()
		s.create(h, fresh(""), hour)
		together(16, func(i int) {
			r := s.get(h)
			for n := 0; n < 25; {
				mine := r
				mine.Data = append(append([]byte(nil), r.Data...), byte('a'+i))
				stored, err := s.Swap(s.Context(), h, mine, hour)
				r = stored
				if err == nil {
					n++
				} else if !errors.Is(err, session.ErrConflict) {
					s.broken("Swap = %v, want ErrConflict or no error", err)
					return
				}
			}
		})
		got := s.get(h)
		if got.Version != 401 || len(got.Data) != 400 {
			s.broken("version %d with %d updates, want 401 with 400", got.Version, len(got.Data))
		}
		for i := range 16 {
			if n := strings.Count(string(got.Data), string(rune('a'+i))); n != 25 {
				s.broken("writer %d has left %d updates, want 25", i, n)
			}
		}
	}},
	{"TouchesBesideSwaps", "A Touch at the same time costs no update and makes no conflict.", func(s *suite) {
		h := handle()
		r := s.create(h, fresh(""), hour)
		ctx, stop := context.WithCancel(s.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				s.wants("Touch", s.Touch(s.Context(), h, r, hour), nil)
			}
		}()
		for n := range 50 {
			r := s.get(h)
			r.Data = append(r.Data, 'x')
			if got := s.swap(h, r, hour); got.Version != uint64(n+2) || len(got.Data) != n+1 {
				s.broken("after %d Swaps: version %d with %d updates", n+1, got.Version, len(got.Data))
			}
		}
		stop()
		<-done
	}},
	{"Context", "A call whose context has ended returns its error and does nothing.", func(s *suite) {
		h, other := handle(), handle()
		r := s.create(h, fresh("x"), hour)
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		_, err := s.Get(ctx, h)
		s.wants("Get", err, context.Canceled)
		_, err = s.Create(ctx, other, r, hour)
		s.wants("Create", err, context.Canceled)
		_, err = s.Swap(ctx, h, r, hour)
		s.wants("Swap", err, context.Canceled)
		s.wants("Touch", s.Touch(ctx, h, r, 1), context.Canceled)
		s.wants("Delete", s.Delete(ctx, h), context.Canceled)
		s.absent(other, "after a Create whose context had ended")
		s.holds("the record", s.get(h), 1, 1, "x", r.Deadline)
	}},
}

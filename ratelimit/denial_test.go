package ratelimit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A denial is answered without Redis until its request would be allowed, and what it
// says stays true meanwhile.
func TestDenialsAreRemembered(t *testing.T) {
	for name, limit := range map[string]Limit{
		"bucket": PerSecond(7),
		"log":    {Quota: 7, Period: 300 * time.Millisecond, Algorithm: SlidingLog},
		"fixed":  {Quota: 7, Period: 400 * time.Millisecond, Algorithm: FixedWindow},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				rdb := s.Client(t)
				r := newLimiter(t, rdb, limit, Options{Prefix: "p"})
				truth := newLimiter(t, s.Client(t), limit, bare(Options{Prefix: "p"}))
				counter := redistest.Count(t, rdb)
				allows(t, r, "k", 6, true)
				first := allows(t, r, "k", 2, false)
				counter.Reset()
				for d := first.RetryAfter; d > 0; d = first.RetryAfter / 3 * 2 {
					got := allows(t, r, "k", 2, false)
					if want := allows(t, truth, "k", 2, false); got != want {
						t.Errorf("remembered is %+v, want what Redis says: %+v", got, want)
					}
					time.Sleep(first.RetryAfter / 3)
					first.RetryAfter -= first.RetryAfter / 3
					if first.RetryAfter < 10*time.Microsecond {
						time.Sleep(first.RetryAfter)
						break
					}
				}
				if n := counter.RoundTrips(); n != 0 {
					t.Errorf("denials cost %d round trips, want none", n)
				}
				if st := r.Stats(); st.Remembered == 0 || st.Remembered != st.Denied-1 {
					t.Errorf("Stats() = %+v, want all Denied but one Remembered", st)
				}
				allows(t, r, "k", 2, true)
			})
		})
	}
}

// Another cost, another key and other limits are another question.
func TestDenialsOfOthers(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		type plan struct{}
		r := newLimiter(t, s.Client(t), PerSecond(5), Options{LimitFor: func(ctx context.Context, _ string) ([]Limit, error) {
			if ctx.Value(plan{}) != nil {
				return []Limit{PerSecond(50)}, nil
			}
			return nil, nil
		}})
		allows(t, r, "k", 3, true)
		for range 2 {
			for n := 3; n <= 5; n++ {
				allows(t, r, "k", n, false)
			}
		}
		if n := r.Stats().Remembered; n != 3 {
			t.Errorf("%d denials were remembered, want 3", n)
		}
		allows(t, r, "k", 1, true)
		allows(t, r, "other", 5, true)
		if got, err := r.AllowN(context.WithValue(t.Context(), plan{}, 1), "k", 5); err != nil || !got.Allowed {
			t.Errorf("AllowN with other limits = %+v, %v", got, err)
		}
	})
}

// A Refund or Reset is seen at once in the process, and after a second in others.
func TestDenialsAndReset(t *testing.T) {
	for name, free := range map[string]func(r *Redis) error{
		"Refund": func(r *Redis) error { return r.Refund(context.Background(), "k", 5) },
		"Reset":  func(r *Redis) error { return r.Reset(context.Background(), "k") },
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
				a := newLimiter(t, s.Client(t), PerHour(5), Options{Prefix: "p"})
				b := newLimiter(t, s.Client(t), PerHour(5), Options{Prefix: "p"})
				allows(t, a, "k", 5, true)
				allows(t, a, "k", 1, false)
				allows(t, b, "k", 1, false)
				if err := free(a); err != nil {
					t.Fatal(err)
				}
				allows(t, a, "k", 1, true)
				time.Sleep(time.Second - time.Microsecond)
				allows(t, b, "k", 1, false)
				if n := b.Stats().Remembered; n != 1 {
					t.Errorf("%d denials were remembered, want 1", n)
				}
				time.Sleep(time.Microsecond)
				allows(t, b, "k", 1, true)
			})
		})
	}
}

// A denial that is on its way while the key is reset is not remembered.
func TestDenialOvertakenByReset(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		decided, arrive := make(chan struct{}), make(chan struct{})
		hold := false
		rdb.AddHook(meddle(func(cmd redis.Cmder, send func() error) error {
			err := send()
			if hold && cmd.Name() == "evalsha" {
				hold = false
				close(decided)
				<-arrive
			}
			return err
		}))
		r := newLimiter(t, rdb, PerHour(5), Options{})
		allows(t, r, "k", 5, true)
		hold = true
		done := make(chan Result)
		go func() {
			got, _ := r.AllowN(context.Background(), "k", 2)
			done <- got
		}()
		<-decided
		if err := r.Reset(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		close(arrive)
		if got := <-done; got.Allowed {
			t.Errorf("AllowN before the Reset = %+v, want a denial", got)
		}
		allows(t, r, "k", 2, true)
	})
}

// meddle is a hook around every command that is sent.
type meddle func(cmd redis.Cmder, send func() error) error

func (m meddle) DialHook(next redis.DialHook) redis.DialHook { return next }
func (m meddle) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (m meddle) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return m(cmd, func() error { return next(ctx, cmd) })
	}
}

// A remembered denial counts from when it was sent: a slow reply does not make it
// longer.
func TestDenialCountsFromSend(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		r := newLimiter(t, p.Client(t), PerSecond(10), Options{})
		allows(t, r, "k", 10, true)
		p.Delay(20 * time.Millisecond)
		start := time.Now()
		got := allows(t, r, "k", 1, false) // decided 20 ms after start, when 80 ms were left
		if got.RetryAfter != 80*time.Millisecond || time.Since(start) != 40*time.Millisecond {
			t.Fatalf("AllowN = %+v after %v", got, time.Since(start))
		}
		p.Delay(0)
		time.Sleep(time.Until(start.Add(80*time.Millisecond - time.Microsecond)))
		allows(t, r, "k", 1, false)
		if n := r.Stats().Remembered; n != 1 {
			t.Errorf("%d denials were remembered, want 1", n)
		}
		time.Sleep(time.Microsecond)
		got = allows(t, r, "k", 1, false) // 20 ms early, but not because it was remembered
		if n := r.Stats().Remembered; n != 1 || got.RetryAfter != 20*time.Millisecond {
			t.Errorf("%d denials were remembered, want 1; %+v", n, got)
		}
	})
}

// However many keys are denied, few are remembered.
func TestDenialsAreBounded(t *testing.T) {
	t.Parallel()
	p, err := newPlan("test", []Limit{PerSecond(5)})
	if err != nil {
		t.Fatal(err)
	}
	d := newDenials(160)
	at := []standing{{room: 0, retry: 1_000_000, reset: 2_000_000}}
	for i := range 20_000 {
		key := fmt.Sprint(i % 5000)
		d.add(p, key, int64(i%7), d.now(key), at)
		if i%11 == 0 {
			d.forget(fmt.Sprint(i % 300))
		}
	}
	for i := range d.shards {
		s := &d.shards[i]
		n := 0
		for _, e := range s.keys {
			for ; e != nil; e = e.next {
				n++
			}
		}
		if n != s.n || n > d.size+maxCosts {
			t.Errorf("a shard has %d entries and counts %d, want at most %d", n, s.n, d.size)
		}
	}
}

// A denial that is remembered costs no allocation.
func TestDenialAllocates(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		r := newLimiter(t, s.Client(t), PerHour(5), Options{Also: []Limit{{Quota: 9, Period: 3 * time.Hour, Algorithm: FixedWindow}}})
		allows(t, r, "k", 5, true)
		allows(t, r, "k", 1, false)
		ctx := t.Context()
		if n := testing.AllocsPerRun(100, func() { _, _ = r.Allow(ctx, "k") }); n != 0 {
			t.Errorf("a remembered denial makes %v allocations, want none", n)
		}
	})
}

// A denial whose reply took its time is not told as if it had been told when it was
// asked for: a retry after RetryAfter passes.
func TestDenialSaysFromReply(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		p := s.Proxy(t)
		limit := Limit{Quota: 1, Period: 800 * time.Millisecond}
		r := newLimiter(t, p.Client(t), limit, Options{})
		direct := newLimiter(t, s.Client(t), limit, bare(Options{Prefix: r.o.Prefix}))
		allows(t, r, "another", 1, true)
		allows(t, direct, "k", 1, true)
		p.Delay(100 * time.Millisecond)
		allows(t, r, "k", 1, false)
		p.Delay(0)
		got := allows(t, r, "k", 1, false)
		if n := r.Stats().Remembered; n != 1 {
			t.Fatalf("Stats().Remembered = %d, want 1", n)
		}
		time.Sleep(got.RetryAfter)
		allows(t, direct, "k", 1, true)
	})
}

// A remembered denial knows that the window of one of the limits has ended since.
func TestDenialOutlivesWindow(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour))) // a window begins
		r := newLimiter(t, s.Client(t), Limit{Quota: 10, Period: 500 * time.Millisecond, Algorithm: FixedWindow},
			Options{Also: []Limit{{Name: "long", Quota: 11, Period: time.Hour, Algorithm: FixedWindow}}})
		allows(t, r, "k", 8, true)
		if got := allows(t, r, "k", 5, false); got.Remaining != 2 {
			t.Errorf("Remaining = %d, want 2", got.Remaining)
		}
		time.Sleep(600 * time.Millisecond)
		if got := allows(t, r, "k", 5, false); got.Remaining != 3 || r.Stats().Remembered != 1 {
			t.Errorf("Remaining = %d, %d remembered, want the 3 of the hour, 1", got.Remaining, r.Stats().Remembered)
		}
	})
}

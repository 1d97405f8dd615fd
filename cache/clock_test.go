package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A process that only reads hits notices within half a minute that the server's
// clock was set.
func TestServerClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := redistest.Mini(t)
		c, err := New(s.Client(t), &Options{TTL: time.Hour, StaleFor: time.Hour, Jitter: -1, EarlyRefresh: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		get := func() {
			t.Helper()
			_, err := c.GetOrLoad(ctx, "k", func(context.Context) ([]byte, error) { return []byte("v"), nil })
			if err != nil {
				t.Fatalf("GetOrLoad(k): %v", err)
			}
			synctest.Wait()
		}
		get()
		get()
		if n := c.Stats(); n.Hits != 1 || n.StaleHits != 0 {
			t.Fatalf("after two reads: %+v, want a hit", n)
		}
		s.Mini().SetTime(time.Now().Add(90 * time.Minute)) // also keeps it there
		time.Sleep(31 * time.Second)
		get()
		if n := c.Stats(); n.StaleHits != 1 {
			t.Errorf("31 s after the server's clock was set 90 min ahead: %+v, want a stale hit", n)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // for exec's workers to end
	})
}

// The slot has just moved to a server whose clock is not known: what is stored
// there is not believed.
func TestServerClockUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaches(t, redistest.Mini(t), 1, Options{Prefix: "p"})[0]
		if f, _ := c.judge(&entry{until: time.Now().Add(time.Hour)}, time.Time{}, false); f != expired {
			t.Errorf("judge() = %v, want expired", f)
		}
	})
}

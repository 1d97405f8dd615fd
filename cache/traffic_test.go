package cache

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// traffic is callers of several caches, which stand for processes, who change and
// read some keys while the test does something to Redis. A key's versions go
// up; a read that begins after a change was acknowledged must not be older.
type traffic struct {
	t    *testing.T
	cs   []*Redis
	many []*Cached[string]
	keys []string

	version, acked map[string]*atomic.Int64
	reads, writes  atomic.Int64
	failed         atomic.Int64 // writes
	longest        atomic.Int64 // read
	forgives       bool         // writes may fail
	stop           chan struct{}
	wg             sync.WaitGroup
}

// startTraffic begins, on caches that serve nothing stale. Writes may fail if
// forgives is set; reads never.
func startTraffic(t *testing.T, cs []*Redis, keys []string, forgives bool) *traffic {
	t.Helper()
	f := &traffic{t: t, cs: cs, keys: keys, forgives: forgives, stop: make(chan struct{}),
		version: make(map[string]*atomic.Int64), acked: make(map[string]*atomic.Int64)}
	for _, key := range keys {
		f.version[key], f.acked[key] = new(atomic.Int64), new(atomic.Int64)
	}
	for _, c := range cs {
		m, err := NewCachedMany(c, "t", func(_ context.Context, keys []string) (map[string]string, error) {
			out := make(map[string]string)
			for _, key := range keys {
				out[key] = fmt.Sprint(f.version[key].Load())
			}
			return out, nil
		}, &CachedOptions{
			Marshal:   func(v any) ([]byte, error) { return []byte(v.(string)), nil },
			Unmarshal: func(b []byte, v any) error { *v.(*string) = string(b); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		f.many = append(f.many, m)
	}
	for i, key := range keys {
		f.loop(func(n int) { f.write(key, n+i) })
	}
	for i := range cs {
		f.loop(func(n int) { f.read(i, f.keys[n%len(f.keys)]) })
		f.loop(func(int) { f.readAll(i) })
	}
	return f
}

func (f *traffic) loop(step func(n int)) {
	f.wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-f.stop:
				return
			case <-time.After(500 * time.Microsecond):
			}
			step(n)
		}
	})
}

// write makes what was stored of a key before void, in one of the ways there are.
func (f *traffic) write(key string, n int) {
	ctx, c := context.Background(), f.cs[n%len(f.cs)]
	v := f.version[key].Add(1)
	var err error
	op := [...]string{"Delete", "Set", "Expire", "Hold"}[n%4]
	switch op {
	case "Delete":
		err = c.Delete(ctx, "t:"+key)
	case "Set":
		err = c.Set(ctx, "t:"+key, fmt.Append(nil, v), 0)
	case "Expire":
		err = c.Expire(ctx, "t:"+key)
	case "Hold":
		err = c.Hold(ctx, time.Millisecond, "t:"+key)
	}
	f.writes.Add(1)
	if err == nil {
		f.acked[key].Store(v)
		return
	}
	f.failed.Add(1)
	if !f.forgives {
		f.t.Errorf("%s = %v", op, err)
	}
}

func (f *traffic) read(i int, key string) {
	least, start := f.acked[key].Load(), time.Now()
	v, err := f.many[i].Get(context.Background(), key)
	f.check("Get", key, v, err, least, start)
}

func (f *traffic) readAll(i int) {
	least, start := make([]int64, len(f.keys)), time.Now()
	for j, key := range f.keys {
		least[j] = f.acked[key].Load()
	}
	got, err := f.many[i].GetMany(context.Background(), f.keys)
	for j, key := range f.keys {
		f.check("GetMany", key, got[key], err, least[j], start)
	}
}

func (f *traffic) check(op, key, v string, err error, least int64, start time.Time) {
	f.reads.Add(1)
	if n, bad := strconv.ParseInt(v, 10, 64); err != nil || bad != nil || n < least {
		f.t.Errorf("%s(%q) = %q, %v, want %d or newer", op, key, v, err, least)
	}
	took := int64(time.Since(start))
	for {
		old := f.longest.Load()
		if took <= old || f.longest.CompareAndSwap(old, took) {
			return
		}
	}
}

// flow waits until n more reads and writes were made.
func (f *traffic) flow(n int64) {
	f.t.Helper()
	reads, writes := f.reads.Load()+n, f.writes.Load()+n
	redistest.Eventually(f.t, "traffic flows", func() bool { return f.reads.Load() >= reads && f.writes.Load() >= writes })
}

// end stops the traffic. When all is quiet every cache must have the last
// version, or nothing.
func (f *traffic) end() {
	f.t.Helper()
	close(f.stop)
	f.wg.Wait()
	for _, c := range f.cs {
		settled(f.t, c)
	}
	for i := range f.many {
		for _, key := range f.keys {
			f.read(i, key)
		}
	}
	f.t.Logf("%d reads, the longest took %v; %d writes, %d failed",
		f.reads.Load(), time.Duration(f.longest.Load()), f.writes.Load(), f.failed.Load())
}

// longestAtMost fails the test if a read took more than it should, with a margin
// for a busy machine.
func (f *traffic) longestAtMost(d time.Duration) {
	f.t.Helper()
	if took := time.Duration(f.longest.Load()); took > d+slack {
		f.t.Errorf("a read took %v, want %v at most", took, d)
	}
}

package pubsub

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// TestArrive has a live feed take frames and marks, and compares what its subscription gets.
func TestArrive(t *testing.T) {
	t.Parallel()
	// frame <epoch> <prev> <prevTag> <first> <count> <tag>, or mark <epoch> <n> <tag> <course>
	for _, c := range []struct {
		name, script, want string
	}{
		{"follows", "mark e 3 p:1 x; frame e 3 p:1 4 2 p:2; frame e 5 p:2 6 1 q:3", "4 5 6"},
		{"the first of all", "mark e 0 - x; frame e 0 - 1 1 p:1", "1"},
		{"before the mark", "frame e 3 p:1 4 2 p:2; mark e 5 p:2 x; frame e 5 p:2 6 1 p:3", "6"},
		{"failed before", "mark e 3 p:1 x; frame e 3 p:1 6 1 p:4", "Sequence:2 6"},
		{"lost on the way", "mark e 3 p:1 x; frame e 5 p:2 6 1 p:3", "Sequence:-1 6"},
		{"begun anew", "mark e 3 p:1 x; frame f 0 - 1 1 p:2", "Reset:-1 1"},
		{"gone back", "mark e 3 p:1 x; frame e 1 p:0 2 1 q:2", "Reset:-1 2"},
		{"another past", "mark e 3 p:1 x; frame e 3 q:1 4 1 q:2", "Reset:-1 4"},
		{"repeated after going back", "mark e 3 p:1 x; frame e 3 p:1 4 1 p:2; frame e 3 q:1 4 1 p:2; frame e 4 p:2 5 1 p:3", "4 Reset:-1 5"},
		{"down and up", "mark e 3 p:1 x; frame e 3 p:1 4 1 p:2; down; frame e 5 p:3 6 1 p:4; mark e 9 p:7 x; frame e 9 p:7 10 1 p:8", "4 Reconnect:5 10"},
		{"nothing missed", "mark e 3 p:1 x; down; mark e 3 p:1 y; frame e 3 p:1 4 1 p:2", "4"},
		{"another course", "mark e 3 p:1 x; down; mark e 9 p:7 y", "Reconnect:-1"},
		{"no course known", "mark e 3 p:1 ?; down; mark e 9 p:7 ?", "Reconnect:-1"},
		{"gone back while down", "mark e 3 p:1 x; down; mark e 2 p:0 y", "Reset:-1"},
		{"another past while down", "mark e 3 p:1 x; down; mark e 3 q:1 y", "Reset:-1"},
		{"begun anew while down", "mark e 3 p:1 x; down; mark f 9 p:7 x; frame f 9 p:7 10 1 p:8", "Reset:-1 10"},
		{"a mark finds a hole", "mark e 3 p:1 x; mark e 5 p:2 x; frame e 5 p:2 6 1 p:3", "Sequence:2 6"},
	} {
		s, err := newSettings(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &Redis{base: newBase(s)}
		f := &feed{name: "t", batches: make(batches)}
		var got []string
		o := SubscribeOptions{Buffer: 100, OnGap: func(_ context.Context, g Gap) { got = append(got, fmt.Sprintf("%v:%d", g.Reason, g.Missed)) }}
		sub := newSubscription(context.Background(), r.base, "t", func(_ context.Context, e Event) error {
			got = append(got, fmt.Sprint(e.Seq))
			return nil
		}, o)
		sub.feed = f
		r.running.Enter()
		r.enter(sub)
		tickets := []*ticket{{sub: sub, done: make(chan error, 1)}}
		for _, step := range strings.Split(c.script, "; ") {
			var kind, epoch, prevTag, tag, course string
			var prev, first uint64
			var count int
			switch kind, _, _ = strings.Cut(step, " "); kind {
			case "frame":
				fmt.Sscanf(step, "frame %s %d %s %d %d %s", &epoch, &prev, &prevTag, &first, &count, &tag)
				fr, err := parseFrame(frameOf(fmt.Sprintf("1 %s %d %s %d %d %s -\n", epoch, prev, prevTag, first, count, tag), make([]Event, count)...))
				if err != nil {
					t.Fatal(err)
				}
				f.arrived("t", &fr, r)
			case "mark":
				fmt.Sscanf(step, "mark %s %d %s %s", &epoch, &first, &tag, &course)
				f.marked(position{epoch: epoch, n: first, tag: tagOf(tag)}, course, tickets)
				tickets = nil
			case "down":
				f.down()
			}
		}
		if err := sub.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}

// TestRolledBack puts a topic back to what it was, as a failover to a replica does that had
// not everything.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, whoGoesOn := range []int{0, 1} { // one whose events were lost, and one whose were not
			both(t, func(t *testing.T, o Options) {
				rdb := s.Client(t)
				buses := []*Redis{newBus(t, rdb, o), newBus(t, rdb, o)}
				l := newLoad(t, "topic", []*Redis{newBus(t, s.Client(t), o)}, buses, SubscribeOptions{})
				for range 5 {
					l.publish(1)
					l.publish(0)
				}
				redistest.Eventually(t, "all have arrived", func() bool { return l.balances(false) })
				tenth := l.subs[0].Position()
				keys := []string{buses[0].topicKey("topic")}
				if o.HistoryLen > 0 {
					keys = append(keys, buses[0].historyKey("topic"))
				}
				was := make([]string, len(keys))
				for i, key := range keys {
					was[i] = rdb.Dump(t.Context(), key).Val()
				}
				for range 5 {
					l.publish(0)
				}
				redistest.Eventually(t, "all have arrived", func() bool { return strings.HasPrefix(l.ledgers[0].summary(), "received 15,") })
				for i, key := range keys {
					if err := rdb.RestoreReplace(t.Context(), key, time.Hour, was[i]).Err(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Millisecond) // no failover is so quick that ids go back
				for range 3 {
					l.publish(whoGoesOn)
				}
				l.settle(true)
				led := l.ledgers[0]
				// Those who go on are not those of settle only: each of the 15, the 3 and
				// the last two was received.
				if !led.has(Reset) || led.received < 15+3+2 || led.missed > 0 {
					t.Errorf("%s", led.summary())
				}
				if o.HistoryLen == 0 || whoGoesOn != 0 {
					return
				}
				// Who was away has not seen the five that are lost. Their publisher knows.
				late := &ledger{last: map[string]int{}}
				subscribes(t, buses[1], "topic", late.handle, &SubscribeOptions{After: tenth, OnGap: late.gap})
				redistest.Eventually(t, "the rest is read", func() bool {
					late.mu.Lock()
					defer late.mu.Unlock()
					return late.received >= 3+2
				})
				if !late.has(Reset) {
					t.Errorf("after the tenth event: %s", late.summary())
				}
			})
		}
	})
}

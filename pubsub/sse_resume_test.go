package pubsub_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/pubsub"
)

// connectFor connects like connect, to a connection that breaks after n bytes of the stream.
func (f front) connectFor(t *testing.T, n int64, lastID string, topics ...string) *source {
	t.Helper()
	s := f.connectHeld(t, lastID, topics...)
	s.res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(s.res.Body, n), s.res.Body}
	go s.read()
	return s
}

// resumes has clients whose connections break, wherever they are, and which connect again to
// one of the fronts, until each has every event of the topics; publish publishes them. It
// fails the test if one has an event not at all, twice, or not in order.
func resumes(t *testing.T, fronts []front, clients int, topics []string, events int, publish func(topic, text string)) {
	t.Helper()
	first := make([]string, clients)
	for i := range first {
		s := fronts[i%len(fronts)].connect(t, "", topics...)
		first[i] = s.greeted()
		s.close()
	}
	var publishing sync.WaitGroup
	for _, topic := range topics {
		publishing.Go(func() {
			for i := range events {
				publish(topic, fmt.Sprint(topic, ".", i))
			}
		})
	}
	redistest.Together(clients, func(client int) {
		id := first[client]
		got := make(map[string]int)
		breaks, most := 0, int64(events*len(topics)*60/8) // an event is longer than 60 bytes
		for had := 0; had < events*len(topics); breaks++ {
			f := fronts[rand.IntN(len(fronts))]
			s := f.connectFor(t, rand.Int64N(most), id, topics...)
			redistest.Eventually(t, "the connection breaks, or there is all", func() bool {
				select {
				case <-s.ended:
					return true
				default:
					return had+s.count() >= events*len(topics)
				}
			})
			s.close()
			for _, e := range s.got() {
				topic, number, _ := strings.Cut(e.data, ".")
				if e.name == "gap" || number != fmt.Sprint(got[topic]) {
					t.Errorf("client %d has %s %q after %d of %s (after %q)", client, e.name, e.data, got[topic], topic, id)
					return
				}
				got[topic]++
				had++
			}
			if s.id() != "" {
				id = s.id()
			}
		}
		if breaks < 3 {
			t.Errorf("the connections of client %d broke %d times, which proves nothing", client, breaks)
		}
	})
	publishing.Wait()
}

// TestSSEResume: 0 lost and 0 doubled over broken connections and two instances, from the
// instances' memory and from the history.
func TestSSEResume(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{1, 50, 100_000} {
		for _, topics := range [][]string{{"a"}, {"a", "b", "c"}} {
			t.Run(fmt.Sprint(buffer, topics), func(t *testing.T) {
				bus := memoryBus(t, kept(10_000))
				var fronts []front
				for range 2 {
					fronts = append(fronts, newFront(t, bus, &pubsub.SSEOptions{Buffer: buffer}))
				}
				resumes(t, fronts, 8, topics, 600/len(topics), func(topic, text string) { say(t, bus, topic, text) })
				if got := fronts[0].Stats().Replayed + fronts[1].Stats().Replayed; got == 0 && buffer == 1 {
					t.Error("the history was not read")
				}
			})
		}
	}
}

// TestSSEResumeLive: also without a history a client has what the process still remembers,
// and is told if that is not all.
func TestSSEResumeLive(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, nil)
	f := newFront(t, bus, &pubsub.SSEOptions{Buffer: 5})
	other := newFront(t, bus, &pubsub.SSEOptions{Buffer: 5})
	stays, there := f.connect(t, "", "a"), other.connect(t, "", "a")
	fresh := stays.greeted()
	there.greeted()
	s := f.connect(t, "", "a")
	s.greeted()
	say(t, bus, "a", "1", "2", "3")
	for _, s := range []*source{s, stays, there} {
		s.has("1", "2", "3")
	}
	s.close()
	say(t, bus, "a", "4", "5")
	stays.has("1", "2", "3", "4", "5")
	there.has("1", "2", "3", "4", "5")
	f.connect(t, s.id(), "a").has("4", "5")
	other.connect(t, s.id(), "a").has("4", "5")
	f.connect(t, fresh, "a").has("1", "2", "3", "4", "5")
	say(t, bus, "a", "6", "7", "8", "9")
	stays.has(count(1, 9)...)
	late := f.connect(t, s.id(), "a") // the fourth is not there any more
	late.has("gap:Reconnect:-1")
	say(t, bus, "a", "10")
	late.has("gap:Reconnect:-1", "10")

	f.connect(t, late.id(), "b").greeted() // whose topic is another
	alone := f.connect(t, "", "c")
	id := alone.greeted()
	alone.close()
	redistest.Eventually(t, "the topic is forgotten", func() bool { return f.Stats().Topics == 2 })
	f.connect(t, id, "c").has("gap:Reconnect:-1")
}

// TestSSEStranger: an event that has the number of the client's last one, and is another, is
// not what it goes on after.
func TestSSEStranger(t *testing.T) {
	t.Parallel()
	ids := make([]string, 2)
	fronts := make([]front, 2)
	for i := range fronts {
		bus := memoryBus(t, nil)
		fronts[i] = newFront(t, bus, nil)
		s := fronts[i].connect(t, "", "a")
		s.greeted()
		say(t, bus, "a", "1", "2")
		s.has("1", "2")
		ids[i] = s.got()[0].lastID
	}
	fronts[0].connect(t, ids[0], "a").has("2")
	fronts[0].connect(t, ids[1], "a").has("gap:Reconnect:-1")
}

// TestSSEHandover: a client that reads from the history goes on with what is in memory as soon
// as it is there, and what the history has given it in advance does not come twice.
func TestSSEHandover(t *testing.T) {
	t.Parallel()
	for range 20 {
		bus := memoryBus(t, kept(1000))
		one, other := newFront(t, bus, nil), newFront(t, bus, nil)
		s := one.connect(t, "", "a")
		start := s.greeted()
		say(t, bus, "a", "1")
		stays := other.connect(t, "", "a") // which has 1 in its history only
		stays.greeted()
		say(t, bus, "a", count(2, 49)...)
		stays.has(count(2, 49)...)
		again := other.connect(t, start, "a")
		again.has(count(1, 50)...)
		say(t, bus, "a", "last")
		again.has(append(count(1, 50), "last")...)
		if got := bus.Stats().Subscriptions; got != 2 {
			t.Errorf("there are %d subscriptions, want one for each front", got)
		}
		closes(t, bus)
	}
}

// TestSSETooOld: what is not in the history any more is announced, with the number.
func TestSSETooOld(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, kept(10))
	one, other := newFront(t, bus, &pubsub.SSEOptions{Buffer: 4}), newFront(t, bus, nil)
	s := one.connect(t, "", "a")
	s.greeted()
	say(t, bus, "a", count(1, 5)...)
	s.has(count(1, 5)...)
	s.close()
	say(t, bus, "a", count(6, 95)...)
	want := append([]string{"gap:Trimmed:85"}, count(91, 10)...)
	var late []*source
	for _, f := range []front{one, other} {
		again := f.connect(t, s.id(), "a")
		again.has(want...)
		if e := again.got()[0]; e.name != "gap" || e.data != `{"topic":"a","reason":"Trimmed","missed":85}` {
			t.Errorf("the gap is %q", e)
		}
		late = append(late, again)
	}
	say(t, bus, "a", "more")
	for _, again := range late {
		again.has(append(want, "more")...)
	}
}

// TestSSEBadPosition: what is no position, or one of another history, is a gap and not the
// end.
func TestSSEBadPosition(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, kept(10))
	f := newFront(t, bus, nil)
	s := f.connect(t, "", "a")
	mark, _, _ := strings.Cut(s.greeted(), ":")
	say(t, bus, "a", "1", "2")
	s.has("1", "2")
	many := ""
	for i := range 64 {
		many += fmt.Sprintf("%08d:a.1.,", i)
	}
	for _, id := range []string{
		"x", "17", mark, mark + ":", mark + ":x", mark + ":%", mark + ":~1.ABCDEFGH", "," + mark + ":a.1.", mark + ":a.1.2-3,",
		mark + ":a%0A.1.", many + mark + ":a.1.", strings.Repeat("x", 10_000),
	} {
		s := f.connect(t, id, "a")
		s.has("gap:Reset:-1")
		if got := s.id(); !strings.HasPrefix(got, mark+":") || got == id {
			t.Errorf("after the id %.40q it is told %q", id, got)
		}
		s.close()
	}
	// One of a history that is lost: there is no telling what was missed.
	lost := f.connect(t, mark+":ANOTHEREPOCH.7.1-1", "a")
	lost.has("gap:Reset:-1", "1", "2")
	say(t, bus, "a", "3")
	lost.has("gap:Reset:-1", "1", "2", "3")
	// The id may be in the URL as well, and the header is what counts if both are there.
	id := s.got()[0].lastID
	again := f.connect(t, "", "a&lastEventId="+id)
	again.has("2", "3")
	s.has("1", "2", "3")
	again = f.connect(t, s.id(), "a&lastEventId="+id)
	again.greeted()
	say(t, bus, "a", "4")
	again.has("4")
}

// TestSSEStorm: a thousand clients that lose their connections at once have them again at
// another instance, each with all that it has missed.
func TestSSEStorm(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t, kept(1000))
	storm(t, newFront(t, bus, nil), newFront(t, bus, nil), func(texts ...string) { say(t, bus, "a", texts...) })
}

func storm(t *testing.T, one, other front, publish func(texts ...string)) {
	t.Helper()
	const clients = 1000
	sources := make([]*source, clients)
	redistest.Together(clients, func(i int) { sources[i] = one.connect(t, "", "a") })
	for _, s := range sources {
		s.greeted()
	}
	publish(count(0, 10)...)
	for _, s := range sources {
		s.has(count(0, 10)...)
	}
	for _, s := range sources {
		s.cancel()
	}
	publish(count(10, 10)...)
	again := make([]*source, clients)
	redistest.Together(clients, func(i int) {
		sources[i].close()
		again[i] = other.connect(t, sources[i].id(), "a")
	})
	publish(count(20, 10)...)
	for i, s := range again {
		s.has(count(sources[i].count(), 30-sources[i].count())...) // it may have had some of the others yet
	}
	if got := other.Stats(); got.Connected != clients || got.Resumed != clients || got.Gaps != 0 || got.Topics != 1 {
		t.Errorf("Stats = %+v", got)
	}
}

// FuzzSSEFrame: whatever an event holds, a browser has one event, with the lines of its data.
func FuzzSSEFrame(f *testing.F) {
	f.Add("order.placed", []byte(`{"n":1}`))
	f.Add("a\nevent: b", []byte("\r\n\r\ndata: x\n\rid: 7\r"))
	f.Add("", []byte("\x00\xff: "))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		text := pubsub.SSEFrame(name, data)
		want := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
		var lines, names []string
		ends := 0
		for line := range bytes.SplitSeq(bytes.ReplaceAll(text, []byte("\r"), []byte("\n")), []byte("\n")) {
			field, value, _ := strings.Cut(string(line), ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "data":
				lines = append(lines, value)
			case "event":
				names = append(names, value)
			case "id":
				if value != "ABCDEFGH:1.2.3-4" {
					t.Errorf("the id is %q", value)
				}
			case "":
				ends++
			default:
				t.Errorf("there is a line %q", line)
			}
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the data is %q, want %q", lines, want)
		}
		if len(names) > 1 || len(names) == 0 != (name == "") || len(names) == 1 && len(names[0]) != len(name) && !strings.HasPrefix(name, " ") {
			t.Errorf("the names are %q, of %q", names, name)
		}
		if ends != 2 { // one empty line, and nothing after it
			t.Errorf("%q ends %d times", text, ends)
		}
	})
}

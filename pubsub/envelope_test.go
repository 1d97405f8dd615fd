package pubsub

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sampleEvents() []Event {
	return []Event{
		{ID: "a", Time: time.UnixMicro(0).UTC()},
		{
			ID: "b", Type: "order.placed", Key: "42", ContentType: "application/json", TraceParent: "00-1-2-01",
			Time: time.UnixMicro(1764278264123456).UTC(), Data: []byte(`{"n":1}`),
		},
		{ID: strings.Repeat("x", 31), Type: strings.Repeat("y", 32), Key: strings.Repeat("k", 256), ContentType: strings.Repeat("z", 70_000), Time: time.UnixMicro(-5).UTC(), Data: bytes.Repeat([]byte{0}, 255)},
		{ID: "d", Time: time.UnixMicro(1).UTC(), Data: bytes.Repeat([]byte{7}, 256)},
		{ID: "e", Time: time.UnixMicro(1).UTC(), Data: bytes.Repeat([]byte{7}, 70_000)},
	}
}

// frameOf makes what the publish scripts make.
func frameOf(line string, events ...Event) string {
	b := []byte(line)
	for i := range events {
		b = appendRecord(b, &events[i])
	}
	return string(b)
}

func TestFrame(t *testing.T) {
	t.Parallel()
	want := sampleEvents()
	f, err := parseFrame(frameOf("1 epoch 6 p:1 9 5 q:77 1764278264123-4\n", want...))
	if err != nil {
		t.Fatal(err)
	}
	if f.prev != 6 || f.prevTag != "p:1" || f.skipped() != 2 || f.last() != (position{epoch: "epoch", n: 13, tag: "q:77", id: "1764278264123-8"}) {
		t.Errorf("got %+v", f)
	}
	got := f.events("topic")
	for i, e := range want {
		e.Topic, e.Publisher, e.Seq = "topic", "q", uint64(9+i)
		e.Position = fmt.Sprintf("epoch.%d.1764278264123-%d", e.Seq, 4+i)
		if !reflect.DeepEqual(*got[i], e) {
			t.Errorf("event %d: got %+v, want %+v", i, *got[i], e)
		}
	}
}

// An event costs little more than what is in it.
func TestRecordSize(t *testing.T) {
	t.Parallel()
	for _, e := range sampleEvents() {
		if over := len(appendRecord(nil, &e)) - e.size(); over > recordRoom {
			t.Errorf("%d bytes of overhead, want %d at most", over, recordRoom)
		}
	}
	smallest := appendRecord(nil, &Event{})
	if len(smallest) != minRecord {
		t.Errorf("the smallest record has %d bytes, want %d", len(smallest), minRecord)
	}
}

// A record that is broken costs one event, unless its length is.
func TestBrokenRecords(t *testing.T) {
	t.Parallel()
	one, two := Event{ID: "one"}, Event{ID: "two"}
	broken := appendRecord(nil, &Event{ID: "broken"})
	broken[1] = 0x91 // an array of one
	s := "1 e 0 - 1 3 p:1 -\n" + string(appendRecord(nil, &one)) + string(broken) + string(appendRecord(nil, &two))
	f, err := parseFrame(s)
	if err != nil {
		t.Fatal(err)
	}
	if events := f.events("t"); events[0] == nil || events[1] != nil || events[2] == nil || events[2].ID != "two" || events[2].Seq != 3 {
		t.Errorf("got %v", events)
	}
	f, err = parseFrame(s[:len(s)-1])
	if err != nil {
		t.Fatal(err)
	}
	if events := f.events("t"); events[0] == nil || events[2] != nil {
		t.Errorf("got %v", events)
	}
	for _, line := range []string{
		"", "\n", "1 e 0 - 1 1 p:1 -", "2 e 0 - 1 1 p:1 -\n", "1  0 - 1 1 p:1 -\n", "1 e x - 1 1 p:1 -\n", "1 e 1 - 1 1 p:1 -\n",
		"1 e 0 - 1 0 p:1 -\n", "1 e 0 - 1 99999999 p:1 -\n", "1 e 0 - 1 1 p:1 - -\n", "1 e 0 - 1 1 p:1 x\n", "1 e.f 0 - 1 1 p:1 -\n",
	} {
		if _, err := parseFrame(line + string(appendRecord(nil, &one))); err == nil {
			t.Errorf("parseFrame(%q) = nil error", line)
		}
	}
}

// FuzzFrame decodes anything: what it accepts is as long as it says, and shares nothing.
func FuzzFrame(f *testing.F) {
	f.Add(frameOf("1 epoch 6 p:1 9 5 q:77 1764278264123-4\n", sampleEvents()...))
	f.Add(frameOf("1 e 0 - 1 1 p:1 -\n", Event{}))
	f.Add("1 e 0 - 1 1 p:1 -\n\x12\x97\xdb\xff\xff\xff\xff0000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		fr, err := parseFrame(s)
		if err != nil {
			return
		}
		events := fr.events("t")
		if len(events) != fr.count || fr.first.n <= fr.prev {
			t.Fatalf("%d events of %d, %d after %d", len(events), fr.count, fr.first.n, fr.prev)
		}
		_ = fr.last()
		for i, e := range events {
			if e == nil {
				continue
			}
			if e.Seq != fr.first.n+uint64(i) || e.size() > len(s) {
				t.Fatalf("event %d: %+v", i, e)
			}
			if e.Position != "" {
				if _, err := parsePosition(e.Position); err != nil {
					t.Fatalf("Position %q = %v", e.Position, err)
				}
			}
			again := *e
			if !again.decode(string(appendRecord(nil, e))[len(appendRecord(nil, e))-recordBody(e):]) || again.ID != e.ID {
				t.Fatalf("encoded again: %+v, want %+v", again, *e)
			}
		}
	})
}

// recordBody is the length of a record without its length.
func recordBody(e *Event) int {
	record := appendRecord(nil, e)
	body, _, _ := cutRecord(string(record))
	return len(body)
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"e.1.1-1", "e.0.", "e.1.1", "..", "e.01.1-1", "e.1.01-1", "e.1.-", "18446744073709551615.1.18446744073709551615-18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePosition(s)
		if err != nil {
			if err != ErrPosition {
				t.Fatalf("parsePosition(%q) = %v", s, err)
			}
			return
		}
		again, err := parsePosition(p.String())
		if err != nil || again != p {
			t.Fatalf("parsePosition(%q) = %+v, and again %+v, %v", s, p, again, err)
		}
	})
}

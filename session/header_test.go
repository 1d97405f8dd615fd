package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	want := header{version: 1<<63 + 2, login: 3, write: newWriteID(), seen: 1_795_000_000_123, deadline: 1_795_000_900_456}
	stored := want.start() + fmt.Sprintf("%013d%013d", want.seen, want.deadline) + "data"
	got, ok := parseHeader(stored)
	if !ok || got != want || string(dataOf(stored)) != "data" {
		t.Errorf("parseHeader(%q) = %+v, %v, and %q, want %+v, and data", stored, got, ok, dataOf(stored), want)
	}
	for n := range headLen {
		if h, ok := parseHeader(stored[:n]); ok {
			t.Errorf("parseHeader of the first %d bytes = %+v, want none", n, h)
		}
	}
	for _, broken := range []string{"\x02" + stored[1:], stored[:headSeen] + "-" + stored[headSeen+1:], stored[:headLen-1] + "x", strings.ToUpper(strings.Repeat("a", 60))} {
		if h, ok := parseHeader(broken); ok {
			t.Errorf("parseHeader(%q) = %+v, want none", broken, h)
		}
	}
}

// Whatever is taken for a header is one: written again it is the same bytes.
func FuzzHeader(f *testing.F) {
	h := header{version: 1, login: 1, write: newWriteID()}
	f.Add([]byte(h.start() + "17950000001231795000900456data"))
	f.Add([]byte(nil))
	f.Add([]byte("\x01"))
	f.Add(bytes.Repeat([]byte("9"), 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(string(b))
		if !ok {
			return
		}
		again := h.start() + fmt.Sprintf("%013d%013d", h.seen, h.deadline)
		if again != string(b[:headLen]) || !bytes.Equal(dataOf(string(b)), b[headLen:]) {
			t.Errorf("parseHeader(%q) = %+v, which is %q", b, h, again)
		}
	})
}

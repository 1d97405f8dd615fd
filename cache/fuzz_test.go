package cache

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"
	"time"
)

// Whatever Redis has under a key, decoding it neither crashes nor allocates more
// than DEFLATE can expand it to.
func FuzzDecodeEntry(f *testing.F) {
	for _, above := range []int{0, 1} {
		head, rest := encodeEntry(newToken(), above == 0, time.Second, bytes.Repeat([]byte("seed"), 100), above)
		f.Add(stored(head, rest, 1700000000000, 1700000001000))
	}
	f.Add("")
	f.Add(deflated(f, 1<<20, zeros(f, 1<<20)))
	f.Add(deflated(f, 60<<20, make([]byte, 70_000)))
	f.Add(deflated(f, math.MaxUint64, nil))
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 1<<20 {
			return
		}
		e, allocated, err := decodeMeasured(raw)
		limit := uint64(256<<10 + len(raw))
		if len(raw) > entryHead && raw[1]&entryDeflated != 0 {
			limit += min(1032*uint64(len(raw)), maxInflated) + 1
		}
		if allocated > 2*limit { // other goroutines allocate too
			t.Errorf("decoding %d bytes allocated %d", len(raw), allocated)
		}
		if err != nil {
			return
		}
		// What is accepted has one meaning: encoded again it is the same.
		head, rest := encodeEntry([]byte(raw[tokenAt:createdAt]), e.notFound, e.cost, e.payload, 0)
		again, err := decodeEntry(stored(head, rest, 0, max(e.until.UnixMilli(), 0)))
		if e.until.UnixMilli() <= 9_999_999_999_999 && e.until.UnixMilli() >= 0 &&
			(err != nil || !bytes.Equal(again.payload, e.payload) || again.notFound != e.notFound || again.cost != e.cost || !again.until.Equal(e.until)) {
			t.Errorf("decoded %+v, encoded and decoded again %+v, %v", e, again, err)
		}
	})
}

// argument is what FuzzCanonical makes of its input: many kinds side by side.
type argument struct {
	S    string
	L    []string
	M    map[string]string
	P    *int16
	A    any
	B    [2]uint8
	rest []byte
}

func argumentOf(b []byte) argument {
	var a argument
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		c := b[0]
		b = b[1:]
		return c
	}
	text := func() string {
		n := min(int(next()%5), len(b))
		s := string(b[:n])
		b = b[n:]
		return s
	}
	a.S = text()
	for range next() % 4 {
		a.L = append(a.L, text())
	}
	for range next() % 4 {
		if a.M == nil {
			a.M = make(map[string]string)
		}
		a.M[text()] = text()
	}
	if next()%2 == 1 {
		p := int16(binary.LittleEndian.Uint16([]byte{next(), next()}))
		a.P = &p
	}
	switch next() % 6 {
	case 1:
		a.A = int(next())
	case 2:
		a.A = uint8(next())
	case 3:
		a.A = text()
	case 4:
		a.A = []any{text(), int(next())}
	case 5:
		a.A = map[any]any{text(): next(), int(next()): nil}
	}
	a.B = [2]uint8{next(), next()}
	a.rest = b
	return a
}

// Two arguments have one canonical encoding if, and only if, they are equal.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte("\x01a\x02\x01b\x01c"), []byte("\x02ab\x01\x01c"))
	f.Add([]byte("\x00\x02\x01a\x01b\x01\x01a\x01b"), []byte("\x00\x01\x02ab\x01\x01a\x01b"))
	f.Add([]byte("\x00\x00\x00\x01\x05\x00\x04\x01a\x07"), []byte("\x00\x00\x00\x00\x05\x01a\x07"))
	f.Add([]byte("\x01a\x02\x01b\x01c"), []byte("\x01a\x02\x02bc\x00"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := argumentOf(x), argumentOf(y)
		ca, err1 := canonical(nil, reflect.ValueOf(&a).Elem(), 0)
		cb, err2 := canonical(nil, reflect.ValueOf(&b).Elem(), 0)
		if err1 != nil || err2 != nil {
			t.Fatalf("canonical: %v, %v", err1, err2)
		}
		equal := reflect.DeepEqual(normal(a), normal(b))
		if equal != bytes.Equal(ca, cb) {
			t.Errorf("%+v and %+v: equal %v, but the encodings are\n%x\n%x", a, b, equal, ca, cb)
		}
	})
}

// normal makes nil and empty the same for reflect.DeepEqual.
func normal(a argument) argument {
	if len(a.L) == 0 {
		a.L = nil
	}
	if len(a.rest) == 0 {
		a.rest = nil
	}
	return a
}

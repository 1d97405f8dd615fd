package wire

import (
	"errors"
	"io"
	"testing"
)

// TestReader walks over [ext8 of two bytes, 300, nil] as the decoder does, and
// at each place tries what it must not do there.
func TestReader(t *testing.T) {
	var r reader
	r.reset([]byte("\x93\xc7\x02\x05xy\xcd\x01\x2c\xc0"))
	readByte := func(want byte) {
		t.Helper()
		if c, err := r.ReadByte(); c != want || err != nil {
			t.Fatalf("ReadByte() = %#x, %v, want %#x", c, err, want)
		}
	}
	read := func(want string) {
		t.Helper()
		p := make([]byte, len(want))
		if n, err := r.Read(p); string(p[:n]) != want || err != nil {
			t.Fatalf("Read(%d bytes) = %q, %v, want %q", len(want), p[:n], err, want)
		}
	}
	refuses := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, errMisread) {
			t.Fatalf("%s = %v, want %v", name, err, errMisread)
		}
	}
	noRead := func(n int) { t.Helper(); _, err := r.Read(make([]byte, n)); refuses("Read", err) }
	noReadByte := func() { t.Helper(); _, err := r.ReadByte(); refuses("ReadByte", err) }

	refuses("UnreadByte", r.UnreadByte())
	noRead(1) // not a payload
	readByte(0x93)
	noRead(1)
	readByte(0xc7)
	if err := r.UnreadByte(); err != nil {
		t.Fatalf("UnreadByte() = %v, want no error", err)
	}
	readByte(0xc7)
	readByte(2)
	refuses("UnreadByte", r.UnreadByte())
	readByte(5)
	noReadByte() // the body of an ext
	noRead(3)    // more than there is of it
	read("xy")
	readByte(0xcd)
	read("\x01\x2c")
	read("")
	if r.atEnd() {
		t.Fatal("atEnd() = true, want false")
	}
	readByte(0xc0)
	if !r.atEnd() {
		t.Fatal("atEnd() = false, want true")
	}
	if c, err := r.ReadByte(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("ReadByte() = %#x, %v, want %v", c, err, io.ErrUnexpectedEOF)
	}
}

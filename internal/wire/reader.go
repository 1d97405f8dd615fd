package wire

import (
	"errors"
	"io"
)

// errMisread means that the decoder took bytes for something else than Scan did.
var errMisread = errors.New("wire: value of another kind than its target")

// reader hands a scanned value to the msgpack library's decoder and refuses to
// go where the scan did not: a header is read where a value begins and nowhere
// else, and a payload ends where its value does.
//
// The decoder needs this. Where its target is a map and it finds an ext value,
// it takes the ext's body, which a scan cannot know, for the header of a map.
type reader struct {
	b     []byte
	pos   int // next byte to read
	start int // where the current value begins
	bytes int // where single bytes of it may no longer be read
	next  int // where the value after it begins
}

func (r *reader) reset(b []byte) { *r = reader{b: b} }

// atEnd reports whether all of the value has been read.
func (r *reader) atEnd() bool { return r.pos == len(r.b) }

// ReadByte reads a byte of a header, or a payload of one byte.
func (r *reader) ReadByte() (byte, error) {
	switch {
	case r.pos == r.next:
		if r.atEnd() {
			return 0, io.ErrUnexpectedEOF
		}
		r.begin()
	case r.pos >= r.bytes:
		return 0, errMisread
	}
	c := r.b[r.pos]
	r.pos++
	return c, nil
}

func (r *reader) begin() {
	h, _ := readHead(r.b[r.pos:]) // scanned: always there
	r.start, r.next = r.pos, r.pos+int(h.size)
	r.bytes = r.next
	if !h.ext {
		return
	}
	typeAt := r.pos + 1
	switch r.b[r.pos] {
	case codeExt8:
		typeAt++
	case codeExt16:
		typeAt += 2
	case codeExt32:
		typeAt += 4
	case codeFixExt1:
		// The decoder reads the index of an interned string, the ext type that
		// the struct tag "intern" makes, as a single byte.
		if r.b[typeAt] == 0x80 {
			return
		}
	}
	r.bytes = typeAt + 1
}

// UnreadByte takes back the first byte of a value.
func (r *reader) UnreadByte() error {
	if r.pos != r.start+1 {
		return errMisread
	}
	r.pos, r.next = r.start, r.start
	return nil
}

// Read reads payload of the current value.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) > r.next-r.pos {
		return 0, errMisread
	}
	n := copy(p, r.b[r.pos:])
	r.pos += n
	return n, nil
}

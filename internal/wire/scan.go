package wire

import (
	"encoding/binary"
	"errors"
)

// maxDepth is how deep containers may be nested. The decoder recurses, and a
// stack overflow cannot be recovered from.
const maxDepth = 64

var (
	// ErrMalformed is returned by Scan and Unmarshal for bytes that are not
	// exactly one msgpack value, and by Marshal if a type's own encoding method
	// produced such bytes.
	ErrMalformed = errors.New("wire: malformed msgpack")

	// ErrTooDeep is returned by Scan, Unmarshal and Marshal for containers
	// nested more than 64 deep.
	ErrTooDeep = errors.New("wire: nested too deep")
)

// Scan reports whether b is exactly one well-formed msgpack value that can be
// decoded without surprise: every declared length is really there, containers
// are nested at most 64 deep, and nothing follows. The error is ErrMalformed or
// ErrTooDeep.
//
// Scan does not allocate, and reads the headers only: it costs a few nanoseconds
// per value, however long its strings are.
func Scan(b []byte) error {
	var (
		outer [maxDepth]int // values left in each container around the current one
		depth int
		left  = 1 // values left in the current container
	)
	for {
		h, ok := readHead(b)
		if !ok || h.size > uint64(len(b)) {
			return ErrMalformed
		}
		b = b[h.size:]
		left--
		if h.container {
			if h.values > uint64(len(b)) { // a value is at least one byte
				return ErrMalformed
			}
			if depth == maxDepth {
				return ErrTooDeep
			}
			outer[depth] = left
			depth++
			left = int(h.values)
		}
		for left == 0 {
			if depth == 0 {
				if len(b) > 0 {
					return ErrMalformed
				}
				return nil
			}
			depth--
			left = outer[depth]
		}
	}
}

// head describes a value by its first bytes. Its fields are 64 bits wide also
// where an int is not.
type head struct {
	size      uint64 // bytes of a scalar with its payload, or of a container's header
	values    uint64 // values in a container; two for each entry of a map
	container bool
	ext       bool
}

// The first bytes that readHead and the reader name.
const (
	codeFixStr  = 0xa0
	codeNil     = 0xc0
	codeNever   = 0xc1
	codeExt8    = 0xc7
	codeExt16   = 0xc8
	codeExt32   = 0xc9
	codeFixExt1 = 0xd4
	codeStr8    = 0xd9
	codeStr32   = 0xdb
)

// readHead describes the value at the start of b. It reports false if b ends
// within the header or begins with the one byte that begins no value; the
// payload need not be there.
func readHead(b []byte) (head, bool) {
	if len(b) == 0 {
		return head{}, false
	}
	c := b[0]
	switch {
	case c <= 0x7f, c >= 0xe0: // fixint
		return head{size: 1}, true
	case c <= 0x8f: // fixmap
		return head{size: 1, values: 2 * uint64(c&0x0f), container: true}, true
	case c <= 0x9f: // fixarray
		return head{size: 1, values: uint64(c & 0x0f), container: true}, true
	case c <= 0xbf: // fixstr
		return head{size: 1 + uint64(c&0x1f)}, true
	case c == codeNever:
		return head{}, false
	}

	f := formats[c-codeNil]
	if f.length == 0 {
		return head{size: f.size, ext: f.ext}, true
	}
	if len(b) <= f.length {
		return head{}, false
	}
	var n uint64
	switch f.length {
	case 1:
		n = uint64(b[1])
	case 2:
		n = uint64(binary.BigEndian.Uint16(b[1:]))
	default:
		n = uint64(binary.BigEndian.Uint32(b[1:]))
	}
	if f.each > 0 {
		return head{size: f.size, values: n * f.each, container: true}, true
	}
	return head{size: f.size + n, ext: f.ext}, true
}

// readText returns the text of b if b is exactly one string.
func readText(b []byte) ([]byte, bool) {
	h, ok := readHead(b)
	if !ok || h.size != uint64(len(b)) {
		return nil, false
	}
	switch c := b[0]; {
	case c >= codeFixStr && c < codeNil:
		return b[1:], true
	case c >= codeStr8 && c <= codeStr32:
		return b[formats[c-codeNil].size:], true
	}
	return nil, false
}

// formats describes the values that begin with 0xc0 to 0xdf.
var formats = [32]struct {
	size   uint64 // bytes without what the length counts
	length int    // bytes of the length that follows the first byte
	each   uint64 // values per unit of the length, in a container
	ext    bool
}{
	0x00: {size: 1},                       // nil
	0x02: {size: 1},                       // false
	0x03: {size: 1},                       // true
	0x04: {size: 2, length: 1},            // bin8
	0x05: {size: 3, length: 2},            // bin16
	0x06: {size: 5, length: 4},            // bin32
	0x07: {size: 3, length: 1, ext: true}, // ext8
	0x08: {size: 4, length: 2, ext: true}, // ext16
	0x09: {size: 6, length: 4, ext: true}, // ext32
	0x0a: {size: 5},                       // float32
	0x0b: {size: 9},                       // float64
	0x0c: {size: 2},                       // uint8
	0x0d: {size: 3},                       // uint16
	0x0e: {size: 5},                       // uint32
	0x0f: {size: 9},                       // uint64
	0x10: {size: 2},                       // int8
	0x11: {size: 3},                       // int16
	0x12: {size: 5},                       // int32
	0x13: {size: 9},                       // int64
	0x14: {size: 3, ext: true},            // fixext1
	0x15: {size: 4, ext: true},            // fixext2
	0x16: {size: 6, ext: true},            // fixext4
	0x17: {size: 10, ext: true},           // fixext8
	0x18: {size: 18, ext: true},           // fixext16
	0x19: {size: 2, length: 1},            // str8
	0x1a: {size: 3, length: 2},            // str16
	0x1b: {size: 5, length: 4},            // str32
	0x1c: {size: 3, length: 2, each: 1},   // array16
	0x1d: {size: 5, length: 4, each: 1},   // array32
	0x1e: {size: 3, length: 2, each: 2},   // map16
	0x1f: {size: 5, length: 4, each: 2},   // map32
}

package session

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"unsafe"
)

// What is stored under a handle is a header of fixed width and the Data. Scripts compare
// and replace its parts by their place, and need not decode more than two decimal
// numbers:
//
//	 0  format, 1 byte
//	 1  Version, 8 bytes big-endian
//	 9  Login, 8 bytes big-endian
//	17  write id, 8 random bytes: whose write this is
//	25  Seen, 13 digits: server time in ms
//	38  Deadline, 13 digits: server time in ms
//	51  Data
const (
	headFormat   = 1
	headVersion  = 1
	headLogin    = 9
	headWrite    = 17
	headSeen     = 25
	headDeadline = 38
	headLen      = 51
)

// writeID tells one write from all others.
type writeID [8]byte

// newWriteID makes the id of a write.
func newWriteID() (id writeID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// header is the head of a stored record.
type header struct {
	version, login uint64
	write          writeID
	seen, deadline int64 // server time, ms
}

// start encodes what precedes the times, which the scripts add.
func (h *header) start() string {
	b := make([]byte, 0, headSeen)
	b = append(b, headFormat)
	b = binary.BigEndian.AppendUint64(b, h.version)
	b = binary.BigEndian.AppendUint64(b, h.login)
	return string(append(b, h.write[:]...))
}

// word is a number as it stands in a header.
func word(n uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, n))
}

// parseHeader decodes the header at the beginning of s, and reports whether it is one.
func parseHeader(s string) (h header, ok bool) {
	if len(s) < headLen || s[0] != headFormat {
		return h, false
	}
	h.version = binary.BigEndian.Uint64([]byte(s[headVersion:headLogin]))
	h.login = binary.BigEndian.Uint64([]byte(s[headLogin:headWrite]))
	copy(h.write[:], s[headWrite:headSeen])
	var ok1, ok2 bool
	h.seen, ok1 = stamp(s[headSeen:headDeadline])
	h.deadline, ok2 = stamp(s[headDeadline:headLen])
	return h, ok1 && ok2
}

// stamp reads a time of 13 digits.
func stamp(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// dataOf returns what follows the header of a stored record. The bytes are those of the
// string, which must not be used any more.
func dataOf(stored string) []byte {
	return unsafe.Slice(unsafe.StringData(stored), len(stored))[headLen:]
}

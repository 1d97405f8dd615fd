package session

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"
)

// What a Manager stores in Record.Data, numbers in big-endian order:
//
//	offset  bytes  what
//	0       1      format: 1
//	1       1      flags
//	2       8      write: names this write among all writes of the record
//	10      32     hash of the secret
//	42      8      created, Unix time in milliseconds, as all times here
//	50      8      login; 0 if nobody is logged in
//	58      8      renewed: when the secret was made
//	66      56     if flagPrevious: hash of the secret before, until when it is good, and
//	               the nonce that leads from it to this one
//	        2+n    user
//	        1+n    device
//	        rest   payload: empty for the zero value, encrypted if flagSealed
//
// Times are of the clocks of the processes that wrote them. They are for people and for
// comparisons in minutes; what must be exact is in Redis and on its clock.
const (
	dataFormat = 1
	headerSize = 66

	flagPrevious = 1 << 0 // there is a previous secret
	flagUsed     = 1 << 1 // the secret has been used, so that the previous one's grace runs
	flagSealed   = 1 << 2 // the payload is encrypted

	maxUser   = 1024
	maxDevice = 255
)

var errMalformed = errors.New("the record is malformed")

// A nonce leads from one secret to the next.
type nonce [16]byte

func newNonce() (n nonce) {
	_, _ = rand.Read(n[:])
	return n
}

// header is what is known of a session beside the application's data.
type header struct {
	flags                   byte
	write                   [8]byte
	hash                    digest
	created, login, renewed time.Time
	previous                digest    // if flagPrevious
	until                   time.Time // of previous
	nonce                   nonce     // leads from previous to hash
	user, device            string
}

func (h *header) has(flag byte) bool { return h.flags&flag != 0 }

// appendTo appends the header's encoding. Its user and device are short enough.
func (h *header) appendTo(b []byte) []byte {
	b = append(b, dataFormat, h.flags)
	b = append(b, h.write[:]...)
	b = append(b, h.hash[:]...)
	b = appendTime(b, h.created)
	b = appendTime(b, h.login)
	b = appendTime(b, h.renewed)
	if h.has(flagPrevious) {
		b = append(b, h.previous[:]...)
		b = appendTime(b, h.until)
		b = append(b, h.nonce[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.user)))
	b = append(b, h.user...)
	b = append(b, byte(len(h.device)))
	return append(b, h.device...)
}

// parseHeader decodes the header of b, which may be any bytes, and returns what follows.
func parseHeader(b []byte) (h header, payload []byte, err error) {
	if len(b) < headerSize || b[0] != dataFormat || b[1]&^(flagPrevious|flagUsed|flagSealed) != 0 {
		return h, nil, errMalformed
	}
	h.flags = b[1]
	copy(h.write[:], b[2:])
	copy(h.hash[:], b[10:])
	h.created, h.login, h.renewed = timeAt(b[42:]), timeAt(b[50:]), timeAt(b[58:])
	b = b[headerSize:]
	if h.has(flagPrevious) {
		const size = len(h.previous) + 8 + len(h.nonce)
		if len(b) < size {
			return h, nil, errMalformed
		}
		copy(h.previous[:], b)
		h.until = timeAt(b[len(h.previous):])
		copy(h.nonce[:], b[len(h.previous)+8:])
		b = b[size:]
	}
	if len(b) < 2 {
		return h, nil, errMalformed
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n+1 || n > maxUser {
		return h, nil, errMalformed
	}
	h.user, b = string(b[:n]), b[n:]
	n = int(b[0])
	if b = b[1:]; len(b) < n {
		return h, nil, errMalformed
	}
	h.device = string(b[:n])
	return h, b[n:], nil
}

// appendTime appends t in milliseconds; the zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	var ms int64
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return binary.BigEndian.AppendUint64(b, uint64(ms))
}

func timeAt(b []byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(b))
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// cut shortens a device to what has room, and to what is text.
func cut(device string) string {
	if len(device) <= maxDevice {
		return device
	}
	n := maxDevice
	for n > maxDevice-utf8.UTFMax && !utf8.RuneStart(device[n]) {
		n--
	}
	return device[:n]
}

// A place is where a secret stands in the history of a record.
type place uint8

const (
	foreign  place = iota // it is not one of the record's, or no longer
	current               // it is the record's
	previous              // a rotation has replaced it, and it is good for a while
	replayed              // a rotation has replaced it, and its time is over
)

// placeOf compares a secret with those of the record.
func (h *header) placeOf(s *secret, now time.Time) place {
	d := s.digest()
	switch {
	case d.is(&h.hash):
		return current
	case !h.has(flagPrevious) || !d.is(&h.previous):
		return foreign
	case now.Before(h.until):
		return previous
	}
	return replayed
}

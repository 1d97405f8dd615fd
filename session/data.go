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
//	2       32     hash of the secret
//	34      8      created, in milliseconds before the record's deadline, as all times here:
//	               the one moment that means the same to processes whose clocks differ
//	42      8      login: as created if nobody is logged in
//	50      8      renewed: when the secret was made
//	58      8      checked: when the user's revocation was last looked for
//	66      56     if flagPrevious: hash of the secret before, until when it is good, and
//	               the nonce that leads from it to this one
//	        2+n    user
//	        1+n    device
//	        rest   payload: empty for the zero value, encrypted if flagSealed
const (
	dataFormat   = 1
	envelopeSize = 66

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

// envelope is what is known of a session beside the application's data.
type envelope struct {
	flags                   byte
	hash                    digest
	created, login, renewed time.Time
	checked                 time.Time
	previous                digest    // if flagPrevious
	until                   time.Time // of previous
	nonce                   nonce     // leads from previous to hash
	user                    string
	device                  []byte // of the record itself: only lists need it
}

func (h *envelope) has(flag byte) bool { return h.flags&flag != 0 }

// appendTo appends the encoding. Its user and device are short enough.
func (h *envelope) appendTo(b []byte, deadline time.Time) []byte {
	b = append(b, dataFormat, h.flags)
	b = append(b, h.hash[:]...)
	b = appendTime(b, h.created, deadline)
	b = appendTime(b, h.login, deadline)
	b = appendTime(b, h.renewed, deadline)
	b = appendTime(b, h.checked, deadline)
	if h.has(flagPrevious) {
		b = append(b, h.previous[:]...)
		b = appendTime(b, h.until, deadline)
		b = append(b, h.nonce[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.user)))
	b = append(b, h.user...)
	b = append(b, byte(len(h.device)))
	return append(b, h.device...)
}

// parseEnvelope decodes the envelope of b, which may be any bytes, and returns what
// follows.
func parseEnvelope(b []byte, deadline time.Time) (h envelope, payload []byte, err error) {
	if len(b) < envelopeSize || b[0] != dataFormat || b[1]&^(flagPrevious|flagUsed|flagSealed) != 0 {
		return h, nil, errMalformed
	}
	h.flags = b[1]
	copy(h.hash[:], b[2:])
	const most = int64(maxLife / time.Millisecond) // between a deadline and anything before it
	near := true
	moment := func(b []byte) time.Time {
		ms := int64(binary.BigEndian.Uint64(b))
		near = near && -most <= ms && ms <= most
		return deadline.Add(-time.Duration(ms) * time.Millisecond)
	}
	h.created, h.login, h.renewed = moment(b[34:]), moment(b[42:]), moment(b[50:])
	h.checked = moment(b[58:])
	b = b[envelopeSize:]
	if h.has(flagPrevious) {
		const size = len(h.previous) + 8 + len(h.nonce)
		if len(b) < size {
			return h, nil, errMalformed
		}
		copy(h.previous[:], b)
		h.until = moment(b[len(h.previous):])
		copy(h.nonce[:], b[len(h.previous)+8:])
		b = b[size:]
	}
	if len(b) < 2 || !near {
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
	h.device = b[:n:n]
	return h, b[n:], nil
}

// appendTime appends how long before the deadline t is, which may be negative.
func appendTime(b []byte, t, deadline time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(deadline.Sub(t).Milliseconds()))
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
func (h *envelope) placeOf(s *secret, now time.Time) place {
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

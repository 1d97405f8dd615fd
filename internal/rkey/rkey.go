// Package rkey builds every Redis key of the library:
//
//	<prefix>:<part>:{<tag>}
//
// The prefix is the user's, the part names what the key holds, and the tag is
// the id that the keys of one operation have in common. The braces make the tag
// the key's hash tag, so that on a cluster all keys with one tag are in one
// slot and one script may use them together. Where many ids are to share a slot, the id
// follows the tag.
package rkey

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Space builds the keys of one prefix. The zero Space has the empty prefix and
// is not for use; see [New].
type Space struct {
	prefix string
}

// New returns the keys of prefix. A prefix is printable UTF-8 without spaces.
// It has no braces, which would move the hash tag, and is not empty, so that no
// instance of the library claims keys that begin with a bare colon.
//
// The error says what is wrong with the prefix; the caller adds which option it
// came from.
func New(prefix string) (Space, error) {
	if prefix == "" {
		return Space{}, errors.New("is empty")
	}
	if !utf8.ValidString(prefix) {
		return Space{}, errors.New("is not valid UTF-8")
	}
	for _, r := range prefix {
		if r == '{' || r == '}' || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return Space{}, fmt.Errorf("contains %q", r)
		}
	}
	return Space{prefix: prefix}, nil
}

// Key returns the key of part and tag.
//
// The part is a constant of the calling package, without colons and braces. The
// tag may be any bytes. It stands in the key as it is, except that a tag which
// is empty or begins with '}' or '%' has a '%' put in front: an empty hash tag
// does not count as one, and would spread the keys of that tag over the slots.
//
// Two keys are equal only if prefix, part and tag are. Keys of one tag are in
// one slot, whatever their prefix and part.
func (s Space) Key(part, tag string) string {
	if needsMark(tag) {
		return s.prefix + ":" + part + ":{%" + tag + "}"
	}
	return s.prefix + ":" + part + ":{" + tag + "}"
}

// Member returns the key of part and id among those that share a tag, and so a slot:
// <prefix>:<part>:{<tag>}:<id>.
//
// The part and the tag are the calling package's, the tag without braces and the part
// none that it gives to [Space.Key]. The id may be any bytes. Two keys of one tag are equal
// only if prefix, part and id are.
func (s Space) Member(part, tag, id string) string {
	return s.Key(part, tag) + ":" + id
}

// Keys returns the [Space.Key] of part and each tag, in one allocation.
func (s Space) Keys(part string, tags []string) []string {
	head := s.prefix + ":" + part + ":{"
	size := len(tags) * (len(head) + len("%}"))
	for _, tag := range tags {
		size += len(tag)
	}
	var b strings.Builder
	b.Grow(size)
	keys := make([]string, len(tags))
	for i, tag := range tags {
		start := b.Len()
		b.WriteString(head)
		if needsMark(tag) {
			b.WriteByte('%')
		}
		b.WriteString(tag)
		b.WriteByte('}')
		keys[i] = b.String()[start:]
	}
	return keys
}

func needsMark(tag string) bool { return tag == "" || tag[0] == '}' || tag[0] == '%' }

// Slot returns the hash slot of key as the server computes it: the CRC16 of
// what is between the first '{' and the first '}' after it, or of the whole key
// if there is no such pair or nothing in it.
func Slot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc % 16384)
}

// crcTable is of CRC16/XMODEM, the variant in the Redis cluster specification:
// polynomial 0x1021, initial value 0, nothing reflected.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()

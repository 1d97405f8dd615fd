package cache

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"sync"
	"time"
	"unsafe"
)

// An entry is what a value key holds. The scripts know its layout:
//
//	 0  1  magic
//	 1  1  version and flags; Expire sets one
//	 2  8  token of the lease under which it was loaded, or random
//	10 13  created, ms since 1970 by the server's clock, decimal
//	23 13  fresh until, likewise
//	36  4  time the load took, ms, big endian
//	40     payload
//
// The script that stores it writes the stamps, so no client's clock is in it.
const (
	entryMagic    = 0xF5
	entryVersion  = 0x10
	entryNotFound = 0x01
	entryDeflated = 0x02
	entryExpired  = 0x04 // by Expire, which also sets the time
	entryFlags    = 0x0F

	tokenAt      = 2
	createdAt    = 10
	untilAt      = 23
	costAt       = 36
	entryHead    = 40
	identityEnds = untilAt // tells a stored entry from any other, and from itself after an Expire
)

// entry is a decoded one. The payload aliases the bytes that Redis sent.
type entry struct {
	raw      string
	notFound bool
	expired  bool
	until    time.Time // server's clock
	cost     time.Duration
	payload  []byte
}

var errEntry = errors.New("cache: not an entry")

// maxInflated bounds what an entry may decompress to.
const maxInflated = 64 << 20

// identity is what tells this stored value from any other.
func identity(raw string) string { return raw[:min(len(raw), identityEnds)] }

// encodeEntry makes the parts of an entry around the stamps.
func encodeEntry(token []byte, notFound bool, cost time.Duration, payload []byte, compressAbove int) (head, rest []byte) {
	flags := byte(entryVersion)
	if notFound {
		flags |= entryNotFound
	}
	rest = binary.BigEndian.AppendUint32(make([]byte, 0, entryHead-costAt+len(payload)),
		uint32(min(cost.Milliseconds(), math.MaxUint32)))
	if compressAbove > 0 && len(payload) >= compressAbove && len(payload) <= maxInflated {
		if small := deflate(rest, payload); small != nil {
			rest, payload = small, nil
			flags |= entryDeflated
		}
	}
	head = append([]byte{entryMagic, flags}, token...)
	return head, append(rest, payload...)
}

// decodeEntry reads an entry. Anything may be under the key: what it does not
// understand is an error.
func decodeEntry(raw string) (e entry, err error) {
	if len(raw) < entryHead || raw[0] != entryMagic || raw[1]&^entryFlags != entryVersion {
		return e, errEntry
	}
	until, err := strconv.ParseUint(raw[untilAt:costAt], 10, 63)
	if err != nil {
		return e, errEntry
	}
	e = entry{
		raw:      raw,
		notFound: raw[1]&entryNotFound != 0,
		expired:  raw[1]&entryExpired != 0,
		until:    time.UnixMilli(int64(until)),
		cost:     time.Duration(binary.BigEndian.Uint32([]byte(raw[costAt:entryHead]))) * time.Millisecond,
		// Nobody else has these bytes: they were allocated for this reply.
		payload: unsafe.Slice(unsafe.StringData(raw), len(raw))[entryHead:],
	}
	if raw[1]&entryDeflated != 0 {
		e.payload, err = inflate(e.payload)
	}
	return e, err
}

// kept is a copy of the entry for those who keep it.
func (e entry) kept() *entry { return &e }

// result is what those get who may have the entry.
func (e entry) result() result {
	r := result{payload: e.payload, seen: identity(e.raw)}
	if e.notFound {
		r.err = ErrNotFound
	}
	return r
}

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is valid
	return w
}}

// deflate appends the length and the compressed form of p to dst, or returns nil
// if that is not shorter.
func deflate(dst, p []byte) []byte {
	buf := bytes.NewBuffer(binary.AppendUvarint(dst[:len(dst):len(dst)], uint64(len(p))))
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(buf)
	if _, err := w.Write(p); err != nil {
		return nil
	}
	if err := w.Close(); err != nil || buf.Len()-len(dst) >= len(p) {
		return nil
	}
	return buf.Bytes()
}

// inflate undoes deflate. It believes no length: DEFLATE expands by 1032 at
// most, and never beyond maxInflated.
func inflate(p []byte) ([]byte, error) {
	n, used := binary.Uvarint(p)
	if used <= 0 || n > maxInflated || n > 1032*uint64(len(p)) {
		return nil, errEntry
	}
	out := make([]byte, n+1)
	read, err := io.ReadFull(flate.NewReader(bytes.NewReader(p[used:])), out)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !(err == io.EOF && n == 0) || uint64(read) != n {
		return nil, errEntry
	}
	return out[:n], nil
}

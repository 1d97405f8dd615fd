package pubsub

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// What is published is a frame: a line of text that the publish scripts write, since only
// they know the numbers, and the records of one or more events of one topic.
//
//	1 <epoch> <n before> <tag before> <n> <count> <tag> <id>\n<records>
//
// n is the number of the first event and id its entry in the history, or -. The tag names
// the batch, <publisher>:<number>, and with n tells one course of history from another. An
// entry of the history is a frame of one event.
//
// A record is its length as a uvarint, and a msgpack array: id, time in microseconds since
// 1970, type, key, content type, traceparent, data. There may be more elements one day.

const frameVersion = "1"

// minRecord is the length of the record of an event that has nothing.
const minRecord = 18

var errFrame = errors.New("pubsub: what arrived is no event")

// frame is a decoded line, and what comes after it.
type frame struct {
	first   position // of the first event
	count   int
	prev    uint64 // of the event before
	prevTag string
	records string
}

// last is the position of the last event.
func (f *frame) last() position {
	p := f.first
	p.n += uint64(f.count - 1)
	p.id = nthID(p.id, f.count-1)
	return p
}

// nthID is the id of the entry that was added so many after one, by the same script.
func nthID(id string, n int) string {
	if n == 0 || id == "" {
		return id
	}
	dash := strings.IndexByte(id, '-')
	seq, _ := strconv.ParseUint(id[dash+1:], 10, 64)
	return id[:dash+1] + strconv.FormatUint(seq+uint64(n), 10)
}

func parseFrame(s string) (f frame, err error) {
	line, records, ok := strings.Cut(s, "\n")
	var fields [8]string
	rest := line
	for i := range fields {
		more := false
		fields[i], rest, more = strings.Cut(rest, " ")
		if fields[i] == "" || more != (i < len(fields)-1) {
			return f, errFrame
		}
	}
	count, err1 := strconv.ParseUint(fields[5], 10, 31)
	prev, err2 := strconv.ParseUint(fields[2], 10, 53)
	n, err3 := strconv.ParseUint(fields[4], 10, 53)
	if !ok || err1 != nil || err2 != nil || err3 != nil || fields[0] != frameVersion || !isName(fields[1]) ||
		count == 0 || n <= prev || count > uint64(len(records))/minRecord {
		return f, errFrame
	}
	id := fields[7]
	if id == none {
		id = ""
	} else if !isEntryID(id) {
		return f, errFrame
	}
	return frame{
		first: position{epoch: fields[1], n: n, tag: fields[6], id: id},
		count: int(count), prev: prev, prevTag: tagOf(fields[3]), records: records,
	}, nil
}

// none stands in a line for what is not there.
const none = "-"

// tagOf is a tag as it is in a line or a field of the topic's hash.
func tagOf(s string) string {
	if s == none {
		return ""
	}
	return s
}

// batchOf takes a tag apart.
func batchOf(tag string) (publisher string, batch uint64) {
	publisher, number, _ := strings.Cut(tag, ":")
	batch, _ = strconv.ParseUint(number, 10, 64)
	return publisher, batch
}

// events decodes the records. Those that are none are nil.
func (f *frame) events(topic string) []*Event {
	all := make([]Event, f.count)
	events := make([]*Event, f.count)
	publisher, _ := batchOf(f.first.tag)
	rest := f.records
	for i := range events {
		var record string
		var ok bool
		if record, rest, ok = cutRecord(rest); !ok {
			break // and there is no telling where the next one begins
		}
		e := &all[i]
		if !e.decode(record) {
			continue
		}
		e.Topic, e.Publisher, e.Seq = topic, publisher, f.first.n+uint64(i)
		if f.first.id != "" {
			e.Position = position{epoch: f.first.epoch, n: e.Seq, id: nthID(f.first.id, i)}.String()
		}
		events[i] = e
	}
	return events
}

// appendRecord encodes an event.
func appendRecord(b []byte, e *Event) []byte {
	body := 1 + 9 + binHeader(len(e.Data)) + len(e.Data)
	for _, s := range [...]string{e.ID, e.Type, e.Key, e.ContentType, e.TraceParent} {
		body += strHeader(len(s)) + len(s)
	}
	b = binary.AppendUvarint(b, uint64(body))
	b = append(b, 0x97) // an array of 7
	b = appendStr(b, e.ID)
	b = append(b, 0xd3)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMicro()))
	for _, s := range [...]string{e.Type, e.Key, e.ContentType, e.TraceParent} {
		b = appendStr(b, s)
	}
	switch n := len(e.Data); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, e.Data...)
}

func appendStr(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func strHeader(n int) int {
	if n < 32 {
		return 1
	}
	return binHeader(n)
}

func binHeader(n int) int {
	switch {
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	}
	return 5
}

// cutRecord takes the first record off.
func cutRecord(s string) (record, rest string, ok bool) {
	length := uint64(0)
	for i := 0; i < len(s) && i < 5; i++ {
		length |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if length > uint64(len(s)-i-1) {
				return "", "", false
			}
			return s[i+1 : i+1+int(length)], s[i+1+int(length):], true
		}
	}
	return "", "", false
}

// decode sets what is in a record, which the event shares no memory with: a frame may be
// large, and who keeps one ID must not keep it all.
func (e *Event) decode(record string) bool {
	r := reader{rest: record}
	if n := r.arrayHeader(); n < 7 {
		return false
	}
	start := len(r.rest)
	// One allocation for all strings, which are what lies before the data.
	probe := r
	probe.text()
	probe.int()
	for range 4 {
		probe.text()
	}
	if probe.bad {
		return false
	}
	r.rest = strings.Clone(r.rest[:start-len(probe.rest)])
	e.ID = r.text()
	e.Time = time.UnixMicro(r.int()).UTC()
	e.Type, e.Key, e.ContentType, e.TraceParent = r.text(), r.text(), r.text(), r.text()
	data := probe.bytes()
	if probe.bad {
		return false
	}
	if len(data) > 0 {
		e.Data = []byte(data)
	}
	return true
}

// reader takes msgpack apart. After the first mistake everything is empty.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// number takes n bytes, the highest first.
func (r *reader) number(n uint64) (v uint64) {
	for _, c := range []byte(r.take(n)) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) arrayHeader() uint64 {
	switch c := r.number(1); {
	case c >= 0x90 && c <= 0x9f:
		return c & 0x0f
	case c == 0xdc:
		return r.number(2)
	case c == 0xdd:
		return r.number(4)
	}
	r.bad = true
	return 0
}

func (r *reader) text() string {
	switch c := r.number(1); {
	case c >= 0xa0 && c <= 0xbf:
		return r.take(c & 0x1f)
	case c == 0xd9:
		return r.take(r.number(1))
	case c == 0xda:
		return r.take(r.number(2))
	case c == 0xdb:
		return r.take(r.number(4))
	}
	r.bad = true
	return ""
}

func (r *reader) int() int64 {
	if r.number(1) != 0xd3 {
		r.bad = true
		return 0
	}
	return int64(r.number(8))
}

func (r *reader) bytes() string {
	switch r.number(1) {
	case 0xc4:
		return r.take(r.number(1))
	case 0xc5:
		return r.take(r.number(2))
	case 0xc6:
		return r.take(r.number(4))
	}
	r.bad = true
	return ""
}

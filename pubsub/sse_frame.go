package pubsub

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

// message is an event or a gap as it goes to clients. Those of one topic send it as it is;
// who has several topics sends the body and an id of his own.
type message struct {
	text []byte // event:, data: and id: lines, and the empty one; nil: clients do not see it
	body int    // where the id: line begins
	gap  bool

	pos string // where a client is who has had it; a gap's is that of the event before
	sum tally  // of all that the topic has had, this one included
}

// tally counts what was delivered, so that what a client has skipped is known.
type tally struct{ events, missed, unknown uint64 }

// since is what of t was not yet in an earlier one, as the Missed of a Gap.
func (t tally) since(earlier tally) int64 {
	if t.unknown != earlier.unknown {
		return -1
	}
	return int64(t.events - earlier.events + t.missed - earlier.missed)
}

// with is t and a gap.
func (t tally) with(g Gap) tally {
	if g.Missed < 0 {
		t.unknown++
	} else {
		t.missed += uint64(g.Missed)
	}
	return t
}

// encodeMessage makes the message of an event; mark names the topic in ids.
func encodeMessage(mark, pos, name string, data []byte) *message {
	b := make([]byte, 0, len(name)+len(data)+len(data)/64+len(mark)+len(pos)+32)
	if name != "" {
		b = append(b, "event: "...)
		b = appendLine(b, name)
		b = append(b, '\n')
	}
	for {
		line, rest, more := cutLine(data)
		b = append(b, "data: "...) // also of no data: without such a line it would be no event
		b = append(b, line...)
		b = append(b, '\n')
		if !more {
			break
		}
		data = rest
	}
	m := &message{body: len(b), pos: pos}
	b = appendID(append(b, "id: "...), mark, pos)
	m.text = append(b, "\n\n"...)
	return m
}

// gapName is the name of the events that announce gaps.
const gapName = "gap"

// encodeGap makes the message of a gap: it has no id of its own, and who is cut off before
// the next event is told again.
func encodeGap(g Gap, pos string) *message {
	data, _ := json.Marshal(struct { // strings and a number can be
		Topic  string `json:"topic"`
		Reason string `json:"reason"`
		Missed int64  `json:"missed"`
	}{g.Topic, g.Reason.String(), g.Missed})
	b := append([]byte("event: "+gapName+"\ndata: "), data...)
	b = append(b, '\n')
	m := &message{body: len(b), pos: pos, gap: true}
	m.text = append(b, '\n')
	return m
}

// cutLine cuts off a line, which ends as browsers see it: with \r\n, \n or \r.
func cutLine(data []byte) (line, rest []byte, more bool) {
	i := bytes.IndexAny(data, "\r\n")
	if i < 0 {
		return data, nil, false
	}
	end := i + 1
	if data[i] == '\r' && end < len(data) && data[end] == '\n' {
		end++
	}
	return data[:i], data[end:], true
}

// appendLine appends a text that must be one line.
func appendLine(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		b = append(b, c)
	}
	return b
}

// A client's id is where it is in each of its topics, <mark>:<position> with commas in
// between. The mark is a digest of the topic: which topics a client has may change, and
// their names are not for everybody's logs.

// topicMark names a topic in ids.
func topicMark(topic string) string {
	sum := sha256.Sum256([]byte(topic))
	return base32.StdEncoding.EncodeToString(sum[:5])
}

// appendID appends where a client is in a topic.
func appendID(b []byte, mark, pos string) []byte {
	b = append(b, mark...)
	b = append(b, ':')
	return append(b, url.QueryEscape(pos)...) // which changes nothing in ours
}

// parseID returns the positions by mark. It reports whether it was an id.
func parseID(id string) (at map[string]string, ok bool) {
	at = make(map[string]string)
	for part := range strings.SplitSeq(id, ",") {
		mark, escaped, ok := strings.Cut(part, ":")
		pos, err := url.QueryUnescape(escaped)
		if !ok || err != nil || len(mark) != 8 || pos == "" || len(at) == maxTopics {
			return nil, false
		}
		at[mark] = pos
	}
	return at, true
}

// A position in a topic that is not replayable is good only as long as its event is in
// memory. It begins with a character that others do not begin with.

// livePosition is where a client is who has had an event.
func livePosition(e *Event) string {
	sum := sha256.Sum256([]byte(e.Publisher + "\n" + e.ID))
	return "~" + strconv.FormatUint(e.Seq, 10) + "." + base32.StdEncoding.EncodeToString(sum[:5])
}

package redistest

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxFrame bounds what the proxy holds of one request or reply: more than
// that is a stream out of step, not a test.
const maxFrame = 1 << 30

// readFrame reads one RESP2 or RESP3 value, nested ones included, and returns
// its bytes as they are.
func readFrame(r *bufio.Reader) ([]byte, error) {
	return appendFrame(nil, r)
}

func appendFrame(frame []byte, r *bufio.Reader) ([]byte, error) {
	// Values are counted down instead of recursed into: nesting costs no stack.
	for left := 1; left > 0; left-- {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return frame, unexpected(err, frame, line)
		}
		start := len(frame)
		for err != nil { // a line longer than the buffer
			frame = append(frame, line...)
			if line, err = r.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return frame, unexpected(err, frame, line)
			}
		}
		frame = append(frame, line...)
		if len(frame) > maxFrame {
			return frame, fmt.Errorf("RESP value of more than %d bytes", maxFrame)
		}
		head := bytes.TrimRight(frame[start:], "\r\n")
		if len(head) == 0 {
			return frame, errors.New("RESP value without a type")
		}
		switch head[0] {
		case '$', '!', '=': // a string, an error and a text of a given length
			size, err := length(head)
			if err != nil {
				return frame, err
			}
			if size >= 0 {
				if frame, err = appendN(frame, r, size+len("\r\n")); err != nil {
					return frame, err
				}
			}
		case '*', '~', '>': // an array, a set, a push
			size, err := length(head)
			if err != nil {
				return frame, err
			}
			left += max(size, 0)
		case '%': // a map
			size, err := length(head)
			if err != nil {
				return frame, err
			}
			left += 2 * max(size, 0)
		case '|': // an attribute, which precedes its value
			size, err := length(head)
			if err != nil {
				return frame, err
			}
			left += 2*size + 1
		case '+', '-', ':', '_', '#', ',', '(': // all in one line
		default:
			return frame, fmt.Errorf("not RESP: %.40q", head)
		}
	}
	return frame, nil
}

func length(head []byte) (int, error) {
	n, err := strconv.Atoi(string(head[1:]))
	if err != nil || n > maxFrame {
		return 0, fmt.Errorf("bad RESP length: %.40q", head)
	}
	return n, nil
}

func appendN(frame []byte, r *bufio.Reader, n int) ([]byte, error) {
	start := len(frame)
	frame = append(frame, make([]byte, n)...)
	if _, err := io.ReadFull(r, frame[start:]); err != nil {
		return frame[:start], unexpected(err, frame, nil)
	}
	return frame, nil
}

// unexpected tells an end inside a value from one between values.
func unexpected(err error, frame, line []byte) error {
	if errors.Is(err, io.EOF) && len(frame)+len(line) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// words returns up to n leading strings of a frame that is an array or push of
// bulk strings, as requests and Pub/Sub messages are.
func words(frame []byte, n int) []string {
	var out []string
	_, rest, ok := bytes.Cut(frame, []byte("\r\n"))
	for ok && len(out) < n && len(rest) > 0 && rest[0] == '$' {
		var head []byte
		head, rest, ok = bytes.Cut(rest, []byte("\r\n"))
		size, err := length(head)
		if !ok || err != nil || size < 0 || size+2 > len(rest) {
			break
		}
		out = append(out, string(rest[:size]))
		rest = rest[size+2:]
	}
	return out
}

// Command returns a function for [Proxy.DropRepliesTo] that matches requests by
// the name of the command, whatever its case.
func Command(names ...string) func(request []byte) bool {
	return func(request []byte) bool {
		name := words(request, 1)
		for _, want := range names {
			if len(name) == 1 && strings.EqualFold(name[0], want) {
				return true
			}
		}
		return false
	}
}

// Script returns a function for [Proxy.DropRepliesTo] that matches calls of a script by
// its source.
func Script(source string) func(request []byte) bool {
	sum := sha1.Sum([]byte(source))
	sha := []byte(hex.EncodeToString(sum[:]))
	return func(request []byte) bool { return bytes.Contains(request, sha) }
}

package redistest

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadFrame(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	frames := []string{
		"+OK\r\n", "-ERR no\r\n", ":12\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123456789012345678901\r\n",
		"$5\r\nhello\r\n", "$0\r\n\r\n", "$-1\r\n", "$4\r\na\r\nb\r\n", "$10000\r\n" + long + "\r\n",
		"=7\r\ntxt:abc\r\n", "!5\r\nERR x\r\n", "+" + long + "\r\n",
		"*0\r\n", "*-1\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
		"~1\r\n:1\r\n", "%1\r\n+a\r\n*1\r\n_\r\n", ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
		"|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n",
		strings.Repeat("*1\r\n", 50_000) + ":1\r\n",
	}
	r := bufio.NewReaderSize(strings.NewReader(strings.Join(frames, "")), 64)
	for _, want := range frames {
		got, err := readFrame(r)
		if err != nil || string(got) != want {
			t.Fatalf("readFrame = %.60q, %v; want %.60q", got, err, want)
		}
	}
	if got, err := readFrame(r); err != io.EOF {
		t.Errorf("readFrame at the end = %q, %v; want io.EOF", got, err)
	}
	for _, frame := range frames {
		r := bufio.NewReaderSize(strings.NewReader(frame[:len(frame)-1]), 64)
		if got, err := readFrame(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("readFrame of a frame cut short = %.60q, %v; want io.ErrUnexpectedEOF", got, err)
		}
	}
	for _, bad := range []string{"\r\n", "PING\r\n", "$x\r\n", "*99999999999\r\n", "$99999999999\r\n"} {
		if got, err := readFrame(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("readFrame(%q) = %q, want an error", bad, got)
		}
	}
}

func TestCommand(t *testing.T) {
	match := Command("EVALSHA", "incr")
	for request, want := range map[string]bool{
		"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n":   true,
		"*1\r\n$7\r\nevalsha\r\n":           true,
		"*2\r\n$3\r\nget\r\n$4\r\nincr\r\n": false,
		"*0\r\n":                            false,
		"*1\r\n$9\r\nincr\r\n":              false,
	} {
		if got := match([]byte(request)); got != want {
			t.Errorf("match(%q) = %v", request, got)
		}
	}
}

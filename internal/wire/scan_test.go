package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func TestScan(t *testing.T) {
	nested := func(n int, inner string) string { return strings.Repeat("\x91", n) + inner }
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"nil", "\xc0", nil},
		{"fixint", "\x7f", nil},
		{"negative fixint", "\xe0", nil},
		{"uint64", "\xcf12345678", nil},
		{"float32", "\xca1234", nil},
		{"fixstr", "\xa3abc", nil},
		{"str8", "\xd9\x03abc", nil},
		{"str16", "\xda\x00\x03abc", nil},
		{"str32", "\xdb\x00\x00\x00\x03abc", nil},
		{"bin8", "\xc4\x01a", nil},
		{"fixext16", "\xd8\x05" + strings.Repeat("x", 16), nil},
		{"ext8", "\xc7\x02\x05xx", nil},
		{"ext32 of nothing", "\xc9\x00\x00\x00\x00\x05", nil},
		{"array of arrays", "\x92\x90\x91\xc0", nil},
		{"array16", "\xdc\x00\x02\x01\x02", nil},
		{"map", "\x82\xa1a\x01\xa1b\x91\x02", nil},
		{"map32", "\xdf\x00\x00\x00\x01\xa1a\x01", nil},
		{"64 deep", nested(63, "\x80"), nil},

		{"nothing", "", ErrMalformed},
		{"c1", "\xc1", ErrMalformed},
		{"c1 inside", "\x92\x01\xc1", ErrMalformed},
		{"two values", "\x01\x02", ErrMalformed},
		{"trailing byte", "\x91\x01\x02", ErrMalformed},
		{"JSON", `{"name":"a"}`, ErrMalformed},
		{"JSON list", `[]`, ErrMalformed},
		{"PHP", `a:1:{i:0;s:1:"a";}`, ErrMalformed},
		{"short fixstr", "\xa3ab", ErrMalformed},
		{"short length", "\xda\x00", ErrMalformed},
		{"short uint32", "\xce\x00\x00\x00", ErrMalformed},
		{"short ext", "\xc7\x02\x05x", ErrMalformed},
		{"ext without a type", "\xd4", ErrMalformed},
		{"short array", "\x92\x01", ErrMalformed},
		{"map without a value", "\x81\xa1a", ErrMalformed},
		{"4 GB string", "\xdb\xff\xff\xff\xffa", ErrMalformed},
		{"4 GB bytes", "\xc6\xff\xff\xff\xffa", ErrMalformed},
		{"4 GB ext", "\xc9\xff\xff\xff\xff\x05a", ErrMalformed},
		{"4 G elements", "\xdd\xff\xff\xff\xf0", ErrMalformed},
		{"4 G entries", "\xdf\xff\xff\xff\xf0\xc0\xc0", ErrMalformed},
		{"0 entries in 32 bits", "\xdf\x80\x00\x00\x00", ErrMalformed},
		{"more elements than bytes", "\xdc\x00\x04\x01\x02\x03", ErrMalformed},
		{"more entries than bytes", "\x82\x01\x02\x03", ErrMalformed},

		{"65 deep", nested(64, "\x90"), ErrTooDeep},
		{"20 M deep", nested(20_000_000, "\xc0"), ErrTooDeep},
		{"65 maps deep", strings.Repeat("\x81\xc0", 65) + "\xc0", ErrTooDeep},
	} {
		if got := Scan([]byte(c.in)); !errors.Is(got, c.want) {
			t.Errorf("Scan(%s) = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestScanAllocs(t *testing.T) {
	b := []byte("\x82\xa1a\x01\xa1b\x91\x02")
	if got := testing.AllocsPerRun(100, func() { _ = Scan(b) }); got != 0 {
		t.Errorf("Scan(%q): %v allocations, want 0", b, got)
	}
}

// FuzzScan compares Scan with the msgpack library's own way over a value: what
// Scan accepts, Skip walks to the last byte; what Scan calls malformed, Skip
// does not.
func FuzzScan(f *testing.F) {
	f.Add([]byte("\x82\xa1a\x01\xa1b\x91\x02"))
	f.Add([]byte("\xdc\x00\x02\x01\xcf12345678"))
	f.Add([]byte("\xc7\x02\x05xx"))
	f.Add([]byte("\xd8\x051234567812345678"))
	f.Add([]byte("\xc1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			t.Skip("Skip recurses")
		}
		err := Scan(b)
		if errors.Is(err, ErrTooDeep) {
			t.Skip("Skip has no limit")
		}
		r := bytes.NewReader(b)
		skipErr := msgpack.NewDecoder(r).Skip()
		if whole := skipErr == nil && r.Len() == 0; whole != (err == nil) {
			t.Errorf("Scan(%q) = %v, but Skip = %v with %d bytes left", b, err, skipErr, r.Len())
		}
	})
}

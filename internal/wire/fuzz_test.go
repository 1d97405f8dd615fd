package wire

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type tree struct {
	Name        string
	Left, Right *tree
	Children    []tree
	Meta        map[string]any
	At          time.Time
	Seen        *time.Time
	Tags        []string
	Counts      map[int8]int64
	Blob        []byte
	Fixed       [4]uint16
	Sum         [8]byte
	Any         any
	Word        string `msgpack:",intern"`
}

type wide struct {
	A, B, C, D, E, F, G, H, I, J string
	K                            [5]int64
}

type embedded struct {
	*wide // unexported: setting it panics in the decoder

	L int
}

// Part is exported for the sake of embeddedPart.
type Part struct{ A, B [10]int }

type embeddedPart struct {
	*Part

	L int
}

// targets are types that a value may be decoded into, with the size of the
// largest type each is made of: what the bound of the package comment is for.
var targets = []reflect.Type{
	reflect.TypeFor[any](),
	reflect.TypeFor[[]any](),
	reflect.TypeFor[map[string]any](),
	reflect.TypeFor[map[any]any](),
	reflect.TypeFor[map[string]string](),
	reflect.TypeFor[[]string](),
	reflect.TypeFor[string](),
	reflect.TypeFor[[]byte](),
	reflect.TypeFor[int8](),
	reflect.TypeFor[float64](),
	reflect.TypeFor[time.Time](),
	reflect.TypeFor[[]time.Time](),
	reflect.TypeFor[tree](),
	reflect.TypeFor[*tree](),
	reflect.TypeFor[[]tree](),
	reflect.TypeFor[wide](),
	reflect.TypeFor[[]wide](),
	reflect.TypeFor[[][]wide](),
	reflect.TypeFor[[]*wide](),
	reflect.TypeFor[map[string]wide](),
	reflect.TypeFor[map[wide]wide](),
	reflect.TypeFor[[]map[string]wide](),
	reflect.TypeFor[[]map[string]any](),
	reflect.TypeFor[[]map[string][15]int64](),
	reflect.TypeFor[[]map[[15]int64][15]int64](),
	reflect.TypeFor[map[int8]map[int8]map[int8]bool](),
	reflect.TypeFor[map[string][]map[string]*int](),
	reflect.TypeFor[[100]int](),
	reflect.TypeFor[[][100]int](),
	reflect.TypeFor[[]embedded](),
	reflect.TypeFor[[]embeddedPart](),
	reflect.TypeFor[****int](),
	reflect.TypeFor[struct{ E error }](),
	reflect.TypeFor[struct{ S fmt.Stringer }](),
	reflect.TypeFor[netip.Addr](),
	reflect.TypeFor[[]big.Int](),
}

// largest returns the size in memory of the largest type that t is made of.
func largest(t reflect.Type, seen map[reflect.Type]bool) uintptr {
	if seen[t] {
		return 0
	}
	seen[t] = true
	s := t.Size()
	switch t.Kind() {
	default:
	case reflect.Array, reflect.Pointer, reflect.Slice:
		s = max(s, largest(t.Elem(), seen))
	case reflect.Map:
		s = max(s, largest(t.Key(), seen), largest(t.Elem(), seen))
	case reflect.Struct:
		for f := range t.Fields() {
			s = max(s, largest(f.Type, seen))
		}
	}
	return s
}

// allocated returns how many bytes f allocates, if nothing else runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// checkAllocated decodes b into a new target and checks the bound of the package
// comment. It returns what each byte of input beyond the constant cost.
func checkAllocated(t *testing.T, target reflect.Type, b []byte) float64 {
	t.Helper()
	const fixed, perByte, perSize = 64 << 10, 192, 6
	s := uint64(largest(target, map[reflect.Type]bool{}))
	v := reflect.New(target).Interface()
	got := allocated(func() { _ = Unmarshal(b, v) })
	if bound := fixed + uint64(len(b))*(perByte+perSize*s); got > bound {
		t.Errorf("Unmarshal(%d bytes: %.60q, %T) allocated %d bytes, want at most %d", len(b), b, v, got, bound)
	}
	return (float64(got) - fixed) / float64(len(b))
}

func warm() {
	for _, target := range targets {
		for _, in := range []string{"\xc0", "\x90", "\x80", "\x91\x80", "\x81\xa0\x80", "\x91\x81\xa1A\xa1x", "\x91\x81\xa1B\x90"} {
			_ = Unmarshal([]byte(in), reflect.New(target).Interface())
		}
	}
}

// expanding returns inputs of about size bytes that become as much memory as
// they can: in each, one small thing many times.
func expanding(size int) [][]byte {
	header := func(code byte, n int) []byte { return binary.BigEndian.AppendUint32([]byte{code}, uint32(n)) }
	deep := func(unit, inner string, n int) string { return strings.Repeat(unit, n) + inner }
	var inputs [][]byte
	for _, unit := range []string{
		"\xc0", "\x00", "\x80", "\x90", "\xa0", "\xa1x", "\xcc\xff", "\xc4\x00", "\xcb12345678",
		"\x91\x80", "\x91\xc0", "\x81\xa0\xc0", "\x81\xa0\x80", "\x81\x00\x00", "\x81\xa0\x90", "\x81\x90\x90", "\x81\x00\x80",
		"\xd6\xff1234", "\xd7\xff12345678", "\xd4\x80\x00", "\xd6\xff\xdf\xff\xff\xff",
		deep("\x91", "\x80", 62), deep("\x81\xa0", "\xc0", 62), deep("\x81\x00", "\xc0", 62), deep("\x81\x91\x00", "\xc0", 62),
		deep("\x81\xa4Left", "\x80", 62), deep("\x81\xa8Children\x92\x80", "\x80", 31), deep("\x81\xa4Meta", "\x80", 62),
		"\x81\xa1A\xa1x", "\x81\xa1L\x01", "\x81\xa1B\x90", "\x81\xa5Fixed\x94\x00\x00\x00\x00",
	} {
		n := size / len(unit)
		inputs = append(inputs, append(header(0xdd, n), strings.Repeat(unit, n)...))
	}
	for _, key := range []byte{0xcd, 0xa2} { // uint16 and fixstr keys, all distinct
		b := header(0xdf, size/4)
		for i := range size / 4 {
			b = append(b, key, byte(i>>8), byte(i), 0xc0)
		}
		inputs = append(inputs, b)
	}
	for _, entry := range []string{"\xa0\xc0", "\xa0\x80"} {
		inputs = append(inputs, append(header(0xdf, size/2), strings.Repeat(entry, size/2)...))
	}
	for _, before := range []string{"", "\x91", "\x81\xa4Name"} {
		inputs = append(inputs, slices.Concat([]byte(before), header(0xdb, size), make([]byte, size)))
	}
	return inputs
}

func TestUnmarshalAllocates(t *testing.T) {
	warm()
	inputs := expanding(1 << 15)
	for _, target := range targets {
		var most float64
		for _, b := range inputs {
			most = max(most, checkAllocated(t, target, b))
		}
		t.Logf("%-40v s = %3d: at most %.0f bytes per byte", target, largest(target, map[reflect.Type]bool{}), most)
	}
}

func TestUnmarshalMegabyte(t *testing.T) {
	warm()
	for _, b := range expanding(1 << 20) {
		checkAllocated(t, reflect.TypeFor[any](), b)
		checkAllocated(t, reflect.TypeFor[tree](), b)
	}
}

// extsLikeMaps are well-formed, but the decoder, looking for a map and finding
// an ext value, reads on in its body: there stands a map of 2^32 entries, or one
// with an array of 2^32 elements in it, or the first byte of such a map, whose
// length is what follows.
var extsLikeMaps = []string{
	"\xd7\xff\xdf\xff\xff\xff\xf0abc",
	"\x91\xd7\xff\xdf\xff\xff\xff\xf0abc",
	"\x81\xa4Meta\xd7\xff\xdf\xff\xff\xff\xf0abc",
	"\xc7\x08\x05\x81\xa1a\xdd\xff\xff\xff\xf0",
	"\xc8\x00\x08\x05\x81\xa1a\xdd\xff\xff\xff\xf0",
	"\xc9\x00\x00\x00\x08\x05\x81\xa1a\xdd\xff\xff\xff\xf0",
	"\x95\xd4\x80\xdf\xff\xff\xff\xff",
	"\x83\xa4Meta\xd4\x80\xdf\xff\xff\xff\xff",
}

func TestUnmarshalExtIsNoMap(t *testing.T) {
	warm()
	for _, in := range extsLikeMaps {
		for _, target := range targets {
			if err := Scan([]byte(in)); err != nil {
				t.Fatalf("Scan(%q) = %v, want nil: the test is about what follows", in, err)
			}
			checkAllocated(t, target, []byte(in))
		}
	}
}

// FuzzUnmarshal decodes any bytes into every target: nothing crashes, and what
// is allocated stays within the bound of the package comment.
func FuzzUnmarshal(f *testing.F) {
	now := time.Unix(1_800_000_000, 123_456_789)
	for _, v := range []any{
		tree{Name: "n", Left: &tree{Meta: map[string]any{"a": 1}}, At: now, Counts: map[int8]int64{1: 2}, Word: "word"},
		[]tree{{Word: "again"}, {Word: "again"}},
		[]wide{{A: "a"}, {K: [5]int64{1}}},
		map[string]wide{"a": {B: "b"}},
		map[any]any{"a": []any{1, "b", now, nil, 1.5, []byte("x")}},
		[]time.Time{now, {}},
		netip.MustParseAddr("::1"),
		[]*big.Int{big.NewInt(7)},
	} {
		b, err := Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xdd\xff\xff\xff\xf0"))
	for _, in := range extsLikeMaps {
		f.Add([]byte(in))
	}
	f.Add([]byte("\x81\x91\x00\x00")) // a key that cannot be hashed
	warm()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, target := range targets {
			checkAllocated(t, target, b)
		}
		if text, ok := readText(b); ok {
			var want string
			if err := msgpack.Unmarshal(b, &want); err != nil || string(text) != want {
				t.Errorf("readText(%q) = %q, the decoder reads %q, %v", b, text, want, err)
			}
		}
	})
}

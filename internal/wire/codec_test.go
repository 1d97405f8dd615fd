package wire

import (
	"bytes"
	"errors"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type order struct {
	ID       int64
	Customer string
	Lines    []line
	Totals   map[string]float64
	Notes    map[int]string
	Paid     bool
	Note     *string
	Raw      []byte
	Delay    time.Duration
	Inner    struct{ A, B uint8 }
	Nothing  any
}

type line struct {
	SKU   string `msgpack:"sku"`
	Count int    `msgpack:",omitempty"`
	Price float64
}

func TestRoundTrip(t *testing.T) {
	note := "leave at the door"
	for _, want := range []any{
		order{
			ID: 1 << 40, Customer: "Ольга", Lines: []line{{SKU: "a", Count: 3, Price: 9.5}, {SKU: "b"}},
			Totals: map[string]float64{"net": 19, "tax": 1.9}, Notes: map[int]string{-1: "x"},
			Paid: true, Note: &note, Raw: []byte{0, 0xff}, Delay: time.Minute,
		},
		order{},
		&line{SKU: "a"},
		(*line)(nil),
		[]line{},
		[]string{"a", ""},
		map[string]string{"a": "b"},
		"",
		[]byte("bytes"),
		int8(-5),
		uint64(1 << 63),
		1.25,
		true,
		[3]int{1, 2, 3},
		struct {
			A, B string `msgpack:",intern"`
		}{"interned", "interned"},
	} {
		b, err := Marshal(want)
		if err != nil {
			t.Errorf("Marshal(%+v) = %v, want no error", want, err)
			continue
		}
		got := reflect.New(reflect.TypeOf(want))
		if err := Unmarshal(b, got.Interface()); err != nil {
			t.Errorf("Unmarshal(%q, %T) = %v, want no error", b, got.Interface(), err)
		} else if !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("Unmarshal(Marshal(%+v)) = %+v", want, got.Elem())
		}
	}
}

func TestRoundTripTime(t *testing.T) {
	at := time.Date(2026, 11, 23, 21, 59, 19, 123456789, time.FixedZone("there", 5*3600))
	for _, want := range []time.Time{at, at.UTC(), time.Now(), time.Unix(0, 0), time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		b, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got time.Time
		if err := Unmarshal(b, &got); err != nil || !got.Equal(want) || got.Location() != time.Local {
			t.Errorf("Unmarshal(Marshal(%v)) = %v, %v, want the same instant in Local", want, got, err)
		}
	}
	b, err := Marshal(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	got := time.Now()
	if err := Unmarshal(b, &got); err != nil || got != (time.Time{}) {
		t.Errorf("Unmarshal(Marshal(zero time)) = %v, %v, want the zero time", got, err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		v        any
		want     string // begins with
	}{
		{"nothing", "", new(order), "wire: malformed"},
		{"nothing into bytes", "", new([]byte), "wire: malformed"},
		{"JSON", `{"ID":1}`, new(order), "wire: malformed"},
		{"JSON into any", `{"ID":1}`, new(any), "wire: malformed"},
		{"JSON string into int", `"12"`, new(int), "wire: malformed"},
		{"JSON digit into a struct", `1`, new(order), "wire: decode *wire.order: msgpack: "},
		{"trailing bytes", "\x80\x00", new(order), "wire: malformed"},
		{"20 M arrays in a field nobody has", "\x81\xa1x" + strings.Repeat("\x91", 20_000_000) + "\xc0", new(order), "wire: nested too deep"},
		{"nil into a struct", "\xc0", new(order), "wire: decode *wire.order: msgpack: nil"},
		{"nil into an int", "\xc0", new(int), "wire: decode *int: msgpack: nil"},
		{"nil into a string", "\xc0", new(string), "wire: decode *string: msgpack: nil"},
		{"string into an int", "\xa1a", new(int), "wire: decode *int: msgpack: "},
		{"map into a slice", "\x80", new([]int), "wire: decode *[]int: msgpack: "},
		{"array of another length into a struct", "\x91\x01", new(order), "wire: decode *wire.order: msgpack: "},
		{"unknown ext type", "\xd4\x05\x00", new(any), "wire: decode *interface {}: msgpack: unknown ext id=5"},
		{"unknown ext8", "\xc7\x01\x05x", new(any), "wire: decode *interface {}: msgpack: unknown ext id=5"},
		{"unknown ext16", "\xc8\x00\x01\x05x", new(any), "wire: decode *interface {}: msgpack: unknown ext id=5"},
		{"unknown ext32", "\xc9\x00\x00\x00\x01\x05x", new(any), "wire: decode *interface {}: msgpack: unknown ext id=5"},
		{"a type that reads nothing", "\x05", new(writesNil), "wire: decode *wire.writesNil: msgpack: not all"},
		{"time of three bytes", "\xc7\x03\xff\x00\x00\x00", new(time.Time), "wire: decode *time.Time: msgpack: "},
		{"ext for a map", "\xd6\xff\x80\x00\x00\x00", new(map[string]int), "wire: decode *map[string]int: wire: value of another kind"},
		{"empty ext for a map", "\x92\xc7\x00\x05\x80", new([]map[string]int), "wire: decode *[]map[string]int"},
		{"a key that cannot be hashed", "\x81\x90\x00", new(map[any]int), "wire: decode *map[interface {}]int"},
		{"no target", "\x01", nil, "wire: decode <nil>: msgpack: "},
		{"no pointer", "\x01", 5, "wire: decode int: msgpack: "},
		{"nil pointer", "\x80", (*order)(nil), "wire: decode *wire.order: msgpack: "},
	} {
		err := Unmarshal([]byte(c.in), c.v)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("Unmarshal(%s, %T) = %v, want %q", c.name, c.v, err, c.want)
		}
	}
}

// TestUnmarshalErrorText checks that an error does not quote the data, and that
// Unwrap still leads to the cause.
// Texts are read without the decoder, which would read the same.
func TestUnmarshalText(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		want := strings.Repeat("x", n)
		b, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := Unmarshal(b, &got); err != nil || got != want {
			t.Errorf("Unmarshal of a text of %d bytes: %d bytes, %v", n, len(got), err)
		}
		clear(b) // shares no memory
		if got != want {
			t.Errorf("a text of %d bytes changes with what it was read from", n)
		}
	}
	long, err := Marshal(strings.Repeat("x", 300))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{{0xa1}, {0xa1, 'x', 'y'}, {0xd9}, {0xd9, 2, 'x'}, long[:len(long)-1], append(long, 'x')} {
		got := "kept"
		if err := Unmarshal(b, &got); !errors.Is(err, ErrMalformed) || got != "kept" {
			t.Errorf("Unmarshal(%.9q, *string) = %v and %q, want ErrMalformed and nothing read", b, err, got)
		}
	}
	got := ""
	if err := Unmarshal([]byte("\xc4\x02ab"), &got); err != nil || got != "ab" {
		t.Errorf("Unmarshal of bytes into a string: %q, %v", got, err)
	}
}

func TestUnmarshalErrorText(t *testing.T) {
	b, err := Marshal("s3cret")
	if err != nil {
		t.Fatal(err)
	}
	err = Unmarshal(b, new(time.Time))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Unmarshal(%q, *time.Time) = %v, want an error without the data", b, err)
	}
	if parse := new(time.ParseError); !errors.As(err, &parse) {
		t.Errorf("Unmarshal(%q, *time.Time) = %#v, want a *time.ParseError inside", b, err)
	}
}

// writesNil has an encoding that is nil, as an optional value may have.
type writesNil struct{ set bool }

func (writesNil) EncodeMsgpack(e *msgpack.Encoder) error  { return e.EncodeNil() }
func (w *writesNil) DecodeMsgpack(*msgpack.Decoder) error { w.set = true; return nil }

func TestUnmarshalNil(t *testing.T) {
	for _, v := range []any{new(any), new(*order), new([]int), new(map[string]int), new(writesNil)} {
		if err := Unmarshal([]byte{codeNil}, v); err != nil {
			t.Errorf("Unmarshal(nil, %T) = %v, want no error", v, err)
		}
	}
}

// TestNotPromised pins down what the package comment says is not guarded.
func TestNotPromised(t *testing.T) {
	for _, c := range []struct {
		in   string
		v    any
		want any
	}{
		{"\xcd\x01\x2c", new(int8), int8(44)},
		{"\xff", new(uint8), uint8(255)},
		{"\x05", new(float64), 5.0},
		{"\xc4\x01a", new(string), "a"},
		{"\x91\xc0", new([]int), []int{0}},
		{"\x81\xa5Other\x01", &line{SKU: "kept"}, line{SKU: "kept"}},
		{"\x90", &line{SKU: "gone"}, line{}},
		{"\x05", new(any), int8(5)},
		{"\xcc\xc8", new(any), uint8(200)},
	} {
		if err := Unmarshal([]byte(c.in), c.v); err != nil || !reflect.DeepEqual(reflect.ValueOf(c.v).Elem().Interface(), c.want) {
			t.Errorf("Unmarshal(%q, %T) = %v, %v, want %v", c.in, c.v, reflect.ValueOf(c.v).Elem(), err, c.want)
		}
	}
}

func TestUnmarshalSharesNothing(t *testing.T) {
	b, err := Marshal(order{Customer: "customer", Raw: []byte("raw")})
	if err != nil {
		t.Fatal(err)
	}
	var o order
	if err := Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if o.Customer != "customer" || string(o.Raw) != "raw" {
		t.Errorf("after the input was overwritten: %+v, want the value as decoded", o)
	}
}

func TestMarshalSharesNothing(t *testing.T) {
	first, err := Marshal("first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Marshal("other"); err != nil {
		t.Fatal(err)
	}
	if want := "\xa5first"; string(first) != want {
		t.Errorf("after another Marshal: %q, want %q", first, want)
	}
}

type rawAgain struct{ raw msgpack.RawMessage }

func (r rawAgain) EncodeMsgpack(e *msgpack.Encoder) error { return r.raw.EncodeMsgpack(e) }

func TestMarshalRefuses(t *testing.T) {
	type list struct{ Next *list }
	var long *list
	for range 70 {
		long = &list{long}
	}
	for _, c := range []struct {
		name string
		v    any
		want error
	}{
		{"a list of 70", long, ErrTooDeep},
		{"half a value", rawAgain{msgpack.RawMessage("\x92\x01")}, ErrMalformed},
		{"two values", rawAgain{msgpack.RawMessage("\x01\x02")}, ErrMalformed},
	} {
		if b, err := Marshal(c.v); !errors.Is(err, c.want) {
			t.Errorf("Marshal(%s) = %q, %v, want %v", c.name, b, err, c.want)
		}
	}
	for _, v := range []any{make(chan int), func() {}, 1i, url.URL{}} {
		if b, err := Marshal(v); err == nil {
			t.Errorf("Marshal(%T) = %q, want an error", v, b)
		}
	}
}

func TestMarshalAddressable(t *testing.T) {
	type site struct {
		Home url.URL
		Hits big.Int
	}
	want := site{Home: url.URL{Scheme: "https", Host: "example.com"}, Hits: *big.NewInt(7)}
	b, err := Marshal(&want)
	if err != nil {
		t.Fatalf("Marshal(%+v) = %v, want no error", &want, err)
	}
	var got site
	if err := Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Unmarshal(%q) = %+v, %v, want %+v", b, got, err, want)
	}
}

func TestMarshalSortsStringMaps(t *testing.T) {
	strs, bools, anys := map[string]string{}, map[string]bool{}, map[string]any{}
	for i := range 50 {
		k := strings.Repeat("k", i)
		strs[k], bools[k], anys[k] = k, true, k
	}
	for _, v := range []any{strs, bools, anys} {
		want, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if got, err := Marshal(v); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("Marshal(%T) = %q, %v, want %q as before", v, got, err, want)
			}
		}
	}
}

// TestConcurrent mixes good and bad input, so that a decoder left in a bad state
// by one caller would be met by another.
func TestConcurrent(t *testing.T) {
	want := order{ID: 7, Customer: "c", Lines: []line{{SKU: "a", Price: 1}}}
	good, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	bad := [][]byte{[]byte("\x81\xa5Lines\x91\xd7\xff\xdf\xff\xff\xff\xf0abc"), []byte("\x81\xa3Raw\x01"), {}, good[:len(good)-1]}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				if b := bad[i%len(bad)]; Unmarshal(b, new(order)) == nil {
					t.Errorf("Unmarshal(%q) = nil, want an error", b)
				}
				var got order
				if err := Unmarshal(good, &got); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("Unmarshal(%q) = %+v, %v, want %+v", good, got, err, want)
				}
				if b, err := Marshal(want); err != nil || !bytes.Equal(b, good) {
					t.Errorf("Marshal(%+v) = %q, %v, want %q", want, b, err, good)
				}
			}
		})
	}
	wg.Wait()
}

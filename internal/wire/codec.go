package wire

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// maxPooled is the largest buffer that is kept for the next call.
const maxPooled = 64 << 10

type encoder struct {
	enc *msgpack.Encoder
	buf bytes.Buffer
}

var encoders = sync.Pool{New: func() any { return &encoder{enc: msgpack.NewEncoder(nil)} }}

// Marshal returns the msgpack encoding of v: structs as maps, integers in the
// fewest bytes, and maps with string keys and string, bool or any values sorted.
// The order of other maps is random.
//
// Values with pointer-receiver methods that encode (big.Int, url.URL) must be
// addressable, so callers pass &v rather than v. Cycles are not detected.
//
// What Marshal returns, Scan accepts; if it would not, the error is ErrMalformed
// or ErrTooDeep.
func Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.buf.Reset()
	e.enc.Reset(&e.buf) // clears the options, which therefore follow it
	e.enc.UseCompactInts(true)
	e.enc.SetSortMapKeys(true)
	if err := e.enc.Encode(v); err != nil {
		return nil, &codecError{"encode", reflect.TypeOf(v), err}
	}
	if err := Scan(e.buf.Bytes()); err != nil {
		return nil, &codecError{"encode", reflect.TypeOf(v), err}
	}
	b := bytes.Clone(e.buf.Bytes())
	if e.buf.Cap() <= maxPooled {
		encoders.Put(e)
	}
	return b, nil
}

type decoder struct {
	dec *msgpack.Decoder
	r   reader
}

var decoders = sync.Pool{New: func() any { return &decoder{dec: msgpack.NewDecoder(nil)} }}

// Unmarshal decodes b, which may be any bytes at all, into what v points to. The
// package comment says what it guards against and what not. After an error the
// target may be half filled.
//
// The result shares no memory with b.
//
// Errors: ErrMalformed, ErrTooDeep; others if the value does not fit the target.
// The text of an error names the target's type and does not quote the data.
func Unmarshal(b []byte, v any) error {
	if s, ok := v.(*string); ok {
		if text, ok := readText(b); ok { // in half the time that the decoder takes
			*s = string(text)
			return nil
		}
	}
	if err := Scan(b); err != nil {
		return err
	}
	if b[0] == codeNil && !takesNil(v) {
		return &codecError{"decode", reflect.TypeOf(v), errNil}
	}
	d := decoders.Get().(*decoder)
	if err := d.decode(b, v); err != nil {
		// The decoder stays out of the pool: Reset does not undo all that an
		// error or a panic halfway may have left behind.
		return &codecError{"decode", reflect.TypeOf(v), err}
	}
	if len(b) <= maxPooled {
		d.r.reset(nil)
		decoders.Put(d)
	}
	return nil
}

var (
	errNil    = errors.New("msgpack: nil")
	errUnread = errors.New("msgpack: not all of the value was read")
)

func (d *decoder) decode(b []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	d.r.reset(b)
	d.dec.Reset(&d.r)
	if err := d.dec.Decode(v); err != nil {
		return err
	}
	if !d.r.atEnd() {
		return errUnread
	}
	return nil
}

// takesNil reports whether nil is a value of the target rather than the lack of
// one. A type that decodes itself may have written the nil.
func takesNil(v any) bool {
	switch v.(type) {
	case msgpack.CustomDecoder, msgpack.Unmarshaler, encoding.BinaryUnmarshaler, encoding.TextUnmarshaler:
		return true
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return true // the decoder says what is wrong with the target
	}
	switch t.Elem().Kind() {
	case reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	default:
		return false
	}
}

// codecError is a failure of the msgpack library or of a type's own methods.
type codecError struct {
	verb string
	typ  reflect.Type
	err  error
}

// Error leaves out causes from elsewhere, such as time.Parse or a type's own
// UnmarshalText: their text may quote the data. Unwrap has them.
func (e *codecError) Error() string {
	s := fmt.Sprintf("wire: %s %v", e.verb, e.typ)
	if text := e.err.Error(); strings.HasPrefix(text, "msgpack: ") || strings.HasPrefix(text, "wire: ") {
		s += ": " + text
	}
	return s
}

func (e *codecError) Unwrap() error { return e.err }

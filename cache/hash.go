package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// maxDepth ends the hashing of values that contain themselves.
const maxDepth = 100

// hashOf returns the hash of an argument's canonical encoding, in hex.
func hashOf[A any](arg A) (string, error) {
	b, err := canonical(nil, reflect.ValueOf(&arg).Elem(), 0)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	binaryType = reflect.TypeFor[encoding.BinaryMarshaler]()
	textType   = reflect.TypeFor[encoding.TextMarshaler]()
)

// marshals reports whether values of type t say by a method what they are. A method
// that a struct has from an embedded field says nothing of its other fields.
func marshals(t reflect.Type) bool {
	has := func(t reflect.Type) bool { return t.Implements(binaryType) || t.Implements(textType) }
	if t == timeType {
		return true
	}
	if !has(t) {
		return false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			if f := t.Field(i); f.Anonymous && (has(f.Type) || has(reflect.PointerTo(f.Type))) {
				return false
			}
		}
	}
	return true
}

// hashable reports why values of type t can have no canonical encoding. What is
// in an interface shows only when it is encoded.
func hashable(t reflect.Type, above []reflect.Type) error {
	if marshals(t) || slices.Contains(above, t) {
		return nil
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return fmt.Errorf("a %s cannot be part of a key", t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return hashable(t.Elem(), above)
	case reflect.Map:
		return errors.Join(hashable(t.Key(), above), hashable(t.Elem(), above))
	case reflect.Struct:
		for i := range t.NumField() {
			if err := hashable(t.Field(i).Type, above); err != nil {
				return fmt.Errorf("field %s: %w", t.Field(i).Name, err)
			}
		}
	}
	return nil
}

// canonical appends an encoding of v in which every part is of a length that is
// fixed by its type or written before it, so that no two values that differ have
// the same.
func canonical(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("it is nested too deeply for a key")
	}
	if v.CanInterface() {
		if b, done, err := marshaled(b, v); done {
			return b, err
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.BigEndian.AppendUint64(b, uint64(v.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return binary.BigEndian.AppendUint64(b, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(b, v.Float()), nil
	case reflect.Complex64, reflect.Complex128:
		return appendFloat(appendFloat(b, real(v.Complex())), imag(v.Complex())), nil
	case reflect.String:
		return appendBytes(b, []byte(v.String())), nil
	case reflect.Slice, reflect.Array:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			var err error
			if b, err = canonical(b, v.Index(i), depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Map:
		return canonicalMap(b, v, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			var err error
			if b, err = canonical(b, v.Field(i), depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, 0), nil
		}
		b = append(b, 1)
		if v.Kind() == reflect.Interface {
			t := v.Elem().Type()
			if err := hashable(t, nil); err != nil {
				return nil, err
			}
			b = appendBytes(appendBytes(b, []byte(t.PkgPath())), []byte(t.String()))
		}
		return canonical(b, v.Elem(), depth+1)
	}
	return nil, fmt.Errorf("a %s cannot be part of a key", v.Kind())
}

// marshaled appends what a value says of itself. A time is its instant: the same
// moment in two places is one.
func marshaled(b []byte, v reflect.Value) (_ []byte, done bool, err error) {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer && v.IsNil() || !marshals(v.Type()) {
		return b, false, nil
	}
	var text []byte
	switch x := v.Interface().(type) {
	case time.Time:
		b = binary.BigEndian.AppendUint64(b, uint64(x.Unix()))
		return binary.BigEndian.AppendUint32(b, uint32(x.Nanosecond())), true, nil
	case encoding.BinaryMarshaler:
		text, err = x.MarshalBinary()
	case encoding.TextMarshaler:
		text, err = x.MarshalText()
	default:
		return b, false, nil
	}
	return appendBytes(append(b, 1), text), true, err
}

func canonicalMap(b []byte, v reflect.Value, depth int) ([]byte, error) {
	entries := make([][]byte, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := canonical(nil, it.Key(), depth+1)
		if err != nil {
			return nil, err
		}
		value, err := canonical(nil, it.Value(), depth+1)
		if err != nil {
			return nil, err
		}
		entries = append(entries, appendBytes(appendBytes(nil, key), value))
	}
	slices.SortFunc(entries, bytes.Compare)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for _, e := range entries {
		b = append(b, e...)
	}
	return b, nil
}

func appendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// appendFloat appends f; both zeros are one, as for ==.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 {
		f = 0
	}
	return binary.BigEndian.AppendUint64(b, math.Float64bits(f))
}

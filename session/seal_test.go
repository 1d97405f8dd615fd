package session

import (
	"bytes"
	"strings"
	"testing"
)

func key(c byte) []byte { return bytes.Repeat([]byte{c}, keySize) }

func mustSealer(t *testing.T, keys ...[]byte) *sealer {
	t.Helper()
	s, err := newSealer(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeal(t *testing.T) {
	t.Parallel()
	header, payload := []byte("header"), []byte("what only the application may read")
	one := mustSealer(t, key(1))
	sealed := one.seal(bytes.Clone(header), "handle", payload)
	if bytes.Contains(sealed, payload[:8]) || !bytes.HasPrefix(sealed, header) {
		t.Errorf("sealed is %q", sealed)
	}
	if again := one.seal(bytes.Clone(header), "handle", payload); bytes.Equal(again, sealed) {
		t.Error("the same is sealed the same twice")
	}
	sealed = sealed[len(header):]
	for name, s := range map[string]*sealer{
		"the same key":             one,
		"another that is newer":    mustSealer(t, key(2), key(1)),
		"another that encrypts no": mustSealer(t, key(1), key(2)),
	} {
		if got, err := s.open(header, "handle", sealed); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("with %s: %q, %v", name, got, err)
		}
	}
	newer := mustSealer(t, key(2), key(1)).seal(nil, "handle", payload)
	if _, err := one.open(nil, "handle", newer); err == nil {
		t.Error("the first of the keys did not encrypt")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another handle": func() ([]byte, error) { return one.open(header, "hendle", sealed) },
		"another header": func() ([]byte, error) { return one.open([]byte("reader"), "handle", sealed) },
		"another key":    func() ([]byte, error) { return mustSealer(t, key(2)).open(header, "handle", sealed) },
		"a plain one":    func() ([]byte, error) { return one.open(header, "handle", payload) },
		"nothing":        func() ([]byte, error) { return one.open(header, "handle", nil) },
		"a short one":    func() ([]byte, error) { return one.open(header, "handle", sealed[:len(sealed)-1]) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s is decrypted to %q", name, got)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := one.open(header, "handle", bad); err == nil {
			t.Fatalf("a change of byte %d is not noticed", i)
		}
	}
}

func TestSealerKeys(t *testing.T) {
	t.Parallel()
	if s, err := newSealer(nil); s != nil || err != nil {
		t.Errorf("without keys: %v, %v", s, err)
	}
	_, err := newSealer([][]byte{key(1), key(1)[:16]})
	if err == nil || !strings.Contains(err.Error(), "Keys[1]") {
		t.Errorf("a key of 16 bytes: %v, want an error that names it", err)
	}
	k := key(1)
	s := mustSealer(t, k)
	clear(k)
	if !bytes.Equal(s.keys[0], key(1)) {
		t.Error("the key is not copied")
	}
}

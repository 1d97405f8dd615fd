package session

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	t.Parallel()
	a, b := newToken(), newToken()
	if a.handle == b.handle || a.secret == b.secret {
		t.Error("two new tokens have something in common")
	}
	v := a.cookieValue()
	if len(v) != 64 || len(a.handle) != 22 {
		t.Errorf("the token has %d characters and its handle %d, want 64 and 22", len(v), len(a.handle))
	}
	if got, ok := parseToken(v); !ok || got != a {
		t.Error("a token is another one after it was a cookie")
	}
	raw, err := base64.RawURLEncoding.DecodeString(v)
	if err != nil || string(raw[16:]) != string(a.secret[:]) {
		t.Errorf("the token is %d bytes, %v, want 48 of which the last 32 are the secret", len(raw), err)
	}
	if a.secret.digest() != sha256.Sum256(raw[16:]) {
		t.Error("the hash is not the SHA-256 of the secret")
	}
}

func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	tok := newToken()
	good := tok.cookieValue()
	for name, v := range map[string]string{
		"empty":      "",
		"short":      good[:63],
		"long":       good + "A",
		"oversized":  strings.Repeat("A", 1<<20),
		"padded":     good[:63] + "=",
		"standard":   good[:63] + "+",
		"slash":      good[:63] + "/",
		"NUL":        good[:63] + "\x00",
		"line break": good[:63] + "\n",
		"breaks":     good[:60] + "\r\n\r\n",
		"quoted":     `"` + good[:62] + `"`,
		"UTF-8":      good[:62] + "é",
	} {
		if _, ok := parseToken(v); ok {
			t.Errorf("a token that is %s is accepted", name)
		}
	}
}

func TestNextSecret(t *testing.T) {
	t.Parallel()
	s, n := newSecret(), newNonce()
	next := s.next(&n)
	if next != s.next(&n) {
		t.Error("a secret has two successors with one nonce")
	}
	other, otherNonce := newSecret(), newNonce()
	if next == s || next == other.next(&n) || next == s.next(&otherNonce) {
		t.Error("the successor does not depend on the secret and the nonce")
	}
}

func FuzzToken(f *testing.F) {
	tok := newToken()
	f.Add(tok.cookieValue())
	f.Add(strings.Repeat("A", 64))
	f.Add("")
	f.Fuzz(func(t *testing.T, v string) {
		got, ok := parseToken(v)
		if ok && (got.cookieValue() != v || len(got.handle) != 22) {
			t.Errorf("%q is accepted, and written as %q", v, got.cookieValue())
		}
	})
}

package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

const (
	handleSize = 16
	secretSize = 32
	handleLen  = (handleSize*8 + 5) / 6 // characters
	tokenLen   = (handleSize + secretSize) * 8 / 6
)

var encoding = base64.RawURLEncoding.Strict()

// A token is what a cookie holds: the handle, which names the record and is public, and
// the secret, of which the record has only the hash.
type token struct {
	handle string
	secret secret
}

// A secret proves that a session is one's own.
type secret [secretSize]byte

// A digest is the SHA-256 of a secret. The secret is random, so nothing slower is needed.
type digest [sha256.Size]byte

// newToken returns a token that nobody has ever had.
func newToken() token {
	var handle [handleSize]byte
	_, _ = rand.Read(handle[:]) // which does not fail
	return token{encoding.EncodeToString(handle[:]), newSecret()}
}

func newSecret() (s secret) {
	_, _ = rand.Read(s[:])
	return s
}

// parseToken decodes the value of a cookie.
func parseToken(v string) (t token, ok bool) {
	if len(v) != tokenLen {
		return t, false
	}
	// Through arrays that stay on the stack: this is done for every request.
	var text [tokenLen]byte
	var raw [handleSize + secretSize]byte
	copy(text[:], v)
	// Decode passes over line breaks, which makes raw too short.
	if n, err := encoding.Decode(raw[:], text[:]); err != nil || n != len(raw) {
		return t, false
	}
	encoding.Encode(text[:], raw[:handleSize])
	t.handle = string(text[:handleLen])
	copy(t.secret[:], raw[handleSize:])
	return t, true
}

// cookieValue is the token's text.
func (t *token) cookieValue() string {
	raw := make([]byte, 0, handleSize+secretSize)
	raw, _ = encoding.AppendDecode(raw, []byte(t.handle))
	return encoding.EncodeToString(append(raw, t.secret[:]...))
}

func (s *secret) digest() digest { return sha256.Sum256(s[:]) }

// next is the secret that follows s at a rotation with this nonce. Whoever has s and can
// read the record finds the same, however many do so at once.
func (s *secret) next(n *nonce) (next secret) {
	mac := hmac.New(sha256.New, s[:])
	mac.Write(n[:])
	mac.Sum(next[:0])
	return next
}

// is reports whether two hashes are equal, in constant time.
func (d *digest) is(other *digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

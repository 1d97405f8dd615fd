package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

const (
	keySize   = 32
	nonceSize = 12
	tagSize   = 16
	// keyPurpose keeps apart what else a user may derive from the same key.
	keyPurpose = "freshet session payload, AES-256-GCM: "
)

var errSealed = errors.New("the payload cannot be decrypted")

// sealer encrypts payloads. Each handle has a key of its own, derived from the first of
// the manager's, so that the nonces, which are random, do not repeat however many
// sessions there are.
type sealer struct{ keys [][]byte }

func newSealer(keys [][]byte) (*sealer, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	s := &sealer{make([][]byte, len(keys))}
	for i, k := range keys {
		if len(k) != keySize {
			return nil, fmt.Errorf("session: ManagerOptions.Keys[%d] is not %d bytes long", i, keySize)
		}
		s.keys[i] = append([]byte(nil), k...)
	}
	return s, nil
}

func aead(key []byte, handle string) cipher.AEAD {
	// None of these fails for a key of the right size.
	derived, _ := hkdf.Expand(sha256.New, key, keyPurpose+handle, keySize)
	block, _ := aes.NewCipher(derived)
	gcm, _ := cipher.NewGCM(block)
	return gcm
}

// seal appends to b the encrypted payload. What b holds is authenticated with it, and
// so is the handle: neither header nor payload can be moved to another record.
func (s *sealer) seal(b []byte, handle string, payload []byte) []byte {
	header := len(b)
	var n [nonceSize]byte
	_, _ = rand.Read(n[:])
	b = append(b, n[:]...)
	return aead(s.keys[0], handle).Seal(b, n[:], payload, associated(handle, b[:header]))
}

// open returns the payload that was sealed behind header.
func (s *sealer) open(header []byte, handle string, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, errSealed
	}
	data := associated(handle, header)
	for _, k := range s.keys {
		payload, err := aead(k, handle).Open(nil, sealed[:nonceSize], sealed[nonceSize:], data)
		if err == nil {
			return payload, nil
		}
	}
	return nil, errSealed
}

// associated is what is authenticated and not encrypted. Handles have one length, so
// that it cannot be taken for another pair.
func associated(handle string, header []byte) []byte {
	return append([]byte(handle), header...)
}

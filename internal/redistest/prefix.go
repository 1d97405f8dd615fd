package redistest

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

var (
	prefixRun = strings.ToLower(rand.Text()[:6])
	prefixSeq atomic.Int64
)

// Prefix returns a key prefix that no other test uses, nor the same test in
// another run. It consists of letters, digits and '-'.
func Prefix(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, t.Name())
	const readable = 48
	if len(name) > readable {
		name = name[len(name)-readable:]
	}
	return fmt.Sprintf("%s-%s-%d", name, prefixRun, prefixSeq.Add(1))
}

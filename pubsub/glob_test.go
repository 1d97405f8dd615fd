package pubsub

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"*", "", true},
		{"*", "anything", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-b-b-d", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"[a-c]x", "bx", true},
		{"[c-a]x", "bx", true},
		{"[^a-c]x", "bx", false},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`[\]]`, "]", true},
		{"[", "[", false},
		{"[a", "a", true},
		{"", "", true},
		{"", "a", false},
		{strings.Repeat("a*", 30) + "b", strings.Repeat("a", 60), false}, // not for ever
	} {
		if got := match(c.pattern, c.topic); got != c.want {
			t.Errorf("match(%q, %q) = %v, want %v", c.pattern, c.topic, got, c.want)
		}
	}
}

// TestMatchAsRedis compares with what KEYS finds.
func TestMatchAsRedis(t *testing.T) {
	t.Parallel()
	redistest.EachPrivate(t, []redistest.Topology{redistest.Standalone}, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		text := func(alphabet string) string {
			b := make([]byte, 1+rand.N(6))
			for i := range b {
				b[i] = alphabet[rand.N(len(alphabet))]
			}
			return string(b)
		}
		for range 20 {
			topic := text(`abc-]^*\`)
			if err := rdb.Set(t.Context(), topic, "", 0).Err(); err != nil {
				t.Fatal(err)
			}
			patterns := make([]string, 100)
			cmds, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for i := range patterns {
					patterns[i] = text(`ab*?[]^-\c`)
					p.Keys(t.Context(), patterns[i])
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, cmd := range cmds {
				if got, want := match(patterns[i], topic), len(cmd.(*redis.StringSliceCmd).Val()) > 0; got != want {
					t.Errorf("match(%q, %q) = %v, and Redis says %v", patterns[i], topic, got, want)
				}
			}
			rdb.Del(t.Context(), topic)
		}
	})
}

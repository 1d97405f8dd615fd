package session_test

import (
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/session"
	"github.com/freshet-go/freshet/session/sessiontest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, func(t *testing.T) session.Store {
		m, err := session.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestRedisStore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := redistest.Prefix(t)
		sessiontest.Run(t, func(t *testing.T) session.Store {
			r, err := session.New(s.Client(t), &session.Options{Prefix: prefix, Timeout: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
	})
}

package session

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// The commands that the package comment lists are all that its user needs.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(source), "needs the commands ")
	commands := regexp.MustCompile(`[A-Z]{3,}`).FindAllString(list, -1)
	if len(commands) < 10 {
		t.Fatalf("the commands are %q", commands)
	}
	s := redistest.Private(t, redistest.Standalone)
	rule := []any{"ACL", "SETUSER", "app", "on", "nopass", "~*", "+hello"}
	for _, c := range commands {
		rule = append(rule, "+"+strings.ToLower(c))
	}
	check(t, s.Client(t).Do(t.Context(), rule...).Err())
	store := newStore(t, s.Client(t, func(o *redis.UniversalOptions) { o.Username, o.Password = "app", "any" }), Options{})
	m := newManager(t, store, ManagerOptions{TouchEvery: -1, MaxPerUser: 2, RenewEvery: 1})
	b := newBrowser(t, m)
	for range 4 {
		b.cookie = ""
		b.login("alice")
		b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
	}
	b.wants("alice")
	if list, err := m.List(t.Context(), "alice"); err != nil || len(list) != 2 {
		t.Errorf("List() = %v, %v", list, err)
	} else {
		check(t, m.Revoke(t.Context(), "alice", list[1].Handle))
	}
	b.visit(func(s *Session[cart]) { check(t, s.Renew(t.Context())) })
	check(t, m.RevokeAll(t.Context(), "alice"))
	b.login("alice")
	b.visit(func(s *Session[cart]) { check(t, s.Destroy(t.Context())) })
}

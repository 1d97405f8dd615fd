package session

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/redistest"
)

// dump returns all keys with a prefix and all that is stored under them.
func dump(t *testing.T, s *redistest.Server, rdb redis.UniversalClient, prefix string) string {
	t.Helper()
	var b strings.Builder
	for _, k := range s.Keys(t, prefix+":") {
		v, err := rdb.Dump(t.Context(), k).Result()
		if err == nil {
			fmt.Fprintln(&b, k, v)
		}
		if v, err := rdb.Get(t.Context(), k).Result(); err == nil { // DUMP compresses
			fmt.Fprintln(&b, v)
		}
		if vs, err := rdb.ZRange(t.Context(), k, 0, -1).Result(); err == nil {
			fmt.Fprintln(&b, vs)
		}
	}
	return b.String()
}

// Attack 15: no secret, token or key is in a log, an error, a key or a stored value, in
// any of the forms in which it could be used.
func TestNoSecretAnywhere(t *testing.T) {
	t.Parallel()
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		var logged, sensitive bytes.Buffer
		var mu sync.Mutex
		note := func(v ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(&logged, v...)
			fmt.Fprintf(&logged, "%v %+v %#v\n", v, v, v)
		}
		logger := slog.New(slog.NewJSONHandler(&logged, nil))
		rdb := s.Client(t)
		store := newStore(t, rdb, Options{})
		o := ManagerOptions{
			Keys: [][]byte{key('k')}, RenewEvery: time.Millisecond,
			OnError:      func(err error) { note(err) },
			OnReuse:      func(_ context.Context, user, handle string) { note(user, handle) },
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { note(err); failed(w, nil, err) },
		}
		m := newManager(t, store, o)
		m.o.RenewGrace = 0
		b := newBrowser(t, m)
		secrets := map[string]bool{}
		collect := func() {
			if b.cookie != "" {
				secrets[b.cookie] = true
			}
		}
		step := func(f func(s *Session[cart]) error) {
			before := b.cookie
			b.do(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				note(s, err, r.Context())
				if err == nil {
					note(f(s), s.Handle(), s.Data())
					logger.Info("request", "session", s, "err", err, "ctx", fmt.Sprint(r.Context()))
				}
			})
			collect()
			if b.cookie == "" { // the last step
				return
			}
			for _, old := range []string{before, withSecret(t, b.cookie, newSecret())} {
				b.with(old, func(_ http.ResponseWriter, r *http.Request) {
					s, err := m.Get(r.Context())
					note(s, err)
					note(s.Update(addOne))
				})
			}
			note(m.List(t.Context(), "alice"))
			note(fmt.Sprintf("%+v", m.Stats()))
			sensitive.WriteString(dump(t, s, rdb, store.o.Prefix))
		}
		ctx := t.Context()
		step(func(s *Session[cart]) error { return s.Update(putItem("plaintext of the payload")) })
		step(func(s *Session[cart]) error { return s.Login(ctx, "alice") })
		step(func(s *Session[cart]) error { return s.UpdateNow(ctx, func(*cart) error { return errNo }) })
		step(func(s *Session[cart]) error { return s.Renew(ctx) })
		step(func(s *Session[cart]) error { return s.Reload(ctx) })
		step(func(s *Session[cart]) error { return s.Login(ctx, "") })
		gone, cancel := context.WithCancel(ctx)
		cancel()
		step(func(s *Session[cart]) error { return errors.Join(s.Login(gone, "alice"), s.Renew(gone)) })
		step(func(s *Session[cart]) error { return s.Update(addOne) })
		rdbGone := s.Client(t)
		check(t, rdbGone.Close())
		m2 := newManager(t, newStore(t, rdbGone, Options{}), o)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "__Host-sid="+b.cookie)
		m2.Middleware(m2.RequireLogin(0)(http.NotFoundHandler())).ServeHTTP(httptest.NewRecorder(), r)
		step(func(s *Session[cart]) error { return s.Destroy(ctx) })

		if len(secrets) < 4 || sensitive.Len() < 1000 || logged.Len() < 1000 {
			t.Fatalf("there are %d secrets, %d bytes of Redis and %d of logs: that shows little", len(secrets), sensitive.Len(), logged.Len())
		}
		all := logged.String() + sensitive.String()
		forbid := func(what, text string) {
			t.Helper()
			if strings.Contains(all, text) {
				t.Errorf("%s is somewhere", what)
			}
		}
		for cookie := range secrets {
			tok, ok := parseToken(cookie)
			if !ok {
				t.Fatal("a cookie is no token")
			}
			sec := tok.secret[:]
			forbid("a token", cookie)
			forbid("a token's second half", cookie[24:])
			forbid("a secret", string(sec))
			forbid("a secret in hex", hex.EncodeToString(sec))
			forbid("a secret in base64", base64.RawStdEncoding.EncodeToString(sec))
			forbid("a secret in base64url", base64.RawURLEncoding.EncodeToString(sec))
			forbid("a secret in numbers", strings.Trim(fmt.Sprint(sec), "[]"))
			forbid("half a secret", string(sec[:16]))
			hash := tok.secret.digest()
			if strings.Contains(logged.String(), string(hash[:])) || strings.Contains(logged.String(), hex.EncodeToString(hash[:])) {
				t.Error("a hash is in the log")
			}
		}
		forbid("the key", string(key('k')))
		if strings.Contains(sensitive.String(), "plaintext") {
			t.Error("the payload is not encrypted")
		}
		if m.Stats().Refused == 0 || m.Stats().Renewed == 0 {
			t.Errorf("Stats are %+v: that shows little", m.Stats())
		}
	})
}

// No stored value authenticates: what is in the database is not what a cookie needs.
func TestDatabaseLogsNobodyIn(t *testing.T) {
	t.Parallel()
	mem := newMemory(t)
	m := newManager(t, mem, ManagerOptions{OnError: func(error) {}, RenewEvery: time.Minute})
	b := newBrowser(t, m)
	b.login("alice")
	tok, _ := parseToken(b.cookie)
	rec, err := mem.Get(t.Context(), tok.handle)
	check(t, err)
	for i := 0; i+secretSize <= len(rec.Data); i++ {
		var s secret
		copy(s[:], rec.Data[i:])
		if user, _ := userWith(t, b, withSecret(t, b.cookie, s)); user != "" {
			t.Errorf("the bytes from %d on are a secret", i)
		}
	}
}

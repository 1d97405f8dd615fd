package session

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// over asks a real server with a browser's cookie, and keeps what it sets.
func over(t *testing.T, srv *httptest.Server, b *browser[cart]) (res *http.Response, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.cookie != "" {
		req.Header.Set("Cookie", "__Host-sid="+b.cookie)
	}
	res, err = srv.Client().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	b.keep(res)
	return res, string(text), err
}

// Attack 11: an update is saved and its cookie sent, in whatever way the handler
// responds after it; and what comes after the header is saved too, if it needs no cookie.
func TestMiddlewareResponses(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		m := newManager(t, newMemory(t), ManagerOptions{})
		for name, c := range responses(t) {
			for _, late := range []bool{false, true} {
				b := newBrowser(t, m)
				if late {
					b.login("alice")
				}
				srv, _ := startServer(t, version, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := m.Get(r.Context())
					check(t, err)
					if !late {
						check(t, s.Update(addOne))
					}
					c.h(w, r)
					if late {
						check(t, s.Update(addOne))
					}
				})))
				res, body, err := over(t, srv, b)
				if err != nil || res.StatusCode != c.want.status || body != c.want.body || len(res.Cookies()) == 1 == late {
					t.Errorf("%s, late %v: status %d, %.20q, header %v, %v", name, late, res.StatusCode, body, res.Header, err)
					continue
				}
				srv.Close() // when the handler has returned
				if _, data := b.look(); data.N != 1 {
					t.Errorf("%s, late %v: the data is %+v", name, late, data)
				}
			}
		}
	})
}

// What needs a cookie when the header is out fails, and changes nothing.
func TestHeadersSent(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		m := newManager(t, newMemory(t), ManagerOptions{})
		for _, begin := range []func(w http.ResponseWriter){
			func(w http.ResponseWriter) { w.WriteHeader(200) },
			func(w http.ResponseWriter) { _, _ = io.WriteString(w, "a") },
			func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		} {
			stranger, alice := newBrowser(t, m), newBrowser(t, m)
			alice.login("alice")
			srv, _ := startServer(t, version, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				begin(w)
				ctx := r.Context()
				wantErr(t, "Login", s.Login(ctx, "bob"), ErrHeadersSent)
				wantErr(t, "LoginSince", s.LoginSince(ctx, "bob", s.began), ErrHeadersSent)
				wantErr(t, "Renew", s.Renew(ctx), ErrHeadersSent)
				if s.User() == "" {
					wantErr(t, "Update", s.Update(addOne), ErrHeadersSent)
					wantErr(t, "UpdateNow", s.UpdateNow(ctx, addOne), ErrHeadersSent)
					return
				}
				check(t, s.Update(addOne))
				check(t, s.UpdateNow(ctx, addOne))
			})))
			if res, _, err := over(t, srv, stranger); err != nil || len(res.Cookies()) != 0 {
				t.Errorf("a stranger: %v, %v", res, err)
			}
			if res, _, err := over(t, srv, alice); err != nil || len(res.Cookies()) != 0 {
				t.Errorf("Alice: %v, %v", res, err)
			}
			srv.Close()
			if user, data := alice.look(); user != "alice" || data.N != 2 {
				t.Errorf("%q has %v", user, data)
			}
		}
		if n := m.Stats().Created; n != 3 {
			t.Errorf("%d sessions were made, want Alice's 3", n)
		}
	})
}

// An Update when the handler has returned would be lost: it is refused. UpdateNow is not.
func TestUpdateAfterTheHandler(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, newManager(t, newMemory(t), ManagerOptions{}))
	b.login("alice")
	var s *Session[cart]
	b.visit(func(session *Session[cart]) { s = session })
	wantErr(t, "Update", s.Update(addOne), ErrHeadersSent)
	check(t, s.UpdateNow(t.Context(), addOne))
	if _, data := b.look(); data.N != 1 {
		t.Errorf("the data is %v", data)
	}
}

// Attack 11: a panic commits nothing.
func TestMiddlewarePanic(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		mem := newMemory(t)
		m := newManager(t, mem, ManagerOptions{})
		for _, v := range []any{"a bug", http.ErrAbortHandler} {
			srv, _ := startServer(t, version, m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				check(t, s.Update(addOne))
				panic(v)
			})))
			stranger, alice := newBrowser(t, m), newBrowser(t, m)
			alice.login("alice")
			for _, b := range []*browser[cart]{stranger, alice} {
				if res, _, err := over(t, srv, b); err == nil {
					t.Errorf("panic(%v): status %d", v, res.StatusCode)
				}
			}
			srv.Close()
			if _, data := alice.look(); data.N != 0 {
				t.Errorf("panic(%v): the data is %v", v, data)
			}
		}
		if len(mem.records) != 2 {
			t.Errorf("there are %d records, want Alice's 2", len(mem.records))
		}
	})
}

// A session that cannot be saved: ErrorHandler responds, once, and the cookie stays as it
// is.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		for _, c := range []struct {
			err    error
			status int
		}{
			{ErrUnavailable, 503},
			{ErrUnknownOutcome, 503},
			{fmt.Errorf("dial tcp 10.1.2.3:6379: hunter2: %w", ErrUnavailable), 503},
			{errors.New("OOM command not allowed, hunter2"), 500},
			{ErrNotFound, 401},
		} {
			log := new(errorLog)
			store := &brokenStore{Memory: newMemory(t)}
			m := newManager(t, store, ManagerOptions{OnError: log.add})
			stranger, alice := newBrowser(t, m), newBrowser(t, m)
			alice.login("alice")
			srv, _ := startServer(t, version, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Get(r.Context())
				check(t, err)
				check(t, s.Update(addOne))
				http.SetCookie(w, &http.Cookie{Name: "other", Value: "1"})
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(201)
				_, _ = io.WriteString(w, "it is saved")
			})))
			store.swap, store.create = c.err, c.err
			for name, b := range map[string]*browser[cart]{"a stranger": stranger, "alice": alice} {
				res, body, err := over(t, srv, b)
				if err != nil || res.StatusCode != c.status || strings.Contains(body, "saved") || strings.Contains(body, "hunter2") || res.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%v, %s: %v, %q, %v", c.err, name, res, body, err)
				}
				var p struct{ Status int }
				if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != c.status {
					t.Errorf("%v: the problem is %s, %v", c.err, body, err)
				}
				if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"other=1"}) {
					t.Errorf("%v, %s: Set-Cookie is %q", c.err, name, got)
				}
			}
			store.swap, store.create = nil, nil
			if user, data := alice.look(); user != "alice" || data.N != 0 {
				t.Errorf("%v: afterwards %q has %v", c.err, user, data)
			}
			if n := m.Stats().Failed; n != 2 || log.count() != 0 {
				t.Errorf("%v: Stats count %d, OnError was told %v", c.err, n, log.errs)
			}
		}
	})
}

// A late update that cannot be saved is OnError's; the response is out.
func TestLateCommitFails(t *testing.T) {
	t.Parallel()
	log := new(errorLog)
	store := &brokenStore{Memory: newMemory(t)}
	m := newManager(t, store, ManagerOptions{OnError: log.add})
	b := newBrowser(t, m)
	b.login("alice")
	store.swap = ErrUnavailable
	res := b.do(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		_, _ = io.WriteString(w, "hello")
		check(t, s.Update(addOne))
	})
	if got := body(res); res.StatusCode != 200 || got != "hello" || log.count() != 1 || !log.has(ErrUnavailable) {
		t.Errorf("status %d, %q, OnError was told %v", res.StatusCode, got, log.errs)
	}
}

// The client is gone; what it did is saved.
func TestClientGone(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	b.login("alice")
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("Cookie", "__Host-sid="+b.cookie)
	m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		check(t, s.Update(addOne))
		cancel()
		_, _ = io.WriteString(w, "hello")
		check(t, s.Update(addOne))
	})).ServeHTTP(httptest.NewRecorder(), r)
	if _, data := b.look(); data.N != 2 {
		t.Errorf("the data is %v", data)
	}
}

// A stream notices that its session has ended.
func TestStream(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		m := newManager(t, newMemory(t), ManagerOptions{})
		b := newBrowser(t, m)
		b.login("alice")
		next := make(chan int)
		srv, _ := startServer(t, version, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			check(t, err)
			check(t, s.Update(addOne)) // saved with the first Flush
			w.Header().Set("Content-Type", "text/event-stream")
			c := http.NewResponseController(w)
			_ = c.Flush()
			for range next {
				if err := s.Reload(r.Context()); err != nil {
					wantErr(t, "Reload", err, ErrNotFound)
					fmt.Fprint(w, "event: end\n")
					return
				}
				fmt.Fprintf(w, "data: %s %d\n", s.User(), s.Data().N)
				_ = c.Flush()
			}
		})))
		req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
		req.Header.Set("Cookie", "__Host-sid="+b.cookie)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		in := bufio.NewReader(res.Body)
		event := func(want string) {
			t.Helper()
			next <- 0
			if line, err := in.ReadString('\n'); line != want+"\n" {
				t.Errorf("the event is %q, %v, want %s", line, err, want)
			}
		}
		event("data: alice 1")
		b.visit(func(s *Session[cart]) { check(t, s.Update(addOne)) })
		event("data: alice 2")
		check(t, m.RevokeAll(t.Context(), "alice"))
		event("event: end")
		close(next)
	})
}

// A websocket: the cookie goes out with the upgrade, and what happens on the
// connection is saved by UpdateNow at once, or by Update in the end.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	done := make(chan struct{})
	handler := m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		check(t, s.Update(addOne))
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n")
		_ = w.Header().Write(rw)
		fmt.Fprint(rw, "\r\n")
		_ = rw.Flush()
		_, _ = rw.ReadString('\n')
		wantErr(t, "Login", s.Login(r.Context(), "alice"), ErrHeadersSent)
		check(t, s.UpdateNow(r.Context(), addOne))
		check(t, s.Update(addOne))
		fmt.Fprintf(rw, "%d\n", s.Data().N)
		_ = rw.Flush()
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		close(done)
	}))
	defer srv.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || cookieOf(res) == "" {
		t.Fatalf("%v, %v", res, err)
	}
	b := newBrowser(t, m)
	b.keep(res)
	if _, data := b.look(); data.N != 1 {
		t.Errorf("after the upgrade the data is %v", data)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "3\n" {
		t.Errorf("%q, %v", line, err)
	}
	<-done
	if _, data := b.look(); data.N != 3 {
		t.Errorf("in the end the data is %v", data)
	}
}

// A response that does not depend on the session is not said to.
func TestVary(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	b := newBrowser(t, m)
	for _, c := range []struct{ had, want []string }{
		{nil, []string{"Cookie"}},
		{[]string{"Accept-Encoding"}, []string{"Accept-Encoding", "Cookie"}},
		{[]string{"Accept, cookie"}, []string{"Accept, cookie"}},
		{[]string{"*"}, []string{"*"}},
	} {
		res := b.do(func(w http.ResponseWriter, r *http.Request) {
			if c.had != nil {
				w.Header()["Vary"] = c.had
			}
			_, err := m.Get(r.Context())
			check(t, err)
		})
		if got := res.Header["Vary"]; !slices.Equal(got, c.want) {
			t.Errorf("Vary was %q and is %q, want %q", c.had, got, c.want)
		}
	}
	if res := b.do(func(http.ResponseWriter, *http.Request) {}); res.Header.Get("Vary") != "" {
		t.Errorf("a page without session says Vary: %s", res.Header.Get("Vary"))
	}
}

// The session's context is a context like others.
func TestMiddlewareContext(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	type key struct{}
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		child, stop := context.WithCancel(context.WithValue(r.Context(), key{}, "another"))
		defer stop()
		if _, err := m.Get(child); err != nil || r.Context().Value(key{}) != "value" || r.Context().Value("none") != nil {
			t.Errorf("Get() = %v, the value is %v", err, r.Context().Value(key{}))
		}
		cancel(errNo)
		<-child.Done()
		if !errors.Is(context.Cause(child), errNo) {
			t.Errorf("it ends with %v", context.Cause(child))
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// A request whose time is over could not reach the session: that is not a mistake of the
// server's.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		store := &brokenStore{Memory: newMemory(t), get: err}
		m := newManager(t, store, ManagerOptions{})
		tok := newToken()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", m.jar.name+"="+tok.cookieValue())
		w := httptest.NewRecorder()
		m.Middleware(m.RequireLogin(0)(http.NotFoundHandler())).ServeHTTP(w, r)
		if w.Code != 503 {
			t.Errorf("%v: status %d", err, w.Code)
		}
	}
}

// A response that depends on whether the session could be read depends on the cookie.
func TestVaryWhenAway(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Memory: newMemory(t), get: ErrUnavailable}
	m := newManager(t, store, ManagerOptions{})
	tok := newToken()
	b := newBrowser(t, m)
	res := b.with(tok.cookieValue(), func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Get(r.Context()); err == nil {
			t.Error("Get succeeds")
		}
		w.WriteHeader(200) // the page without a name
	})
	if res.Header.Get("Vary") != "Cookie" {
		t.Errorf("header %v", res.Header)
	}
}

// Around a handler that is inside of the middleware twice there is one session.
func TestMiddlewareTwice(t *testing.T) {
	t.Parallel()
	m := newManager(t, newMemory(t), ManagerOptions{})
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := m.Get(r.Context())
			check(t, err)
			check(t, s.Update(putItem("outer")))
			next.ServeHTTP(w, r)
		})
	}
	h := m.Middleware(outer(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := m.Get(r.Context())
		check(t, err)
		check(t, s.Update(putItem("inner")))
	}))))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	b := newBrowser(t, m)
	b.keep(w.Result())
	if _, data := b.look(); len(data.Items) != 2 {
		t.Errorf("the data is %+v", data)
	}
}

package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// recorder is a committer that remembers what it was asked.
type recorder struct {
	err       error
	committed atomic.Int64
	replaced  atomic.Int64
}

func (c *recorder) commit(h http.Header) error {
	h.Set("Set-Cookie", "commit="+strconv.FormatInt(c.committed.Add(1), 10))
	return c.err
}

func (c *recorder) replace(w http.ResponseWriter, _ error) {
	c.replaced.Add(1)
	w.Header().Del("Set-Cookie")
	http.Error(w, "replaced", http.StatusServiceUnavailable)
}

// answer is what a client sees.
type answer struct {
	status int
	header http.Header
	body   string
	early  []int // informational responses
	err    error
}

// served runs a handler behind a writer in a real server.
type served struct {
	*recorder
	srv *httptest.Server
	log *syncBuffer
}

// syncBuffer is the server's log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startServer runs h as a server of HTTP/1.1 or 2.
func startServer(t *testing.T, version int, h http.Handler) (*httptest.Server, *syncBuffer) {
	t.Helper()
	srv, out := httptest.NewUnstartedServer(h), new(syncBuffer)
	srv.Config.ErrorLog = log.New(out, "", 0)
	srv.EnableHTTP2 = version == 2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, out
}

func serveWriter(t *testing.T, version int, err error, h http.HandlerFunc) *served {
	t.Helper()
	c := &recorder{err: err}
	srv, out := startServer(t, version, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != version {
			t.Errorf("the request came over HTTP/%d", r.ProtoMajor)
		}
		(&writer{ResponseWriter: w, session: c}).serve(h, r)
	}))
	return &served{c, srv, out}
}

func (s *served) get(t *testing.T) (a answer) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if h.Get("Set-Cookie") != "" {
			t.Error("an informational response sets a cookie")
		}
		a.early = append(a.early, code)
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", s.srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.srv.Client().Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a.status, a.header, a.body, a.err = res.StatusCode, res.Header, string(body), err
	return a
}

// onVersions runs body for HTTP/1.1 and HTTP/2.
func onVersions(t *testing.T, body func(t *testing.T, version int)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP%d", version), func(t *testing.T) {
			t.Parallel()
			body(t, version)
		})
	}
}

// file is 300 KiB in a file.
func file(t *testing.T) (name, content string) {
	t.Helper()
	content = strings.Repeat("all the world's a stage ", 12800)
	name = filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, content
}

// responses are the ways to respond.
func responses(t *testing.T) map[string]struct {
	h    http.HandlerFunc
	want answer
} {
	name, content := file(t)
	open := func() *os.File {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
		}
		return f
	}
	ok := func(status int, body string, early ...int) answer {
		return answer{status: status, body: body, early: early}
	}
	type response = struct {
		h    http.HandlerFunc
		want answer
	}
	return map[string]response{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, ok(200, "")},
		"Write": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("a"))
			_, _ = w.Write([]byte("b"))
		}, ok(200, "ab")},
		"WriteString": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ab") }, ok(200, "ab")},
		"WriteHeader": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, ok(204, "")},
		"WriteHeader, Write": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			_, _ = w.Write([]byte("ab"))
		}, ok(201, "ab")},
		"WriteHeader twice": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			w.WriteHeader(500)
		}, ok(201, "")},
		"Flush": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("ab"))
		}, ok(200, "ab")},
		"controller's Flush": {func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			w.WriteHeader(500) // too late
		}, ok(200, "")},
		"103 first": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(103)
			w.WriteHeader(404)
			_, _ = w.Write([]byte("ab"))
		}, ok(404, "ab", 103, 103)},
		"ReadFrom": {func(w http.ResponseWriter, _ *http.Request) {
			f := open()
			defer f.Close()
			if n, err := w.(io.ReaderFrom).ReadFrom(f); err != nil || n != int64(len(content)) {
				t.Errorf("ReadFrom() = %d, %v", n, err)
			}
		}, ok(200, content)},
		"io.Copy":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(content)) }, ok(200, content)},
		"ServeContent": {func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }, ok(200, content)},
		"http.Error":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone", http.StatusGone) }, ok(410, "gone\n")},
	}
}

func TestWriterCommitsFirst(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		for name, c := range responses(t) {
			s := serveWriter(t, version, nil, c.h)
			got := s.get(t)
			if got.err != nil || got.status != c.want.status || got.body != c.want.body || fmt.Sprint(got.early) != fmt.Sprint(c.want.early) {
				t.Errorf("%s: %d, %.20q, early %v, %v; want %d, %.20q, early %v", name, got.status, got.body, got.early, got.err, c.want.status, c.want.body, c.want.early)
				continue
			}
			if got := got.header.Get("Set-Cookie"); got != "commit=1" || s.committed.Load() != 1 || s.replaced.Load() != 0 {
				t.Errorf("%s: Set-Cookie %q, %d commits, want one, whose cookie is sent", name, got, s.committed.Load())
			}
		}
	})
}

func TestWriterReplaces(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		for name, c := range responses(t) {
			if strings.Contains(name, "Flush") || name == "ReadFrom" {
				continue // they look at the error, which is another now: below
			}
			s := serveWriter(t, version, errors.New("no"), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"a"`)
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("X-Other", "kept")
				c.h(w, r)
			})
			s.wantReplaced(t, name)
		}
		s := serveWriter(t, version, errors.New("no"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.Header().Set("X-Other", "kept")
			if err := http.NewResponseController(w).Flush(); err == nil {
				t.Error("Flush of a replaced response says that it succeeded")
			}
			if n, err := w.Write([]byte("ab")); n != 0 || err == nil {
				t.Errorf("Write to a replaced response = %d, %v", n, err)
			}
			if n, err := io.Copy(w, strings.NewReader("ab")); n != 0 || err == nil {
				t.Errorf("ReadFrom to a replaced response = %d, %v", n, err)
			}
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
				t.Error("Hijack of a replaced response says that it succeeded")
			}
			w.WriteHeader(103)
			panic(http.ErrAbortHandler) // as ReverseProxy does when it cannot copy
		})
		s.wantReplaced(t, "Flush")
	})
}

func (s *served) wantReplaced(t *testing.T, name string) {
	t.Helper()
	got := s.get(t)
	if got.err != nil || got.status != 503 || got.body != "replaced\n" || s.committed.Load() != 1 || s.replaced.Load() != 1 {
		t.Errorf("%s: %d, %.20q, %v; %d commits, %d times replaced", name, got.status, got.body, got.err, s.committed.Load(), s.replaced.Load())
		return
	}
	if got.header.Get("ETag") != "" || got.header.Get("Cache-Control") != "" || got.header.Get("X-Other") != "kept" {
		t.Errorf("%s: the header is %v", name, got.header)
	}
}

func TestWriterPanic(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		for _, v := range []any{"a bug", http.ErrAbortHandler} {
			s := serveWriter(t, version, nil, func(http.ResponseWriter, *http.Request) { panic(v) })
			if got := s.get(t); got.err == nil {
				t.Errorf("panic(%v): status %d, want none", v, got.status)
			}
			if n := s.committed.Load(); n != 0 {
				t.Errorf("panic(%v): %d commits", v, n)
			}
		}
		s := serveWriter(t, version, errors.New("no"), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			panic("a bug")
		})
		if got := s.get(t); got.err == nil {
			t.Errorf("a panic after the response was replaced is hidden: status %d", got.status)
		}
		// On HTTP/2 the client may know before the server has written its log.
		redistest.Eventually(t, "the log tells the panic", func() bool { return strings.Contains(s.log.String(), "a bug") })
	})
}

func TestWriterDoubleWriteHeader(t *testing.T) {
	t.Parallel()
	s := serveWriter(t, 1, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.WriteHeader(500)
	})
	s.get(t)
	if !strings.Contains(s.log.String(), "superfluous") {
		t.Errorf("the server does not complain: %q", s.log)
	}
}

func TestWriterController(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		s := serveWriter(t, version, nil, func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex()); err != nil {
				t.Error(err)
			}
		})
		if got := s.get(t); got.status != 200 {
			t.Errorf("status %d, %v", got.status, got.err)
		}
	})
}

// sendfile is a connection's side of a copy: whether the file itself arrived.
type sendfile struct {
	http.ResponseWriter
	got io.Reader
}

func (s *sendfile) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		src = l.R
	}
	s.got = src
	return io.Copy(struct{ io.Writer }{s.ResponseWriter}, src)
}

// The connection gets the file and can leave the copying to the kernel.
func TestWriterSendfile(t *testing.T) {
	t.Parallel()
	name, _ := file(t)
	under := &sendfile{ResponseWriter: httptest.NewRecorder()}
	(&writer{ResponseWriter: under, session: new(recorder)}).serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, name)
	}), httptest.NewRequest("GET", "/", nil))
	if _, ok := under.got.(*os.File); !ok {
		t.Errorf("the connection reads from a %T, want an *os.File", under.got)
	}
}

// A websocket, as far as net/http is concerned.
func TestWriterUpgrade(t *testing.T) {
	t.Parallel()
	c := new(recorder)
	handler := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header().Clone()
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if h.Get("Set-Cookie") != "" || w.Header().Get("Set-Cookie") != "commit=1" {
			t.Errorf("the commit came before Hijack: %v, or after it: %v", h, w.Header())
		}
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSet-Cookie: %s\r\n\r\n", w.Header().Get("Set-Cookie"))
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("you said " + line)
		_ = rw.Flush()
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&writer{ResponseWriter: w, session: c}).serve(http.HandlerFunc(handler), r)
	}))
	defer srv.Close()
	for _, through := range []string{"", "a proxy"} {
		addr := srv.Listener.Addr().String()
		if through != "" {
			target, _ := url.Parse(srv.URL)
			proxy := httputil.NewSingleHostReverseProxy(target)
			outer := new(recorder)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				(&writer{ResponseWriter: w, session: outer}).serve(proxy, r)
			}))
			defer front.Close()
			defer func() {
				if outer.committed.Load() != 1 {
					t.Errorf("in front of the proxy there were %d commits", outer.committed.Load())
				}
			}()
			addr = front.Listener.Addr().String()
			c.committed.Store(0)
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 101 || res.Header.Get("Set-Cookie") != "commit=1" {
			t.Fatalf("through %q: %v, %v", through, res, err)
		}
		_, _ = io.WriteString(conn, "hello\n")
		if line, err := in.ReadString('\n'); line != "you said hello\n" {
			t.Errorf("through %q: %q, %v", through, line, err)
		}
		_ = conn.Close()
	}
}

func TestWriterReverseProxy(t *testing.T) {
	t.Parallel()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(103)
		w.Header().Set("Set-Cookie", "back=1")
		_, _ = io.WriteString(w, strings.Repeat("body ", 20_000))
	}))
	t.Cleanup(back.Close)
	target, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	onVersions(t, func(t *testing.T, version int) {
		s := serveWriter(t, version, nil, proxy.ServeHTTP)
		got := s.get(t)
		if got.err != nil || got.status != 200 || len(got.body) != 100_000 || s.committed.Load() != 1 || len(got.early) != 1 {
			t.Errorf("status %d, %d bytes, early %v, %v, %d commits", got.status, len(got.body), got.early, got.err, s.committed.Load())
		}
		failing := serveWriter(t, version, errors.New("no"), proxy.ServeHTTP)
		got = failing.get(t)
		if got.err != nil || got.status != 503 || got.body != "replaced\n" {
			t.Errorf("if it is replaced: %d, %.20q, %v", got.status, got.body, got.err)
		}
	})
}

// A stream goes out event by event, after the commit.
func TestWriterEvents(t *testing.T) {
	t.Parallel()
	onVersions(t, func(t *testing.T, version int) {
		next := make(chan int)
		s := serveWriter(t, version, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			c := http.NewResponseController(w)
			_ = c.Flush()
			for n := range next {
				fmt.Fprintf(w, "data: %d\n\n", n)
				_ = c.Flush()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", s.srv.URL, nil)
		res, err := s.srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got := res.Header.Get("Set-Cookie"); got != "commit=1" {
			t.Errorf("Set-Cookie is %q", got)
		}
		in := bufio.NewReader(res.Body)
		for n := range 3 {
			next <- n
			line, err := in.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", n); line != want {
				t.Errorf("event %q, %v, want %q", line, err, want)
			}
			_, _ = in.ReadString('\n')
		}
		close(next)
	})
}

package ratelimit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
	"github.com/freshet-go/freshet/internal/response"
)

// limiterFunc is a Limiter.
type limiterFunc func(ctx context.Context, key string, n int) (Result, error)

func (f limiterFunc) Allow(ctx context.Context, key string) (Result, error) { return f(ctx, key, 1) }
func (f limiterFunc) AllowN(ctx context.Context, key string, n int) (Result, error) {
	return f(ctx, key, n)
}

// tokens is a Limiter that has n tokens for each key.
func tokens(n int) limiterFunc {
	var mu sync.Mutex
	taken := make(map[string]int)
	return func(_ context.Context, key string, cost int) (Result, error) {
		mu.Lock()
		defer mu.Unlock()
		res := Result{Limit: PerMinute(n), ResetAfter: time.Minute}
		if taken[key]+cost <= n {
			taken[key] += cost
			res.Allowed, res.Granted = true, cost
		} else {
			res.RetryAfter = 1500 * time.Millisecond
		}
		res.Remaining = n - taken[key]
		return res, nil
	}
}

var errInternal = errors.New("dial tcp 10.1.2.3:6379: the secret is hunter2")

func broken(err error) limiterFunc {
	return func(context.Context, string, int) (Result, error) { return Result{}, err }
}

// okHandler says ok.
var okHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })

// serve sends a request to a handler in place.
func serve(h http.Handler, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func from(remote string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = remote }
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	h := Middleware(tokens(2), nil)(okHandler)
	for i, want := range []int{200, 200, 429, 429} {
		w := serve(h)
		if w.Code != want {
			t.Errorf("request %d: status %d, want %d", i, w.Code, want)
		}
	}
	if w := serve(h, from("192.0.2.99:1")); w.Code != 200 {
		t.Errorf("another client: status %d", w.Code)
	} else {
		hasHeader(t, w.Header(), "RateLimit-Policy", `"default";q=2;w=60`)
		hasHeader(t, w.Header(), "RateLimit", `"default";r=1;t=60`)
		hasHeader(t, w.Header(), "X-RateLimit-Remaining", "1")
		hasHeader(t, w.Header(), "Retry-After", "")
	}
	w := serve(h)
	hasHeader(t, w.Header(), "RateLimit", `"default";r=0;t=2`)
	hasHeader(t, w.Header(), "Retry-After", "2")
	hasHeader(t, w.Header(), "Cache-Control", "no-store")
	hasHeader(t, w.Header(), "Content-Type", "application/problem+json")
	want := `{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",` +
		`"title":"Request cannot be satisfied as assigned quota has been exceeded",` +
		`"status":429,"violated-policies":["default"]}`
	if got := w.Body.String(); got != want {
		t.Errorf("the body is %s\nwant %s", got, want)
	}
}

// A name that could break out of a header or of JSON is the same in both, and does not.
func TestMiddlewareHostileName(t *testing.T) {
	t.Parallel()
	l := func(context.Context, string, int) (Result, error) {
		return Result{Limit: Limit{Name: "\"},</script>\r\nX: 1\xff", Quota: 1, Period: time.Hour}}, nil
	}
	srv := httptest.NewServer(Middleware(limiterFunc(l), nil)(okHandler))
	defer srv.Close()
	res, body := get(t, srv.Client(), "GET", srv.URL)
	list, err := parseList(res.Header.Get("RateLimit"))
	var p response.Problem
	if jsonErr := json.Unmarshal(body, &p); err != nil || jsonErr != nil || len(list) != 1 ||
		!slices.Equal(p.Violated, []string{list[0].name}) || res.Header.Get("X") != "" {
		t.Errorf("header %q, body %s: %v, %v", res.Header, body, err, jsonErr)
	}
}

func TestMiddlewareKeyAndCost(t *testing.T) {
	t.Parallel()
	type call struct {
		key string
		n   int
	}
	var calls []call
	l := func(_ context.Context, key string, n int) (Result, error) {
		calls = append(calls, call{key, n})
		return Result{Allowed: true, Limit: PerSecond(1)}, nil
	}
	keyAsked := 0
	h := Middleware(limiterFunc(l), &MiddlewareOptions{
		Key:  func(r *http.Request) string { keyAsked++; return r.Header.Get("User") },
		Cost: func(r *http.Request) int { return len(r.Header.Get("Work")) },
	})(okHandler)
	user := func(name, work string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("User", name)
			r.Header.Set("Work", work)
		}
	}
	for _, free := range []func(*http.Request){user("", "xxx"), user("a", "")} {
		if w := serve(h, free); w.Code != 200 || w.Body.String() != "ok" || len(w.Header()) != 1 { // Content-Type
			t.Errorf("a request that is not limited: status %d, header %v", w.Code, w.Header())
		}
	}
	serve(h, user("a", "x"))
	serve(h, user("b", "xxxx"))
	if want := []call{{"a", 1}, {"b", 4}}; !slices.Equal(calls, want) || keyAsked != 3 {
		t.Errorf("the limiter was asked %v, want %v, and Key %d times, want 3", calls, want, keyAsked)
	}
}

// What is inside an error stays inside.
func TestMiddlewareErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    error
		status int
	}{
		{errInternal, 503},
		{fmt.Errorf("%w: %w", ErrUnavailable, errInternal), 503},
		{fmt.Errorf("%w: %w", ErrExceedsBurst, errInternal), 400},
	} {
		w := serve(Middleware(broken(test.err), nil)(okHandler))
		var p response.Problem
		err := json.Unmarshal(w.Body.Bytes(), &p)
		if w.Code != test.status || p.Status != test.status || err != nil || p.Title == "" || p.Type != "" {
			t.Errorf("after %v: status %d, %s", test.err, w.Code, w.Body)
		}
		hasHeader(t, w.Header(), "Content-Type", "application/problem+json")
		hasHeader(t, w.Header(), "Cache-Control", "no-store")
		hasHeader(t, w.Header(), "RateLimit", "")
		if all := fmt.Sprint(w.Header(), w.Body); strings.Contains(all, "hunter2") || strings.Contains(all, "6379") || strings.Contains(all, "ratelimit:") {
			t.Errorf("the error is in the answer: %s", all)
		}
	}
	var got error
	h := Middleware(broken(errInternal), &MiddlewareOptions{
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			got = err
			w.WriteHeader(http.StatusTeapot)
		},
	})(okHandler)
	if w := serve(h); w.Code != http.StatusTeapot || got != errInternal {
		t.Errorf("with an ErrorHandler: status %d, and it was given %v", w.Code, got)
	}
}

func TestMiddlewareDenied(t *testing.T) {
	t.Parallel()
	var got Result
	h := Middleware(tokens(0), &MiddlewareOptions{
		Denied: func(w http.ResponseWriter, r *http.Request, res Result) {
			got = res
			w.Header().Del("Cache-Control")
			http.Redirect(w, r, "/busy", http.StatusSeeOther)
		},
	})(okHandler)
	w := serve(h)
	if w.Code != http.StatusSeeOther || got.RetryAfter != 1500*time.Millisecond || got.Allowed {
		t.Errorf("status %d; Denied was given %+v", w.Code, got)
	}
	hasHeader(t, w.Header(), "Retry-After", "2")
	hasHeader(t, w.Header(), "Cache-Control", "")
	hasHeader(t, w.Header(), "RateLimit", `"default";r=0;t=2`)
}

// DryRun takes tokens and shows nothing.
func TestMiddlewareDryRun(t *testing.T) {
	t.Parallel()
	l := tokens(1)
	var taken []int
	opts := &MiddlewareOptions{
		DryRun: true,
		Denied: func(http.ResponseWriter, *http.Request, Result) { t.Error("Denied was called") },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			t.Error("ErrorHandler was called")
		},
		Done: func(_ context.Context, _ string, n, _ int) { taken = append(taken, n) },
	}
	for _, limiter := range []Limiter{l, broken(errInternal)} {
		for range 2 {
			if w := serve(Middleware(limiter, opts)(okHandler)); w.Code != 200 || w.Body.String() != "ok" || len(w.Header()) != 1 {
				t.Errorf("status %d, header %v", w.Code, w.Header())
			}
		}
	}
	if !slices.Equal(taken, []int{1, 0}) {
		t.Errorf("Done was told %v tokens, want 1 and 0", taken)
	}
}

// done is what Done was told.
type done struct {
	key       string
	n, status int
}

// Done gets the status that went out, whichever way.
func TestMiddlewareDone(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
		panics  bool
	}{
		"nothing":          {func(http.ResponseWriter, *http.Request) {}, 200, false},
		"a body":           {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, 200, false},
		"a status":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 404, false},
		"two":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, 404, false},
		"late":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil); w.WriteHeader(500) }, 200, false},
		"late, after all":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, onlyReader{"x"}); w.WriteHeader(500) }, 200, false},
		"late, flushed":    {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(500) }, 200, false},
		"an interim one":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, 404, false},
		"only interim":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }, 200, false},
		"an upgrade":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101); w.WriteHeader(404) }, 101, false},
		"a panic":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 500, true},
		"a panic, after":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic(http.ErrAbortHandler) }, 500, true},
		"an empty copy":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, onlyReader{}); w.WriteHeader(404) }, 404, false},
		"not modified":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 304, false},
		"an internal one":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusBadGateway) }, 502, false},
		"the context ends": {func(_ http.ResponseWriter, r *http.Request) { r.Context().Value(cancelKey{}).(context.CancelFunc)() }, 200, false},
	} {
		var got []done
		h := Middleware(tokens(9), &MiddlewareOptions{
			Key:  func(*http.Request) string { return "k" },
			Cost: func(*http.Request) int { return 3 },
			Done: func(ctx context.Context, key string, n, status int) {
				got = append(got, done{key, n, status})
				if ctx.Err() != nil || ctx.Value(cancelKey{}) == nil {
					t.Errorf("%s: the context of Done has ended, or has not the request's values", what)
				}
			},
		})(test.handler)
		func() {
			defer func() {
				if v := recover(); (v == http.ErrAbortHandler) != test.panics {
					t.Errorf("%s: the panic is %v", what, v)
				}
			}()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ctx = context.WithValue(ctx, cancelKey{}, cancel)
			serve(h, func(r *http.Request) { *r = *r.WithContext(ctx) })
		}()
		if want := []done{{"k", 3, test.status}}; !slices.Equal(got, want) {
			t.Errorf("%s: Done was told %v, want %v", what, got, want)
		}
	}
	told := false
	note := func(context.Context, string, int, int) { told = true }
	serve(Middleware(tokens(0), &MiddlewareOptions{Done: note})(okHandler))
	serve(Middleware(broken(errInternal), &MiddlewareOptions{Done: note})(okHandler))
	if told {
		t.Error("Done was called for a request that did not get through")
	}
}

type cancelKey struct{}

// onlyReader reads a text and can do nothing else.
type onlyReader struct{ text string }

func (o onlyReader) Read(p []byte) (int, error) { return copy(p, o.text), io.EOF }

// Several limiters around one handler.
func TestMiddlewareChain(t *testing.T) {
	t.Parallel()
	named := func(l limiterFunc, name string) limiterFunc {
		return func(ctx context.Context, key string, n int) (Result, error) {
			res, err := l(ctx, key, n)
			res.Limit.Name = name
			return res, err
		}
	}
	h := Middleware(named(tokens(3), "outer"), nil)(Middleware(named(tokens(2), "inner"), nil)(okHandler))
	w := serve(h)
	hasHeader(t, w.Header(), "RateLimit-Policy", `"outer";q=3;w=60, "inner";q=2;w=60`)
	hasHeader(t, w.Header(), "RateLimit", `"outer";r=2;t=60, "inner";r=1;t=60`)
	hasHeader(t, w.Header(), "X-RateLimit-Limit", "2")
	serve(h)
	w = serve(h)
	if w.Code != 429 || !strings.Contains(w.Body.String(), `["inner"]`) {
		t.Errorf("the third request: status %d, %s", w.Code, w.Body)
	}
	hasHeader(t, w.Header(), "RateLimit", `"outer";r=0;t=60, "inner";r=0;t=2`)
	w = serve(h)
	if w.Code != 429 || !strings.Contains(w.Body.String(), `["outer"]`) {
		t.Errorf("the fourth request: status %d, %s", w.Code, w.Body)
	}
	hasHeader(t, w.Header(), "RateLimit", `"outer";r=0;t=2`)
}

// get asks a server.
func get(t *testing.T, client *http.Client, method, url string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// withDone is a middleware that wraps the ResponseWriter, and says what Done was told.
func withDone() (func(http.Handler) http.Handler, <-chan done) {
	told := make(chan done, 100)
	return Middleware(tokens(1000), &MiddlewareOptions{
		Done: func(_ context.Context, key string, n, status int) { told <- done{key, n, status} },
	}), told
}

// What net/http can do it can still do, over HTTP/1 and HTTP/2.
func TestMiddlewareOnServers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("freshet "), 1<<15)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		_, _ = io.WriteString(w, "first")
		err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Minute)), c.Flush())
		w.(http.Flusher).Flush()
		<-flushed // the client has it
		_, _ = fmt.Fprintf(w, " second %v", err)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.Open(file)
		if err != nil {
			panic(err)
		}
		defer func() { _ = f.Close() }()
		_, _ = io.Copy(w, f)
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if _, ok := w.(http.Hijacker); !ok {
			panic("no http.Hijacker")
		}
		if err != nil {
			http.Error(w, "cannot", http.StatusNotImplemented)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\nhello")
		_ = rw.Flush()
	})
	limit, told := withDone()
	for _, major := range []int{1, 2} {
		srv := httptest.NewUnstartedServer(limit(mux))
		srv.EnableHTTP2 = major == 2
		srv.StartTLS()
		client := srv.Client()
		client.Timeout = 20 * time.Second
		is := func(path string, status int) {
			t.Helper()
			if d := <-told; d.status != status || d.key != "127.0.0.1" {
				t.Errorf("HTTP/%d %s: Done was told %+v, want status %d", major, path, d, status)
			}
		}

		req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/flush", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "first" || res.ProtoMajor != major {
			t.Errorf("HTTP/%d (%s): before the handler goes on there is %q, %v", major, res.Proto, first, err)
		}
		flushed <- struct{}{}
		rest, err := io.ReadAll(res.Body)
		if err != nil || string(rest) != " second <nil>" {
			t.Errorf("HTTP/%d: %q, %v", major, rest, err)
		}
		_ = res.Body.Close()
		is("/flush", 200)

		for _, path := range []string{"/file", "/copy"} {
			if res, body := get(t, client, "GET", srv.URL+path); !bytes.Equal(body, content) || res.Header.Get("RateLimit") == "" {
				t.Errorf("HTTP/%d %s: %d bytes, header %v", major, path, len(body), res.Header)
			}
			is(path, 200)
			if res, body := get(t, client, "HEAD", srv.URL+path); len(body) > 0 || res.StatusCode != 200 || res.Header.Get("RateLimit") == "" {
				t.Errorf("HTTP/%d HEAD %s: %d bytes, header %v", major, path, len(body), res.Header)
			}
			is(path, 200)
		}

		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}
		req, err = http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", srv.URL+"/hints", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err = client.Do(req); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 202 || len(hints) != 1 || !strings.HasPrefix(hints[0], "103") || len(res.Header.Values("RateLimit")) != 1 {
			t.Errorf("HTTP/%d: hints %v, then status %d, header %v", major, hints, res.StatusCode, res.Header)
		}
		is("/hints", 202)

		if req, err = http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/panic", nil); err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
			t.Errorf("HTTP/%d: after a panic there is a response: %v", major, res.Status)
		}
		is("/panic", 500)

		if major == 2 {
			if res, _ := get(t, client, "GET", srv.URL+"/hijack"); res.StatusCode != http.StatusNotImplemented {
				t.Errorf("HTTP/2: Hijack works, status %d", res.StatusCode)
			}
			is("/hijack", 501)
		}
		srv.Close()
	}

	plainServer := httptest.NewServer(limit(mux))
	defer plainServer.Close()
	conn, err := net.Dial("tcp", plainServer.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("hijacked: %v, %v", res, err)
	}
	if hello, err := io.ReadAll(in); err != nil || string(hello) != "hello" {
		t.Errorf("hijacked: %q, %v", hello, err)
	}
	if d := <-told; d.status != 101 {
		t.Errorf("hijacked: Done was told %+v", d)
	}
}

// HEAD is denied like GET, without the body and with its length.
func TestMiddlewareDeniesHEAD(t *testing.T) {
	t.Parallel()
	for _, v2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(Middleware(tokens(0), nil)(okHandler))
		srv.EnableHTTP2 = v2
		srv.StartTLS()
		res, body := get(t, srv.Client(), "GET", srv.URL)
		head, none := get(t, srv.Client(), "HEAD", srv.URL)
		if res.StatusCode != 429 || head.StatusCode != 429 || len(none) > 0 || head.ContentLength != int64(len(body)) ||
			head.Header.Get("Retry-After") != "2" || head.ProtoMajor == 2 != v2 {
			t.Errorf("%s: GET %d, HEAD %d with %d bytes of %d", head.Proto, res.StatusCode, head.StatusCode, len(none), head.ContentLength)
		}
		srv.Close()
	}
}

// fileWriter is a ResponseWriter that can send files.
type fileWriter struct {
	http.ResponseWriter
	readFrom int
}

func (w *fileWriter) ReadFrom(src io.Reader) (int64, error) {
	w.readFrom++
	return io.Copy(w.ResponseWriter, src)
}

// io.Copy still leaves it to the connection to send a file; and a writer that can
// do less than net/http's does not seem to do more.
func TestMiddlewareWriter(t *testing.T) {
	t.Parallel()
	limit, told := withDone()
	r := httptest.NewRequest("GET", "/", nil)
	w := &fileWriter{ResponseWriter: httptest.NewRecorder()}
	limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n, err := io.Copy(w, onlyReader{"file"}); n != 4 || err != nil {
			t.Errorf("io.Copy = %d, %v", n, err)
		}
	})).ServeHTTP(w, r)
	if <-told; w.readFrom != 1 {
		t.Errorf("ReadFrom was called %d times, want 1", w.readFrom)
	}
	limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		if err := c.Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush = %v", err)
		}
		if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack = %v", err)
		}
		w.WriteHeader(404)
	})).ServeHTTP(struct{ http.ResponseWriter }{httptest.NewRecorder()}, r)
	if d := <-told; d.status != 404 {
		t.Errorf("Done was told %+v, want 404", d)
	}
	// Without Done nothing stands between.
	var seen http.ResponseWriter
	Middleware(tokens(1), nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { seen = w })).ServeHTTP(w, r)
	if seen != w {
		t.Errorf("without Done the handler gets a %T", seen)
	}
}

// The limiters of this package say in headers what they decide by, also when Redis is
// away.
func TestMiddlewareOfRedis(t *testing.T) {
	redistest.Bubble(t, func(t *testing.T, s *redistest.Server) {
		l := newLimiter(t, s.Client(t), PerMinute(2), Options{Timeout: 100 * time.Millisecond})
		h := Middleware(l, nil)(okHandler)
		asked := func(status int, limit, retry string) {
			t.Helper()
			w := serve(h)
			if w.Code != status {
				t.Errorf("status %d, want %d", w.Code, status)
			}
			hasHeader(t, w.Header(), "RateLimit-Policy", `"test";q=2;w=60`)
			hasHeader(t, w.Header(), "RateLimit", limit)
			hasHeader(t, w.Header(), "Retry-After", retry)
		}
		asked(200, `"test";r=1;t=30`, "")
		asked(200, `"test";r=0;t=60`, "")
		asked(429, `"test";r=0;t=30`, "30")
		time.Sleep(29 * time.Second)
		asked(429, `"test";r=0;t=1`, "1")
		time.Sleep(time.Second) // who comes back when told is let in
		asked(200, `"test";r=0;t=60`, "")
		s.Kill(t)
		asked(200, `"test";r=1;t=30`, "")
		asked(200, `"test";r=0;t=60`, "")
		asked(429, `"test";r=0;t=30`, "30")
		if w := serve(Middleware(l, &MiddlewareOptions{Cost: func(*http.Request) int { return 3 }})(okHandler)); w.Code != 400 {
			t.Errorf("a request of 3 of 2: status %d, want 400", w.Code)
		}
	})
}

// What was allowed because Redis is away was not taken from Redis, so Done is not told
// of tokens that it could refund there.
func TestMiddlewareDoneDegraded(t *testing.T) {
	l := limiterFunc(func(_ context.Context, _ string, n int) (Result, error) {
		return Result{Allowed: true, Degraded: true, Granted: n, Limit: PerHour(5)}, nil
	})
	told := -1
	h := Middleware(l, &MiddlewareOptions{
		Cost: func(*http.Request) int { return 3 },
		Done: func(_ context.Context, _ string, n, _ int) { told = n },
	})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	serve(h)
	if told != 0 {
		t.Errorf("Done was told of %d tokens, want 0", told)
	}
}

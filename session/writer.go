package session

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// errReplaced is what a handler gets for its body when the session could not be saved,
// and another response took the place of the handler's.
var errReplaced = errors.New("session: the response was replaced, because the session could not be saved")

// committer saves the session of a request.
type committer interface {
	// commit saves, and puts what the client must know into the header that is about
	// to be sent.
	commit(http.Header) error
	// replace answers in place of the handler after commit has failed.
	replace(http.ResponseWriter, error)
}

// writer commits before the first byte of the final response: until then a cookie can
// still be set, and a failure still be told.
type writer struct {
	http.ResponseWriter
	session  committer
	began    bool // the response is out of our hands
	replaced bool
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// begin commits, once. It reports whether the response is the handler's.
func (w *writer) begin() bool {
	if w.began {
		return !w.replaced
	}
	w.began = true
	h := w.Header()
	err := w.session.commit(h)
	if err == nil {
		return true
	}
	w.replaced = true
	for _, name := range [...]string{ // these describe what is not sent
		"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
		"Content-Range", "Content-Type", "Etag", "Last-Modified", "Location", "Trailer", "Transfer-Encoding",
	} {
		h.Del(name)
	}
	w.session.replace(w.ResponseWriter, err)
	return false
}

// WriteHeader lets informational responses pass: the header they send is not the last.
func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		if !w.replaced {
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if w.begin() {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.begin() {
		return 0, errReplaced
	}
	return w.ResponseWriter.Write(p)
}

// WriteString saves a copy where the connection can do without.
func (w *writer) WriteString(s string) (int, error) {
	if !w.begin() {
		return 0, errReplaced
	}
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom leaves it to the connection to send a file.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	if !w.begin() {
		return 0, errReplaced
	}
	return io.Copy(w.ResponseWriter, src)
}

// Flush is for handlers that ask for an http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is for [http.ResponseController].
func (w *writer) FlushError() error {
	if !w.begin() {
		return errReplaced
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack takes the connection over.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.begin() {
		return nil, nil, errReplaced
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// end commits after a handler that wrote nothing. A handler that copied from elsewhere
// may have panicked because its response was replaced; that one is complete.
func (w *writer) serve(next http.Handler, r *http.Request) {
	defer func() {
		if !w.replaced {
			return // a panic goes on
		}
		//nolint:errorlint // net/http compares so too
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	next.ServeHTTP(w, r)
	w.begin()
}

package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

//go:embed web
var webFiles embed.FS

// page serves the HTML page and, below /assets/, what it loads.
func page(mux *http.ServeMux) {
	files, err := fs.Sub(webFiles, "web")
	if err != nil {
		panic(err) // the path above is wrong
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "page.html")
	})
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.FileServerFS(files)))
}

// secure allows a page only what this one needs, and nobody to keep an answer:
// a browser's own cache would hide what this program is meant to show.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

type requestIDKey struct{}

// identify gives each request an id of its own: it joins an answer to its line
// in the log, and see source.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	sendJSON(w, status, v)
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		slog.Error("encode an answer", "err", err)
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a reader who has gone is no concern of ours
}

// readJSON decodes a body, which may have so many bytes, or answers and returns false.
// The shape is what the body must be.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any, shape string) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "Send it as application/json. "+shape)
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.Join(errors.New("more than one value"), more)
		}
	}
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge:
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have up to %d bytes.", limit))
	case err != nil:
		problem(w, http.StatusBadRequest, shape)
	}
	return err == nil
}

// problem answers with an error in the form of RFC 9457. The detail is written
// for the reader; it never holds an internal error's text.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	sendJSON(w, status, struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// failed answers for an error that the reader cannot mend. The log says what
// it was, under the id that the answer carries.
func failed(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if r.Context().Err() != nil {
		return // nobody is there to read an answer
	}
	slog.Error(doing, "request", requestID(r.Context()), "err", err)
	status, detail := http.StatusInternalServerError, "This could not be done. The server's log says why, under request "
	if errors.Is(err, context.DeadlineExceeded) {
		status, detail = http.StatusServiceUnavailable, "This took too long. Try again. It is in the server's log as request "
	}
	problem(w, status, detail+requestID(r.Context())+".")
}

// tookMS is the time since start as the answers give it: milliseconds.
func tookMS(start time.Time) float64 {
	return float64(time.Since(start).Microseconds()) / 1000
}

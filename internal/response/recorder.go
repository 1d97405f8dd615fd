// Package response is what middleware needs to know of a response, and how it answers itself.
package response

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A Recorder notes how a response begins, and lets everything through.
type Recorder struct {
	http.ResponseWriter
	Status   int  // the final one, if it was written
	Hijacked bool // the connection was taken over
}

// Unwrap is for [http.ResponseController].
func (rec *Recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader lets informational responses pass: they are not the last.
func (rec *Recorder) WriteHeader(status int) {
	if rec.Status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.Status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *Recorder) Write(p []byte) (int, error) {
	rec.implicit()
	return rec.ResponseWriter.Write(p)
}

// ReadFrom leaves it to the connection to send a file.
func (rec *Recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(rec.ResponseWriter, src)
	if n > 0 {
		rec.implicit()
	}
	return n, err
}

// implicit notes that the body began without WriteHeader.
func (rec *Recorder) implicit() {
	if rec.Status == 0 {
		rec.Status = http.StatusOK
	}
}

// Flush is for handlers that ask for an http.Flusher.
func (rec *Recorder) Flush() { _ = rec.FlushError() }

// FlushError is for [http.ResponseController].
func (rec *Recorder) FlushError() error {
	err := http.NewResponseController(rec.ResponseWriter).Flush()
	if err == nil {
		rec.implicit()
	}
	return err
}

// Hijack takes the connection over.
func (rec *Recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	rec.Hijacked = rec.Hijacked || err == nil
	return conn, rw, err
}

package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/freshet-go/freshet/session"
)

// Device is a place where a user is logged in.
type Device struct {
	Handle  string    `json:"handle"` // the session's public name, which opens nothing
	Device  string    `json:"device"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Current bool      `json:"current"`
}

// getDevices lists where the user is logged in.
func (s *shop) getDevices(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	s.writeDevices(w, r, sess)
}

func (s *shop) writeDevices(w http.ResponseWriter, r *http.Request, sess *session.Session[visit]) {
	list, err := s.sessions.List(r.Context(), sess.User())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	devices := make([]Device, len(list))
	for i, x := range list {
		devices[i] = Device{x.Handle, x.Device, x.Created, x.Seen, x.Handle == sess.Handle()}
	}
	writeJSON(w, http.StatusOK, map[string][]Device{"devices": devices})
}

// deleteDevice signs the user out of one of their devices.
func (s *shop) deleteDevice(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	handle := r.PathValue("handle")
	if handle == sess.Handle() {
		problem(w, http.StatusConflict, "This is the device that you are using: log out instead.")
		return
	}
	err = s.sessions.Revoke(r.Context(), sess.User(), handle)
	switch {
	case errors.Is(err, session.ErrNotFound): // or it is another user's
		problem(w, http.StatusNotFound, "You are not logged in there any more.")
	case err != nil:
		sessionFailed(w, r, err)
	default:
		s.writeDevices(w, r, sess)
	}
}

// deleteDevices signs the user out of all their devices but this one. That includes
// whoever has a copy of this one's cookie: the cookie is replaced as well.
func (s *shop) deleteDevices(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err == nil {
		err = s.sessions.RevokeAll(r.Context(), sess.User(), sess.Handle())
	}
	if err == nil {
		err = sess.Renew(r.Context())
	}
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	s.writeDevices(w, r, sess)
}

// The first of these that a User-Agent names is what it is: several call
// themselves by others' names too.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client/", "a Go program"},
	}
	systems = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// deviceOf names the client of a request in the words of a person, such as
// "Firefox on Windows".
func deviceOf(r *http.Request) string {
	agent := r.UserAgent()
	named := func(list [][2]string) string {
		for _, x := range list {
			if strings.Contains(agent, x[0]) {
				return x[1]
			}
		}
		return ""
	}
	browser, system := named(browsers), named(systems)
	switch {
	case browser == "" && system == "":
		return "Something unknown"
	case browser == "":
		return "Something on " + system
	case system == "":
		return browser
	}
	return browser + " on " + system
}

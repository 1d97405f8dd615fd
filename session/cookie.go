package session

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Cookie are the attributes of the cookie that holds a session's token. It is always
// HttpOnly. The zero value is the strictest cookie that browsers know:
//
//	Set-Cookie: __Host-sid=…; Path=/; HttpOnly; Secure; SameSite=Lax
//
// In every field zero is the default.
type Cookie struct {
	// Name is the whole name of the cookie. Zero: "sid" with the strictest prefix that
	// the other fields permit, "__Host-", "__Secure-" or none. Change it where
	// several applications share a host.
	Name string

	// Path is where the browser sends the cookie. Zero: "/". It is no protection from
	// other applications of the same host.
	Path string

	// Domain, if set, makes the browser send the cookie to the subdomains too, which
	// then can also set it. Zero: only to the host itself.
	Domain string

	// SameSite says whether the browser sends the cookie with requests that other
	// sites cause. Zero: http.SameSiteLaxMode, with links that are followed but
	// not with forms. http.SameSiteDefaultMode is not accepted: it lets each browser
	// choose.
	SameSite http.SameSite

	// Persistent makes the browser keep the cookie when it is closed, until the
	// session's Lifetime ends. False: as long as the browser runs. Change it to
	// have "remember me"; NIST SP 800-63B advises against it.
	Persistent bool

	// Insecure lets the browser send the cookie over plain http, where everybody on
	// the way can take it. False: https and localhost only. Set it for a test in a
	// network without certificates.
	Insecure bool
}

const (
	maxCookieAge = 400 * 24 * time.Hour // what browsers cut it to (RFC 6265bis)

	// maxCandidates is how many cookies of the right name are looked up for a request.
	// Another subdomain may have set more of them in order to hide the right one,
	// unless its name begins with __Host-.
	maxCandidates = 4
)

// jar reads and writes a manager's cookie.
type jar struct {
	name     string
	persists bool
	head     string // what a Set-Cookie has before the value
	tail     string // … and after it
}

func newJar(c Cookie) (*jar, error) {
	if c.Path == "" {
		c.Path = "/"
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	if c.Name == "" {
		switch {
		case c.Insecure:
			c.Name = "sid"
		case c.Domain != "" || c.Path != "/":
			c.Name = "__Secure-sid"
		default:
			c.Name = "__Host-sid"
		}
	}
	// The Cookie's own check includes characters with which one attribute could
	// become two.
	full := http.Cookie{
		Name: c.Name, Value: "v", Path: c.Path, Domain: c.Domain, SameSite: c.SameSite,
		Secure: !c.Insecure, HttpOnly: true,
	}
	if err := full.Valid(); err != nil {
		return nil, fmt.Errorf("session: ManagerOptions.Cookie: %w", err)
	}
	if !strings.HasPrefix(c.Path, "/") {
		return nil, errors.New("session: ManagerOptions.Cookie.Path does not begin with a slash")
	}
	host := hasPrefix(c.Name, "__Host-")
	switch {
	case c.SameSite < http.SameSiteLaxMode || c.SameSite > http.SameSiteNoneMode:
		return nil, errors.New("session: ManagerOptions.Cookie.SameSite is not Lax, Strict or None")
	case c.Insecure && (host || hasPrefix(c.Name, "__Secure-") || hasPrefix(c.Name, "__Http-")):
		return nil, errors.New("session: ManagerOptions.Cookie.Insecure contradicts the prefix of its Name")
	case c.Insecure && c.SameSite == http.SameSiteNoneMode:
		return nil, errors.New("session: ManagerOptions.Cookie.Insecure contradicts SameSite=None")
	case host && c.Domain != "":
		return nil, errors.New("session: ManagerOptions.Cookie.Domain contradicts the prefix __Host- of its Name")
	case host && c.Path != "/":
		return nil, errors.New("session: ManagerOptions.Cookie.Path contradicts the prefix __Host- of its Name")
	}
	text := full.String()
	head := c.Name + "="
	tail, ok := strings.CutPrefix(text, head+"v")
	if !ok || strings.Contains(c.Domain, "..") || c.Domain != "" && !strings.Contains(text, "; Domain=") {
		return nil, errors.New("session: ManagerOptions.Cookie cannot be written")
	}
	return &jar{name: c.Name, persists: c.Persistent, head: head, tail: tail}, nil
}

// hasPrefix compares as browsers compare the prefixes of cookies: in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// tokens appends the well-formed tokens among the request's cookies of this name, in
// their order and each once, and at most maxCandidates.
func (j *jar) tokens(into []token, h http.Header) []token {
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(part, " \t\r\n"), "=")
			// A part without "=" has no name. Other names than this one, also those
			// that differ in case only, are of somebody else.
			if strings.TrimRight(name, " \t\r\n") != j.name {
				continue
			}
			t, ok := parseToken(value)
			if !ok || contains(into, &t) {
				continue
			}
			if into = append(into, t); len(into) == maxCandidates {
				return into
			}
		}
	}
	return into
}

func contains(ts []token, t *token) bool {
	for i := range ts {
		if ts[i] == *t {
			return true
		}
	}
	return false
}

// set puts the token into the header of a response; the cookie ends in ttl at the latest.
func (j *jar) set(h http.Header, t *token, ttl time.Duration) {
	tail := j.tail
	if j.persists {
		// At least a second: browsers take 0 for "delete it".
		age := max(int64(min(ttl, maxCookieAge)/time.Second), 1)
		tail += "; Max-Age=" + strconv.FormatInt(age, 10)
	}
	j.put(h, j.head+t.cookieValue()+tail)
}

// clear makes the browser forget the cookie.
func (j *jar) clear(h http.Header) { j.put(h, j.head+j.tail+"; Max-Age=0") }

// put sets the cookie, replacing one that the same response was about to set, and
// forbids to store the response, whatever the handler allowed.
func (j *jar) put(h http.Header, cookie string) {
	kept := make([]string, 0, 1+len(h["Set-Cookie"]))
	for _, c := range h["Set-Cookie"] {
		if !strings.HasPrefix(c, j.head) {
			kept = append(kept, c)
		}
	}
	h["Set-Cookie"] = append(kept, cookie)
	h.Set("Cache-Control", "no-store")
}

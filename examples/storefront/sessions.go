package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/session"
)

const (
	maxFormBytes = 4 << 10
	maxUser      = 64

	// maxDevices is in how many places a user may be logged in; another login ends one.
	maxDevices = 10
)

// newSessions makes what gives each request its session.
//
// The cookie is the strictest there is, which the browser sends over https only, and
// to this machine: Chromium and Firefox take http://localhost and http://127.0.0.1
// for as good as https. Over plain http to another machine they drop it without a
// word; whoever wants to try that has to ask for an insecure one.
func newSessions(rdb redis.UniversalClient, wait time.Duration, insecure bool) (*session.Manager[visit], error) {
	store, err := session.New(rdb, &session.Options{Prefix: "storefront", Timeout: wait})
	if err != nil {
		return nil, err
	}
	return session.NewManager[visit](store, &session.ManagerOptions{
		Cookie:       session.Cookie{Insecure: insecure},
		MaxPerUser:   maxDevices,
		Device:       deviceOf,
		ErrorHandler: sessionFailed,
		OnError:      func(err error) { slog.Warn("session", "err", err) },
	})
}

// sessionFailed answers when a session cannot be read or saved, or a login is
// needed. A session that cannot be read is not taken for none: the visitor is not
// logged out because Redis is away, and nobody is let in.
func sessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, session.ErrLoginRequired):
		problem(w, http.StatusUnauthorized, "Please log in.")
	case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrRevoked):
		problem(w, http.StatusUnauthorized, "You have been signed out meanwhile. Please log in again.")
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, session.ErrUnknownOutcome):
		slog.Warn("session", "request", requestID(r.Context()), "err", err)
		problem(w, http.StatusServiceUnavailable, "Sessions are out of reach just now, and yours is kept. Try again in a moment.")
	default:
		failed(w, r, "session", err)
	}
}

// getSession says what the session holds: what the page begins with. For a visitor
// without a cookie it does not ask Redis.
func (s *shop) getSession(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	s.writeSession(w, r, sess)
}

// writeSession answers with what the session holds.
func (s *shop) writeSession(w http.ResponseWriter, r *http.Request, sess *session.Session[visit]) {
	answer := struct {
		User string        `json:"user"` // empty: nobody is logged in
		Cart Cart          `json:"cart"`
		Demo []demoAccount `json:"demo_accounts,omitempty"`
	}{User: sess.User(), Cart: Cart{Lines: []CartLine{}}}
	if answer.User == "" {
		answer.Demo = demoAccounts
	}
	lines := sess.Data().Cart
	ids := make([]int64, len(lines))
	for i, l := range lines {
		ids[i] = l.Product
	}
	products, err := s.db.Products(r.Context(), ids...)
	if err != nil {
		failed(w, r, "read the cart's products", err)
		return
	}
	for _, l := range lines {
		if p, ok := products[l.Product]; ok {
			answer.Cart.Lines = append(answer.Cart.Lines, CartLine{p, l.Quantity})
			answer.Cart.TotalCents += p.PriceCents * l.Quantity
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

// postLogin logs the visitor in. Their cart comes with them, under a new cookie.
func (s *shop) postLogin(w http.ResponseWriter, r *http.Request) {
	var body struct {
		User     string `json:"user"`
		Password string `json:"password"`
	}
	const shape = "The body must be one JSON object of user and password (text)."
	if !readJSON(w, r, maxFormBytes, &body, shape) {
		return
	}
	user := strings.ToLower(strings.TrimSpace(body.User))
	if user == "" || len(user) > maxUser || body.Password == "" {
		problem(w, http.StatusBadRequest, "A login needs a user and a password.")
		return
	}
	// First what costs little, and may fail: without Redis nobody can log in.
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	account, err := s.db.authenticate(r.Context(), user, body.Password)
	switch {
	case errors.Is(err, errCredentials):
		problem(w, http.StatusUnauthorized, "User or password is wrong.")
		return
	case err != nil:
		failed(w, r, "check a password", err)
		return
	}
	if err := sess.Login(r.Context(), account.User); err != nil {
		sessionFailed(w, r, err)
		return
	}
	s.writeSession(w, r, sess)
}

// postLogout ends the session, for all tabs of the browser.
func (s *shop) postLogout(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err == nil {
		err = sess.Destroy(r.Context())
	}
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	s.writeSession(w, r, sess)
}

// getProfile is for those who are logged in: see routes.
func (s *shop) getProfile(w http.ResponseWriter, r *http.Request) {
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	account, err := s.db.account(r.Context(), sess.User())
	if err != nil {
		failed(w, r, "read an account", err)
		return
	}
	writeJSON(w, http.StatusOK, account)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sessionWorkloads are the workloads of package session.
func sessionWorkloads() []workload {
	var all []workload
	for _, callers := range []int{1, 64} {
		all = append(all, sessionWorkload("read", callers), sessionWorkload("write", callers), sessionWorkload("login", callers))
	}
	return append(all, oneSessionWorkload(16))
}

// sessionApp is what every library under comparison is made to look like: an
// application with three handlers, behind the library's middleware where it has one.
// Each answers with the number of visits in the session.
type sessionApp struct {
	read  http.Handler // looks at the user, the theme and the items
	write http.Handler // counts a visit
	login http.Handler // makes a session of the user whom the header "User" names
	close func()
}

// What a session holds: the user, and these, and how many visits there were.
const sessionTheme = "solarized dark"

var sessionItems = []string{"17", "a blue kettle", "4711", "linen napkins, set of 4", "99"}

// errSession is for sessions that do not hold what they should.
var errSession = errors.New("the session does not hold what it should")

// looksRight reports whether a session holds what it should.
func looksRight(user, theme string, items []string) bool {
	return strings.Contains(user, ":item:") && theme == sessionTheme && len(items) == len(sessionItems) && items[1] == sessionItems[1]
}

// respond ends each handler.
func respond(w http.ResponseWriter, visits int, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(strconv.AppendInt(nil, int64(visits), 10))
}

// sessionIdle is the idle timeout of those that have one, longer than a workload.
const sessionIdle = 2 * time.Hour

// A sessionRival is a library as a sessionApp.
type sessionRival struct {
	name, note string
	open       func(ctx context.Context, url string, count *wire) (*sessionApp, error)
}

var sessionRivals = []sessionRival{
	{"scs", "with IdleTimeout", openSCS(sessionIdle)},
	{"scs, no idle timeout", "its default", openSCS(0)},
	{"freshet", "idle timeout, index of users", openFreshetSession},
	{"gorilla", "boj/redistore, whose pool sends a PING before each command; no idle timeout, no new token at a login", openGorilla},
}

// sessionWorkload has callers send requests, each of one of many sessions.
func sessionWorkload(kind string, callers int) workload {
	about := map[string]string{
		"read":  "A request that reads its session",
		"write": "A request that reads its session, changes a number in it and saves it",
		"login": "A request without a session that logs a user in, and fills the session",
	}[kind]
	w := workload{
		name: fmt.Sprintf("session/%s/%d", kind, callers),
		about: fmt.Sprintf("%s, %s, through the library's middleware and without a network to the client. Sessions of some 100 bytes are drawn "+
			"evenly from many; those with an idle timeout have one of %v, which Freshet notes at most once an hour. Commands are counted as they are sent: one MGET may be for many requests. The baseline is scs.",
			about, callersText(callers), sessionIdle),
		metrics: append(loopMetrics("requests"), metric{"Redis commands/op", count}, metric{"Set-Cookie/op", count}),
		primary: throughput, baseline: "scs",
	}
	lone(&w, callers)
	for _, r := range sessionRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openSessions(ctx, env, r, kind, callers)
		}})
	}
	return w
}

func openSessions(ctx context.Context, env *environment, r sessionRival, kind string, callers int) (*trial, error) {
	count := new(wire)
	app, err := r.open(ctx, env.server.url, count)
	if err != nil {
		return nil, err
	}
	users := env.keys()
	c := &sessionClient{app: app, users: users}
	if err := c.fill(ctx); err != nil {
		app.close()
		return nil, err
	}
	l := &loop{callers: callers, items: 1, server: env.server, check: func(int64, int64, int64) error { return nil }}
	switch kind {
	case "read":
		l.check = allHits(len(users), callers, 1)
		l.op = func(ctx context.Context, r *rand.Rand) error {
			_, err := c.ask(ctx, app.read, c.cookies[r.IntN(len(users))], "")
			return err
		}
	case "write":
		l.check = allHits(len(users), callers, 1)
		l.op = func(ctx context.Context, r *rand.Rand) error {
			visits, err := c.ask(ctx, app.write, c.cookies[r.IntN(len(users))], "")
			if err == nil && visits == 0 {
				err = errSession
			}
			return err
		}
	case "login":
		l.op = func(ctx context.Context, r *rand.Rand) error {
			_, err := c.ask(ctx, app.login, "", users[r.IntN(len(users))])
			return err
		}
	}
	return &trial{func(ctx context.Context, d time.Duration) (sample, error) {
		cookies, commands, done := c.set.Load(), count.commands.Load(), c.done.Load()
		s, err := l.round(ctx, d)
		if err != nil {
			return nil, err
		}
		n := float64(c.done.Load() - done)
		s = append(s, float64(count.commands.Load()-commands)/n, float64(c.set.Load()-cookies)/n)
		return s, sessionShape(kind, s[len(s)-2], s[len(s)-1])
	}, app.close}, nil
}

// sessionShape checks that requests went to Redis, and that exactly logins gave out
// cookies, or all requests, as some libraries do. What a request does there, fill has
// checked.
func sessionShape(kind string, commands, cookies float64) error {
	switch {
	case commands == 0:
		return errors.New("nothing was sent to Redis")
	case kind == "login" && cookies != 1, cookies != 0 && cookies != 1:
		return fmt.Errorf("%.2f cookies per request", cookies)
	}
	return nil
}

// sessionClient sends requests to a sessionApp, with the cookies of many users.
type sessionClient struct {
	app       *sessionApp
	users     []string
	cookies   []string     // of each user, as a Cookie header has it
	done, set atomic.Int64 // requests, and how many of them set a cookie
	answers   sync.Pool    // of *sessionAnswer
}

// sessionAnswer is a response that goes nowhere.
type sessionAnswer struct {
	header http.Header
	status int
	body   []byte
}

func (a *sessionAnswer) Header() http.Header { return a.header }

func (a *sessionAnswer) WriteHeader(status int) { a.status = status }

func (a *sessionAnswer) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}

// fill logs all users in, and checks that what a request writes the next one reads.
func (c *sessionClient) fill(ctx context.Context) error {
	const logins = 16 // at once
	c.cookies = make([]string, len(c.users))
	errs := make([]error, logins)
	crowd(logins, func(caller int) {
		for i := caller; i < len(c.users) && errs[caller] == nil; i += logins {
			c.cookies[i], errs[caller] = c.login(ctx, c.users[i])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	distinct := make(map[string]bool)
	for i, cookie := range c.cookies {
		distinct[cookie] = true
		if i%100 != 0 {
			continue
		}
		for step, h := range []http.Handler{c.app.read, c.app.write, c.app.read} {
			visits, err := c.ask(ctx, h, cookie, "")
			if err == nil && visits != min(step, 1) {
				err = errSession
			}
			if err != nil {
				return fmt.Errorf("fill: request %d finds %d visits: %w", step, visits, err)
			}
		}
	}
	if len(distinct) != len(c.users) {
		return fmt.Errorf("fill: %d sessions of %d users", len(distinct), len(c.users))
	}
	return nil
}

// login returns the cookie of a login.
func (c *sessionClient) login(ctx context.Context, user string) (cookie string, err error) {
	a := &sessionAnswer{header: make(http.Header)}
	c.app.login.ServeHTTP(a, request(ctx, "", user))
	line := a.header.Get("Set-Cookie")
	cookie, _, ok := strings.Cut(line, ";")
	if !ok || a.status >= 300 {
		return "", fmt.Errorf("a login: status %d, %s", a.status, a.body)
	}
	return cookie, nil
}

// ask sends a request and returns how many visits the answer tells.
func (c *sessionClient) ask(ctx context.Context, h http.Handler, cookie, user string) (visits int, err error) {
	a, ok := c.answers.Get().(*sessionAnswer)
	if !ok {
		a = &sessionAnswer{header: make(http.Header)}
	}
	defer c.answers.Put(a)
	clear(a.header)
	a.status, a.body = http.StatusOK, a.body[:0]
	h.ServeHTTP(a, request(ctx, cookie, user))
	c.done.Add(1)
	if len(a.header["Set-Cookie"]) > 0 {
		c.set.Add(1)
	}
	if a.status != http.StatusOK {
		return 0, fmt.Errorf("status %d: %s", a.status, a.body)
	}
	return strconv.Atoi(string(a.body))
}

// request makes a request as a server does.
func request(ctx context.Context, cookie, user string) *http.Request {
	header := http.Header{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"}}
	if cookie != "" {
		header["Cookie"] = []string{cookie}
	}
	if user != "" {
		header["User"] = []string{user}
	}
	r := &http.Request{Method: "GET", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "localhost", Header: header}
	return r.WithContext(ctx)
}

// oneSessionWorkload has all callers write to one session. What is lost is counted.
func oneSessionWorkload(callers int) workload {
	w := workload{
		name: fmt.Sprintf("session/one/%d", callers),
		about: fmt.Sprintf("A request that counts a visit in its session, %s, all of one session, as the requests of one page may be. "+
			"kept/op says how many were there afterwards of those that were answered with success; the baseline is scs.", callersText(callers)),
		metrics: append(loopMetrics("requests"), metric{"Redis commands/op", count}, metric{"kept/op", count}, metric{"errors/op", count}),
		primary: throughput, baseline: "scs",
	}
	for _, r := range sessionRivals {
		w.contenders = append(w.contenders, contender{r.name, r.note, func(ctx context.Context, env *environment) (*trial, error) {
			return openOneSession(ctx, env, r, callers)
		}})
	}
	return w
}

func openOneSession(ctx context.Context, env *environment, r sessionRival, callers int) (*trial, error) {
	count := new(wire)
	app, err := r.open(ctx, env.server.url, count)
	if err != nil {
		return nil, err
	}
	c := &sessionClient{app: app, users: env.keys()[:1]}
	if err := c.fill(ctx); err != nil {
		app.close()
		return nil, err
	}
	var failed atomic.Int64
	l := &loop{callers: callers, items: 1, server: env.server, check: func(int64, int64, int64) error { return nil }}
	l.op = func(ctx context.Context, _ *rand.Rand) error {
		if _, err := c.ask(ctx, app.write, c.cookies[0], ""); err != nil {
			failed.Add(1)
		}
		return ctx.Err()
	}
	return &trial{func(ctx context.Context, d time.Duration) (sample, error) {
		before, err := c.ask(ctx, app.read, c.cookies[0], "")
		if err != nil {
			return nil, err
		}
		commands, done := count.commands.Load(), c.done.Load()
		failed.Store(0)
		s, err := l.round(ctx, d)
		if err != nil {
			return nil, err
		}
		n, wrong := float64(c.done.Load()-done), float64(failed.Load())
		s = append(s, float64(count.commands.Load()-commands)/n)
		after, err := c.ask(ctx, app.read, c.cookies[0], "")
		if err != nil {
			return nil, err
		}
		kept := float64(after-before) / max(n-wrong, 1)
		if r.name == "freshet" && kept != 1 {
			return nil, fmt.Errorf("%d visits became %d in %.0f requests, of which %.0f failed", before, after, n, wrong)
		}
		return append(s, kept, wrong/n), nil
	}, app.close}, nil
}

package main

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/freshet-go/freshet/internal/redistest"
)

// A visitor is a browser as far as the server can tell: it keeps its cookies and
// has a name.
type visitor struct {
	t      *testing.T
	client http.Client
	header http.Header
}

const (
	desktop = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
	laptop  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0"
	phone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
)

func newVisitor(t *testing.T, p *program, agent string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t, *p.client, http.Header{"User-Agent": {agent}}}
	v.client.Jar = jar
	return v
}

// ask may be called by any goroutine.
func (v *visitor) ask(p *program, method, path, body string) answer {
	v.t.Helper()
	return p.send(v.t, &v.client, v.header, method, path, body)
}

// must asks for what must succeed.
func (v *visitor) must(p *program, method, path, body string) answer {
	v.t.Helper()
	a := v.ask(p, method, path, body)
	if a.status != http.StatusOK {
		v.t.Errorf("%s %s: status %d, %s", method, path, a.status, a.text)
	}
	return a
}

func (v *visitor) login(p *program, a demoAccount) answer {
	v.t.Helper()
	return v.must(p, "POST", "/login", credentials(a.User, a.Password))
}

func credentials(user, password string) string {
	return fmt.Sprintf(`{"user":%q,"password":%q}`, user, password)
}

func adding(product, n int) string { return fmt.Sprintf(`{"product":%d,"add":%d}`, product, n) }

// cookie is the session's, "" if there is none.
func (v *visitor) cookie(p *program) string {
	v.t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == "__Host-sid" {
			return c.Value
		}
	}
	return ""
}

// is wants the session to be that of user, "" for nobody.
func (v *visitor) is(p *program, user string) {
	v.t.Helper()
	if a := v.must(p, "GET", "/session", ""); a.User != user {
		v.t.Errorf("the session is of %q, want %q", a.User, user)
	}
	status := http.StatusOK
	if user == "" {
		status = http.StatusUnauthorized
	}
	for _, path := range []string{"/profile", "/devices"} {
		if a := v.ask(p, "GET", path, ""); a.status != status {
			v.t.Errorf("GET %s as %q: status %d, %s", path, user, a.status, a.text)
		}
	}
}

// thief asks who it is with somebody's cookie of before.
func thief(t *testing.T, p *program, cookie string) answer {
	t.Helper()
	return p.send(t, p.client, http.Header{"Cookie": {"__Host-sid=" + cookie}}, "GET", "/session", "")
}

// useless wants a cookie to open nothing.
func useless(t *testing.T, p *program, what, cookie string) {
	t.Helper()
	if a := thief(t, p, cookie); a.status != http.StatusOK || a.User != "" || len(a.Cart.Lines) > 0 {
		t.Errorf("the cookie of %s: status %d, %s", what, a.status, a.text)
	}
}

// cart is a cart in short: products and quantities.
func cart(a answer) string {
	var all []string
	for _, l := range a.Cart.Lines {
		all = append(all, fmt.Sprintf("%d×%d", l.Quantity, l.Product.ID))
	}
	return strings.Join(all, " ")
}

// testSessions goes through a login and what follows. It logs in less often than
// the limit allows.
func testSessions(t *testing.T, p *program) {
	ada, grace := demoAccounts[0], demoAccounts[1]
	v := newVisitor(t, p, desktop)

	a := v.must(p, "GET", "/session", "")
	if a.header.Get("Set-Cookie") != "" || a.User != "" || !strings.Contains(a.text, `"lines":[]`) || len(a.Demo) != len(demoAccounts) {
		t.Errorf("a new visitor gets %v, %s", a.header, a.text)
	}
	v.is(p, "")

	// A cart makes a session.
	a = v.must(p, "POST", "/cart", adding(42, 2))
	if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-sid=") || !strings.HasSuffix(got, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("the cookie is %q", got)
	}
	price := p.get(t, "/products/42").Product.PriceCents
	if cart(a) != "2×42" || a.Cart.TotalCents != 2*price || a.Cart.Lines[0].Product.Name == "" {
		t.Errorf("the cart is %s", a.text)
	}
	v.must(p, "POST", "/cart", adding(43, 1))
	if a = v.must(p, "POST", "/cart", adding(42, -1)); cart(a) != "1×42 1×43" || a.header.Get("Set-Cookie") != "" {
		t.Errorf("after a change the cart is %s, and the cookie %q", cart(a), a.header.Get("Set-Cookie"))
	}
	before := v.cookie(p)

	// Nobody gets in without the password, or is told which users there are.
	wrong := v.ask(p, "POST", "/login", credentials(ada.User, "guess"))
	unknown := v.ask(p, "POST", "/login", credentials("nobody", ada.Password))
	if wrong.status != http.StatusUnauthorized || unknown.status != http.StatusUnauthorized || wrong.text != unknown.text ||
		wrong.header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong password: %d %s; no such user: %d %s", wrong.status, wrong.text, unknown.status, unknown.text)
	}
	v.is(p, "")

	a = v.must(p, "POST", "/login", credentials(" Ada ", ada.Password))
	if a.User != ada.User || cart(a) != "1×42 1×43" || len(a.Demo) > 0 {
		t.Errorf("the login gets %s", a.text)
	}
	if after := v.cookie(p); after == before || after == "" {
		t.Errorf("the login left the cookie as it was")
	}
	useless(t, p, "before the login", before)
	v.is(p, ada.User)
	if a = v.must(p, "GET", "/profile", ""); a.Name != ada.Name || a.City != ada.City || strings.Contains(a.text, "$2a$") {
		t.Errorf("the profile is %s", a.text)
	}

	// Another site's page can make the browser send requests, but not these.
	foreign := v.header.Clone()
	foreign.Set("Sec-Fetch-Site", "cross-site")
	for path, body := range map[string]string{"/logout": "", "/cart": adding(1, 1), "/login": credentials(grace.User, grace.Password)} {
		if a := p.send(t, &v.client, foreign, "POST", path, body); a.status != http.StatusForbidden {
			t.Errorf("POST %s from another site's page: status %d", path, a.status)
		}
	}
	v.is(p, ada.User)

	testDevices(t, p, v)

	// A logout is one for all who have the cookie.
	last := v.cookie(p)
	a = v.must(p, "POST", "/logout", "")
	if got := a.header.Get("Set-Cookie"); a.User != "" || cart(a) != "" || !strings.Contains(got, "Max-Age=0") || v.cookie(p) != "" {
		t.Errorf("the logout gets %s and the cookie %q", a.text, got)
	}
	useless(t, p, "before the logout", last)
	v.is(p, "")
	v.must(p, "POST", "/logout", "")
}

// testDevices has Ada log in elsewhere, and sign out from here.
func testDevices(t *testing.T, p *program, here *visitor) {
	ada, grace := demoAccounts[0], demoAccounts[1]
	work, mobile, other := newVisitor(t, p, laptop), newVisitor(t, p, phone), newVisitor(t, p, laptop)
	work.login(p, ada)
	mobile.login(p, ada)
	other.login(p, grace)

	names := func(a answer) (names []string) {
		for _, d := range a.Devices {
			name := d.Device
			if d.Current {
				name += " (this)"
			}
			names = append(names, name)
			if age := time.Since(d.Created); d.Handle == "" || age < -time.Second || age > time.Minute || d.Seen.Before(d.Created.Add(-time.Second)) {
				t.Errorf("a device is %+v", d)
			}
		}
		slices.Sort(names)
		return names
	}
	list := here.must(p, "GET", "/devices", "")
	if got, want := fmt.Sprint(names(list)), "[Chrome on Linux (this) Firefox on Windows Safari on iPhone]"; got != want {
		t.Errorf("the devices are %s, want %s", got, want)
	}
	handle := func(a answer, device string) string {
		i := slices.IndexFunc(a.Devices, func(d Device) bool { return d.Device == device })
		if i < 0 {
			t.Fatalf("no %s in %s", device, a.text)
		}
		return a.Devices[i].Handle
	}
	for what, c := range map[string]struct {
		handle string
		status int
	}{
		"itself":            {handle(list, "Chrome on Linux"), http.StatusConflict},
		"what is not there": {"AAAAAAAAAAAAAAAAAAAAAA", http.StatusNotFound},
		"somebody else":     {handle(other.must(p, "GET", "/devices", ""), "Firefox on Windows"), http.StatusNotFound},
	} {
		if a := here.ask(p, "DELETE", "/devices/"+c.handle, ""); a.status != c.status {
			t.Errorf("signing out %s: status %d, %s", what, a.status, a.text)
		}
	}
	other.is(p, grace.User)

	a := here.must(p, "DELETE", "/devices/"+handle(list, "Safari on iPhone"), "")
	if got := fmt.Sprint(names(a)); got != "[Chrome on Linux (this) Firefox on Windows]" {
		t.Errorf("without the phone the devices are %s", got)
	}
	mobile.is(p, "")
	work.is(p, ada.User)
	here.is(p, ada.User)

	copied := here.cookie(p)
	a = here.must(p, "DELETE", "/devices", "")
	if got := fmt.Sprint(names(a)); got != "[Chrome on Linux (this)]" {
		t.Errorf("without all others the devices are %s", got)
	}
	useless(t, p, "before the sign-out of all others", copied)
	work.is(p, "")
	other.is(p, grace.User)
	here.is(p, ada.User)
	if a := here.must(p, "GET", "/session", ""); cart(a) != "1×42 1×43" {
		t.Errorf("after all that the cart is %s", cart(a))
	}
	mobile.login(p, ada) // which is not held against a later login
	mobile.is(p, ada.User)
}

// testSharedSessions has two processes on one Redis: a login in one is a login in
// the other, and two tabs fill one cart at once through both of them.
func testSharedSessions(t *testing.T, bin string) {
	for _, topology := range []redistest.Topology{redistest.Standalone, redistest.Cluster} {
		t.Run(string(topology), func(t *testing.T) {
			flags := []string{"REDIS_URL=" + redistest.Private(t, topology).URL(), "-db=" + filepath.Join(t.TempDir(), "shop.db")}
			ps := []*program{start(t, bin, flags...), start(t, bin, flags...)}
			v := newVisitor(t, ps[0], desktop)
			v.login(ps[0], demoAccounts[0])
			v.is(ps[1], demoAccounts[0].User)

			const tabs, times = 4, 15
			var wg sync.WaitGroup
			for tab := range tabs {
				wg.Go(func() {
					for range times {
						a := v.must(ps[tab%2], "POST", "/cart", adding(7, 1))
						b := v.must(ps[tab%2], "POST", "/cart", adding(100+tab, 1))
						if !strings.Contains(cart(a), "×7") || !strings.Contains(cart(b), fmt.Sprintf("×%d", 100+tab)) {
							t.Errorf("an answer does not show its own change: %s, then %s", cart(a), cart(b))
						}
					}
				})
			}
			wg.Wait()
			got := strings.Fields(cart(v.must(ps[1], "GET", "/session", "")))
			want := []string{fmt.Sprintf("%d×7", tabs*times)}
			for tab := range tabs {
				want = append(want, fmt.Sprintf("%d×%d", times, 100+tab))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("after %d tabs at once the cart is %v, want %v", tabs, got, want)
			}
			conflicts := ps[0].get(t, "/stats").Sessions["Conflicts"] + ps[1].get(t, "/stats").Sessions["Conflicts"]
			if conflicts == 0 {
				t.Error("no two changes met: nothing was shown")
			}

			ps = append(ps, start(t, bin, flags...)) // which knows nothing but what is in Redis
			v.is(ps[2], demoAccounts[0].User)
			v.must(ps[1], "POST", "/logout", "")
			v.is(ps[0], "")
		})
	}
}

// testSessionsWithoutRedis takes the server away: nobody is logged out by that, and
// nobody is let in.
func testSessionsWithoutRedis(t *testing.T, bin string) {
	server := redistest.Private(t, redistest.Standalone)
	p := start(t, bin, "REDIS_URL="+server.URL(), "-session-wait=1s")
	ada := demoAccounts[0]
	v := newVisitor(t, p, desktop)
	v.login(p, ada)
	v.must(p, "POST", "/cart", adding(3, 1))
	cookie := v.cookie(p)

	without := func(how string) {
		t.Helper()
		for _, c := range [][3]string{
			{"GET", "/session", ""},
			{"GET", "/profile", ""},
			{"GET", "/devices", ""},
			{"DELETE", "/devices", ""},
			{"POST", "/cart", adding(4, 1)},
			{"POST", "/logout", ""},
			{"POST", "/login", credentials(ada.User, ada.Password)},
		} {
			began := time.Now()
			a := v.ask(p, c[0], c[1], c[2])
			if a.status != http.StatusServiceUnavailable || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s with Redis %s: status %d, cookie %q, %s", c[0], c[1], how, a.status, a.header.Get("Set-Cookie"), a.text)
			}
			// A second for the session, and what the limiter waits; far from the client's
			// default.
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("%s %s with Redis %s took %v", c[0], c[1], how, took)
			}
		}
		if v.cookie(p) != cookie {
			t.Error("the cookie is not what it was")
		}
		// The shop is open all the same, to those who have no cookie too.
		v.must(p, "GET", "/products/3", "")
		if a := p.get(t, "/session"); a.User != "" {
			t.Errorf("a visitor without a cookie gets %s", a.text)
		}
	}
	server.Pause(t)
	without("hung")
	server.Resume(t)
	poll(t, 10*time.Second, "the session is there again", func() bool { return v.ask(p, "GET", "/session", "").status == http.StatusOK })
	v.is(p, ada.User)
	if got := cart(v.must(p, "GET", "/session", "")); !strings.HasPrefix(got, "1×3") {
		t.Errorf("afterwards the cart is %s", got)
	}
	if got := v.must(p, "POST", "/cart", adding(3, 1)); !strings.HasPrefix(cart(got), "2×3") {
		t.Errorf("after one more the cart is %s", cart(got))
	}
	server.Kill(t)
	without("gone")
}

// testSessionInput sends what is no login and no change of a cart.
func testSessionInput(t *testing.T, bin string) {
	p := start(t, bin, "-hops=1")
	v := newVisitor(t, p, desktop)
	for i, c := range []struct {
		path, body string
		want       int
	}{
		{"/login", "", 415},
		{"/login", "{", 400},
		{"/login", "[]", 400},
		{"/login", `{"user":"ada"}`, 400},
		{"/login", `{"password":"x"}`, 400},
		{"/login", `{"user":" ","password":"x"}`, 400},
		{"/login", `{"user":1,"password":"x"}`, 400},
		{"/login", credentials("ada", "x") + "{}", 400},
		{"/login", credentials(strings.Repeat("a", maxUser+1), "x"), 400},
		{"/login", credentials("ada", strings.Repeat("x", maxFormBytes)), 413},
		{"/login", credentials("ada", demoAccounts[0].Password+" "), 401},
		{"/login", credentials("ada", strings.Repeat("x", maxPassword+1)), 401},
		{"/login", credentials("' OR 1=1 --", "x"), 401},
		{"/cart", "", 415},
		{"/cart", "{", 400},
		{"/cart", `{"product":1}`, 400},
		{"/cart", `{"add":1}`, 400},
		{"/cart", `{"product":1,"add":0}`, 400},
		{"/cart", `{"product":1,"add":1.5}`, 400},
		{"/cart", adding(1, maxQuantity+1), 400},
		{"/cart", adding(1, -maxQuantity-1), 400},
		{"/cart", adding(999999, 1), 404},
		{"/cart", adding(-1, 1), 404},
	} {
		v.header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i+1))
		a := v.ask(p, "POST", c.path, c.body)
		if a.status != c.want || a.header.Get("Content-Type") != "application/problem+json" || a.Detail == "" || a.header.Get("Set-Cookie") != "" {
			t.Errorf("POST %s %.60s: status %d, want %d: %s", c.path, c.body, a.status, c.want, a.text)
		}
	}
	for i := range maxCartLines + 1 {
		a := v.ask(p, "POST", "/cart", adding(i+1, 1))
		if full := i == maxCartLines; full != (a.status == http.StatusConflict) || !full && len(a.Cart.Lines) != i+1 {
			t.Errorf("product %d of a cart: status %d, %s", i+1, a.status, a.text)
		}
	}
	if a := v.must(p, "POST", "/cart", adding(1, maxQuantity)); a.Cart.Lines[0].Quantity != maxQuantity {
		t.Errorf("very many: %s", a.text)
	}
	if a := v.must(p, "POST", "/cart", adding(1, -maxQuantity)); len(a.Cart.Lines) != maxCartLines-1 || a.Cart.Lines[0].Product.ID != 2 {
		t.Errorf("all of it out: %s", a.text)
	}
	for _, cookie := range []string{"", "x", strings.Repeat("A", 64), strings.Repeat("A", 5000), "ä"} {
		useless(t, p, "somebody who made it up", cookie)
	}
}

// Somebody who is no user takes as long as a wrong password: the work is the same.
func TestNobodysHashCostsTheSame(t *testing.T) {
	got, err := bcrypt.Cost([]byte(nobodysHash))
	if err != nil || got != bcrypt.DefaultCost {
		t.Errorf("nobody's hash has cost %d, %v, want %d", got, err, bcrypt.DefaultCost)
	}
	for _, a := range demoAccounts {
		if len(a.Password) > maxPassword || len(a.User) > maxUser || a.User != strings.ToLower(a.User) {
			t.Errorf("nobody can log in as %+v", a)
		}
	}
}

func TestDeviceOf(t *testing.T) {
	for agent, want := range map[string]string{
		desktop: "Chrome on Linux",
		laptop:  "Firefox on Windows",
		phone:   "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36":         "Chrome on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36 Edg/150.0.0.0": "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":         "Safari on macOS",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/150.0.0.0 Safari/537.36":                 "Chrome on Linux",
		"curl/8.14.1": "curl",
		"Nonsense":    "Something unknown",
		"":            "Something unknown",
	} {
		if got := deviceOf(&http.Request{Header: http.Header{"User-Agent": {agent}}}); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}

// Any changes of a cart add up to the same, in whatever order they are made: that is
// what makes it right to make them again on what another tab has saved.
func TestCartChangesCommute(t *testing.T) {
	changes := [][2]int64{{1, 3}, {2, 5}, {1, 4}, {3, 1}, {2, 2}}
	sum := func(order []int) map[int64]int64 {
		var v visit
		for _, i := range order {
			if err := v.add(changes[i][0], changes[i][1]); err != nil {
				t.Fatal(err)
			}
		}
		all := make(map[int64]int64)
		for _, l := range v.Cart {
			all[l.Product] += l.Quantity
		}
		return all
	}
	want := fmt.Sprint(sum([]int{0, 1, 2, 3, 4}))
	for _, order := range [][]int{{4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}, {1, 4, 0, 3, 2}} {
		if got := fmt.Sprint(sum(order)); got != want {
			t.Errorf("in the order %v the cart is %s, want %s", order, got, want)
		}
	}
}

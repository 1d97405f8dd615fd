package session

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustJar(t testing.TB, c Cookie) *jar {
	t.Helper()
	j, err := newJar(c)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestCookieText(t *testing.T) {
	t.Parallel()
	tok := newToken()
	v := tok.cookieValue()
	for _, c := range []struct {
		cookie Cookie
		want   string
	}{
		{Cookie{}, "__Host-sid=" + v + "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Path: "/app"}, "__Secure-sid=" + v + "; Path=/app; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Domain: "example.com"}, "__Secure-sid=" + v + "; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Insecure: true}, "sid=" + v + "; Path=/; HttpOnly; SameSite=Lax"},
		{Cookie{Name: "app", SameSite: http.SameSiteStrictMode}, "app=" + v + "; Path=/; HttpOnly; Secure; SameSite=Strict"},
		{Cookie{SameSite: http.SameSiteNoneMode}, "__Host-sid=" + v + "; Path=/; HttpOnly; Secure; SameSite=None"},
		{Cookie{Persistent: true}, "__Host-sid=" + v + "; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=3600"},
	} {
		h := make(http.Header)
		mustJar(t, c.cookie).set(h, &tok, time.Hour)
		if got := h.Get("Set-Cookie"); got != c.want {
			t.Errorf("%+v is written as\n%s, want\n%s", c.cookie, got, c.want)
		}
		if got := h.Get("Cache-Control"); got != "no-store" {
			t.Errorf("with it comes Cache-Control: %s", got)
		}
	}
}

func TestCookieMaxAge(t *testing.T) {
	t.Parallel()
	tok, j := newToken(), mustJar(t, Cookie{Persistent: true})
	for ttl, want := range map[time.Duration]string{
		-time.Second:           "Max-Age=1",
		time.Millisecond:       "Max-Age=1",
		90 * time.Second:       "Max-Age=90",
		1000 * 24 * time.Hour:  "Max-Age=34560000",
		400*24*time.Hour + 1e9: "Max-Age=34560000",
	} {
		h := make(http.Header)
		j.set(h, &tok, ttl)
		if got := h.Get("Set-Cookie"); !strings.HasSuffix(got, "; "+want) {
			t.Errorf("of a session that lasts %v: %s, want %s", ttl, got, want)
		}
	}
}

func TestCookieReplaces(t *testing.T) {
	t.Parallel()
	j := mustJar(t, Cookie{})
	a, b := newToken(), newToken()
	h := http.Header{"Set-Cookie": {"other=1"}, "Cache-Control": {"public, max-age=60", "immutable"}}
	j.set(h, &a, time.Hour)
	j.set(h, &b, time.Hour)
	if got := h["Set-Cookie"]; len(got) != 2 || got[0] != "other=1" || !strings.Contains(got[1], b.cookieValue()) {
		t.Errorf("Set-Cookie is %q", got)
	}
	j.clear(h)
	if got := h["Set-Cookie"]; len(got) != 2 || got[1] != "__Host-sid=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0" {
		t.Errorf("after clear it is %q", got)
	}
	if got := h["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("Cache-Control is %q", got)
	}
}

func TestCookieRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cookie Cookie
		want   string
	}{
		{Cookie{Name: "a b"}, "Cookie"},
		{Cookie{Name: "a;b"}, "Cookie"},
		{Cookie{Name: "a=b"}, "Cookie"},
		{Cookie{Name: "sïd"}, "Cookie"},
		{Cookie{Path: "/a;b"}, "Cookie"},
		{Cookie{Path: "/a\nb"}, "Cookie"},
		{Cookie{Path: "app"}, "Path"},
		{Cookie{Domain: "a b"}, "Cookie"},
		{Cookie{Domain: "a;b"}, "Cookie"},
		{Cookie{Domain: "https://example.com"}, "Cookie"},
		{Cookie{SameSite: http.SameSiteDefaultMode}, "SameSite"},
		{Cookie{SameSite: 9}, "SameSite"},
		{Cookie{SameSite: -1}, "SameSite"},
		{Cookie{Insecure: true, SameSite: http.SameSiteNoneMode}, "SameSite"},
		{Cookie{Insecure: true, Name: "__Host-sid"}, "Insecure"},
		{Cookie{Insecure: true, Name: "__host-sid"}, "Insecure"},
		{Cookie{Insecure: true, Name: "__SECURE-sid"}, "Insecure"},
		{Cookie{Insecure: true, Name: "__Http-sid"}, "Insecure"},
		{Cookie{Name: "__Host-sid", Domain: "example.com"}, "Domain"},
		{Cookie{Name: "__HOST-sid", Domain: "example.com"}, "Domain"},
		{Cookie{Name: "__Host-sid", Path: "/app"}, "Path"},
		{Cookie{Name: "__host-sid", Path: "/app"}, "Path"},
		{Cookie{Name: "__Host-Http-sid", Path: "/app"}, "Path"},
	} {
		if j, err := newJar(c.cookie); err == nil || !strings.Contains(err.Error(), "ManagerOptions."+"Cookie") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v, want an error about %s", c.cookie, j, err, c.want)
		}
	}
}

func TestCookieRead(t *testing.T) {
	t.Parallel()
	j := mustJar(t, Cookie{})
	var toks [6]token
	var vs [6]string
	for i := range toks {
		toks[i] = newToken()
		vs[i] = toks[i].cookieValue()
	}
	for name, c := range map[string]struct {
		lines []string
		want  []token
	}{
		"none":           {nil, nil},
		"one":            {[]string{"__Host-sid=" + vs[0]}, toks[:1]},
		"among others":   {[]string{"a=b; __Host-sid=" + vs[0] + "; c"}, toks[:1]},
		"without spaces": {[]string{"a=b;__Host-sid=" + vs[0] + ";c"}, toks[:1]},
		"two":            {[]string{"__Host-sid=" + vs[1] + "; __Host-sid=" + vs[0]}, []token{toks[1], toks[0]}},
		"two lines":      {[]string{"__Host-sid=" + vs[1], "__Host-sid=" + vs[0]}, []token{toks[1], toks[0]}},
		"one twice":      {[]string{"__Host-sid=" + vs[0] + "; __Host-sid=" + vs[0]}, toks[:1]},
		"junk first":     {[]string{"__Host-sid=junk; __Host-sid=; __Host-sid; __Host-sid=" + vs[0]}, toks[:1]},
		"too many":       {[]string{"__Host-sid=" + strings.Join(vs[:], "; __Host-sid=")}, toks[:maxCandidates]},
		"lower case":     {[]string{"__host-sid=" + vs[0]}, nil},
		"nameless":       {[]string{"=__Host-sid=" + vs[0]}, nil},
		"only a value":   {[]string{vs[0]}, nil},
		"quoted":         {[]string{`__Host-sid="` + vs[0] + `"`}, nil},
		"longer name":    {[]string{"x__Host-sid=" + vs[0] + "; __Host-sidx=" + vs[0]}, nil},
		"inside another": {[]string{"a=__Host-sid=" + vs[0]}, nil},
	} {
		if got := j.tokens(nil, http.Header{"Cookie": c.lines}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %d tokens, want %d", name, len(got), len(c.want))
		}
	}
}

// FuzzCookie compares with net/http, which knows the cookie's syntax better.
func FuzzCookie(f *testing.F) {
	tok := newToken()
	v := tok.cookieValue()
	f.Add("__Host-sid="+v, "")
	f.Add("a=b; __Host-sid=junk", "__Host-sid="+v+";")
	f.Add("=__Host-sid="+v, " __Host-sid = "+v)
	j := mustJar(f, Cookie{})
	f.Fuzz(func(t *testing.T, a, b string) {
		r := &http.Request{Header: http.Header{"Cookie": {a, b}}}
		got := j.tokens(nil, r.Header)
		var want []token
		for _, c := range r.CookiesNamed(j.name) {
			if tok, ok := parseToken(c.Value); ok && !c.Quoted && !contains(want, &tok) && len(want) < maxCandidates {
				want = append(want, tok)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q and %q %d tokens are read, want %d", a, b, len(got), len(want))
		}
		h := make(http.Header)
		for i := range got {
			j.set(h, &got[i], time.Hour)
			c, err := http.ParseSetCookie(h.Get("Set-Cookie"))
			if err != nil || c.Value != got[i].cookieValue() || len(h["Set-Cookie"]) != 1 {
				t.Errorf("it is set again as %q: %v", h["Set-Cookie"], err)
			}
		}
	})
}

package ratelimit

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// clientOf is what ClientIP makes of a request from remote with lines of a header.
func clientOf(t testing.TB, opts *ClientIPOptions, remote string, lines ...string) string {
	t.Helper()
	f, err := ClientIP(opts)
	if err != nil {
		t.Fatalf("ClientIP(%+v) = %v", opts, err)
	}
	r := &http.Request{RemoteAddr: remote, Header: make(http.Header)}
	if opts != nil && opts.Header != "" {
		for _, line := range lines {
			r.Header.Add(opts.Header, line)
		}
	}
	return f(r)
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestClientIPDefault(t *testing.T) {
	t.Parallel()
	f, err := ClientIP(nil)
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]string{
		"192.0.2.7:41000":            "192.0.2.7",
		"192.0.2.7":                  "192.0.2.7", // as other middleware may leave it
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:443": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:443":     "192.0.2.7",
		"[64:ff9b::c000:207]:443":    "192.0.2.7",
		"[fe80::1%eth0]:80":          "fe80::/64",
		"2001:db8::1":                "2001:db8::/64",
		"@":                          "@",
		"":                           "unknown",
	} {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{
			"X-Forwarded-For":  {"203.0.113.9"},
			"Forwarded":        {"for=203.0.113.9"},
			"X-Real-Ip":        {"203.0.113.9"},
			"True-Client-Ip":   {"203.0.113.9"},
			"Cf-Connecting-Ip": {"203.0.113.9"},
		}}
		if got := f(r); got != want {
			t.Errorf("the client at %q is %q, want %q, whatever the headers say", remote, got, want)
		}
	}
}

func TestClientIPBits(t *testing.T) {
	t.Parallel()
	for bits, want := range map[int]string{
		-1: "2001:db8:1:2:3:4:5:6", 128: "2001:db8:1:2:3:4:5:6", 64: "2001:db8:1:2::/64",
		56: "2001:db8:1::/56", 48: "2001:db8:1::/48", 1: "::/1",
	} {
		opts := &ClientIPOptions{IPv6Bits: bits}
		if got := clientOf(t, opts, "[2001:db8:1:2:3:4:5:6]:1"); got != want {
			t.Errorf("with %d bits the client is %q, want %q", bits, got, want)
		}
		if got := clientOf(t, opts, "[2001:db8:1:2:3:4:5:6%eth0]:1"); got != want {
			t.Errorf("with %d bits and a zone the client is %q, want %q", bits, got, want)
		}
		if got := clientOf(t, opts, "192.0.2.7:1"); got != "192.0.2.7" {
			t.Errorf("with %d bits the IPv4 client is %q", bits, got)
		}
	}
}

const remote = "10.0.0.1" // of the last proxy

// The rightmost address outside the trusted networks, from XFF.
func TestClientIPTrusted(t *testing.T) {
	t.Parallel()
	trusted := prefixes("10.0.0.0/8", "2001:db8:ff::/48", "::ffff:172.16.0.0/108")
	for _, test := range []struct {
		name, remote, want string
		lines              []string
	}{
		{"one proxy", "10.0.0.1:5", "203.0.113.1", []string{"203.0.113.1"}},
		{"two proxies", "10.0.0.1:5", "203.0.113.1", []string{"203.0.113.1, 10.0.0.2"}},
		{"two lines", "10.0.0.1:5", "203.0.113.1", []string{"203.0.113.1", "10.0.0.2"}},
		{"the client sent a line too", "10.0.0.1:5", "203.0.113.1", []string{"198.51.100.9", "203.0.113.1"}},
		{"the client sent one that looks internal", "10.0.0.1:5", "203.0.113.1", []string{"10.1.1.1", "203.0.113.1, 10.0.0.2"}},
		{"spoofed", "10.0.0.1:5", "203.0.113.1", []string{"1.1.1.1, 2.2.2.2, 203.0.113.1"}},
		{"not by a proxy", "203.0.113.1:5", "203.0.113.1", []string{"1.1.1.1"}},
		{"not by a proxy, which calls itself one", "203.0.113.1:5", "203.0.113.1", []string{"1.1.1.1, 10.0.0.9"}},
		{"no header", "10.0.0.1:5", remote, nil},
		{"empty", "10.0.0.1:5", remote, []string{""}},
		{"all are trusted", "10.0.0.1:5", "10.0.0.3", []string{"10.0.0.3, 10.0.0.2"}},
		{"spaces and tabs", "10.0.0.1:5", "203.0.113.1", []string{"1.1.1.1,\t203.0.113.1 ,10.0.0.2\t"}},
		{"a port", "10.0.0.1:5", "203.0.113.1", []string{"203.0.113.1:61000, 10.0.0.2:80"}},
		{"IPv6", "10.0.0.1:5", "2001:db8:1:2::/64", []string{"2001:db8:1:2::7"}},
		{"IPv6 in brackets", "10.0.0.1:5", "2001:db8:1:2::/64", []string{"[2001:db8:1:2::7]"}},
		{"IPv6 and a port", "10.0.0.1:5", "2001:db8:1:2::/64", []string{"[2001:db8:1:2::7]:443"}},
		{"a zone", "10.0.0.1:5", "fe80::/64", []string{"fe80::1%eth0"}},
		{"IPv6 proxies", "[2001:db8:ff::1]:5", "203.0.113.1", []string{"1.1.1.1, 203.0.113.1, 2001:db8:ff:1::2"}},
		{"IPv4 mapped", "[::ffff:10.0.0.1]:5", "203.0.113.1", []string{"::ffff:203.0.113.1, ::ffff:10.0.0.2, [::ffff:a00:3]"}},
		{"a mapped network", "172.16.9.9:5", "203.0.113.1", []string{"203.0.113.1, 172.31.0.1"}},
		{"next to a mapped network", "172.32.0.1:5", "172.32.0.1", []string{"203.0.113.1"}},
		{"unknown", "10.0.0.1:5", remote, []string{"203.0.113.1, unknown"}},
		{"unknown to the first of two", "10.0.0.1:5", "10.0.0.2", []string{"203.0.113.1, unknown, 10.0.0.2"}},
		{"an empty element", "10.0.0.1:5", "10.0.0.2", []string{"203.0.113.1, , 10.0.0.2"}},
		{"an empty last element", "10.0.0.1:5", remote, []string{"203.0.113.1,"}},
		{"an empty line", "10.0.0.1:5", remote, []string{"203.0.113.1", ""}},
		{"garbage on the left", "10.0.0.1:5", "203.0.113.1", []string{`";,"[]:\`, "203.0.113.1"}},
		{"garbage in front", "10.0.0.1:5", "203.0.113.1", []string{`a b " \, 203.0.113.1`}},
		{"garbage", "10.0.0.1:5", "10.0.0.2", []string{"203.0.113.1, 256.1.1.1, 10.0.0.2"}},
		{"octal", "10.0.0.1:5", remote, []string{"010.0.0.1"}},
		{"brackets around IPv4", "10.0.0.1:5", remote, []string{"[203.0.113.1]"}},
		{"half a bracket", "10.0.0.1:5", remote, []string{"[2001:db8::1"}},
		{"after the bracket", "10.0.0.1:5", remote, []string{"[2001:db8::1]x"}},
		{"no port", "10.0.0.1:5", remote, []string{"203.0.113.1:"}},
		{"a port of letters", "10.0.0.1:5", remote, []string{"203.0.113.1:http"}},
		{"a name", "10.0.0.1:5", remote, []string{"localhost"}},
		{"a Unix socket", "@", "@", []string{"203.0.113.1"}},
	} {
		got := clientOf(t, &ClientIPOptions{Header: "x-forwarded-for", Trusted: trusted}, test.remote, test.lines...)
		if got != test.want {
			t.Errorf("%s: from %s with %q the client is %q, want %q", test.name, test.remote, test.lines, got, test.want)
		}
	}
}

// The n-th address from the end, from XFF.
func TestClientIPHops(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hops  int
		want  string
		lines []string
	}{
		{1, "203.0.113.1", []string{"203.0.113.1"}},
		{1, "203.0.113.1", []string{"1.1.1.1", "2.2.2.2, 203.0.113.1:80"}},
		{2, "203.0.113.1", []string{"1.1.1.1", "203.0.113.1, 192.0.2.1"}},
		{2, "203.0.113.1", []string{"1.1.1.1, 203.0.113.1", "192.0.2.1"}},
		{2, "203.0.113.1", []string{"203.0.113.1, what the last proxy was called from"}},
		{3, remote, []string{"1.1.1.1", "2.2.2.2"}}, // it came past a proxy
		{1, remote, nil},
		{1, remote, []string{"203.0.113.1, unknown"}},
		{2, remote, []string{"203.0.113.1,, 192.0.2.1"}},
	} {
		got := clientOf(t, &ClientIPOptions{Header: "X-Forwarded-For", Hops: test.hops}, remote+":5", test.lines...)
		if got != test.want {
			t.Errorf("%d hops, %q: the client is %q, want %q", test.hops, test.lines, got, test.want)
		}
	}
	if got := clientOf(t, &ClientIPOptions{Header: "X-Forwarded-For", Hops: 1}, "@", "203.0.113.1"); got != "203.0.113.1" {
		t.Errorf("through a Unix socket the client is %q", got)
	}
	if got := clientOf(t, &ClientIPOptions{Header: "X-Real-IP", Hops: 1}, "@", "203.0.113.1"); got != "203.0.113.1" {
		t.Errorf("by X-Real-IP the client is %q", got)
	}
}

// What RFC 7239 allows, and what tries to get past it.
func TestClientIPForwarded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		lines      []string
	}{
		{"token", "192.0.2.60", []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}},
		{"letter case and order", "192.0.2.60", []string{"Proto=http; FOR=192.0.2.60 ;by=203.0.113.43"}},
		{"quoted IPv6", "2001:db8:cafe::/64", []string{`For="[2001:db8:cafe::17]:4711"`}},
		{"quoted port", "192.0.2.43", []string{`for="192.0.2.43:47011"`}},
		{"obfuscated port", "192.0.2.43", []string{`for="192.0.2.43:_port-1"`}},
		{"unquoted brackets", "2001:db8::/64", []string{"for=[2001:db8::17]:4711"}},
		{"IPv6 without brackets", "2001:db8::/64", []string{`for="2001:db8::17"`}},
		{"two elements", "192.0.2.43", []string{"for=1.1.1.1, for=192.0.2.43, for=10.0.0.2"}},
		{"two lines", "192.0.2.43", []string{"for=1.1.1.1", "for=192.0.2.43", "for=10.0.0.2"}},
		{"escapes", "192.0.2.43", []string{`for="1\92.0.2.\43"`}},
		{"a comma and a semicolon in quotes", "192.0.2.43", []string{`for=192.0.2.43;ext="a,b;for=1.1.1.1"`}},
		{"a quote in quotes", "192.0.2.43", []string{`ext="a\",b\\";for=192.0.2.43`}},
		{"a quote in quotes, at the end", "192.0.2.43", []string{`for=192.0.2.43;ext="\\\",for=1.1.1.1,\""`}},
		{"empty pairs", "192.0.2.43", []string{";;for=192.0.2.43;;"}},
		{"no for", remote, []string{"for=1.1.1.1, proto=https;by=10.0.0.1"}},
		{"two fors", remote, []string{"for=1.1.1.1;for=192.0.2.43"}},
		{"unknown", remote, []string{"for=1.1.1.1, for=unknown"}},
		{"hidden", "10.0.0.2", []string{"for=1.1.1.1, for=_SEVKISEK, for=10.0.0.2"}},
		{"empty", remote, []string{"for="}},
		{"empty quotes", remote, []string{`for=""`}},
		{"spaces around =", remote, []string{"for = 192.0.2.43"}},
		{"no =", remote, []string{"for=1.1.1.1, 192.0.2.43"}},
		{"half a quote", remote, []string{`for="192.0.2.43`}},
		{"text after the quotes", remote, []string{`for="192.0.2.43"x`}},
		{"half an escape", remote, []string{`for="192.0.2.43\`}},
		{"XFF in it", remote, []string{"192.0.2.43"}},
		// What the client sent leaves a quote open, to swallow what the proxies add.
		{"an open quote", "192.0.2.43", []string{`for=1.1.1.1;x=", for=192.0.2.43`}},
		{"an open quote, and quotes", "2001:db8::/64", []string{`for=1.1.1.1;x=", for="[2001:db8::1]"`}},
		{"an open quote, and two in quotes", "2001:db8::/64", []string{`for=1.1.1.1;x=", for="[2001:db8::1]", for="10.0.0.2:1"`}},
		{"an open escape", "192.0.2.43", []string{`for=1.1.1.1;x="\, for="192.0.2.43"`}},
		{"an open quote in its own line", "192.0.2.43", []string{`for=1.1.1.1;x="`, `for="192.0.2.43"`}},
	} {
		opts := &ClientIPOptions{Header: "forwarded", Trusted: prefixes("10.0.0.0/8")}
		if got := clientOf(t, opts, remote+":5", test.lines...); got != test.want {
			t.Errorf("%s: with %q the client is %q, want %q", test.name, test.lines, got, test.want)
		}
	}
}

func TestClientIPOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]*ClientIPOptions{
		"ClientIPOptions.Header is not":        {Header: "X Forwarded", Hops: 1},
		"ClientIPOptions.Header is empty":      {Hops: 1},
		"or Hops is set":                       {Trusted: prefixes("10.0.0.0/8")},
		"ClientIPOptions.Header needs one":     {Header: "Forwarded"},
		"needs one of Trusted and Hops":        {Header: "Forwarded", Hops: 1, Trusted: prefixes("10.0.0.0/8")},
		"ClientIPOptions.Hops is negative":     {Header: "Forwarded", Hops: -1},
		"ClientIPOptions.IPv6Bits is":          {IPv6Bits: 129},
		"Trusted has an invalid":               {Header: "Forwarded", Trusted: []netip.Prefix{{}}},
		"Trusted has ::ffff:0.0.0.0/95, which": {Header: "Forwarded", Trusted: prefixes("::ffff:0.0.0.0/95")},
	} {
		if f, err := ClientIP(opts); f != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ClientIP(%+v) = %v, want an error with %q", opts, err, want)
		}
	}
	mine := prefixes("10.0.0.0/8")
	f, err := ClientIP(&ClientIPOptions{Header: "X-Forwarded-For", Trusted: mine})
	if err != nil {
		t.Fatal(err)
	}
	mine[0] = netip.MustParsePrefix("0.0.0.0/0")
	r := &http.Request{RemoteAddr: "192.0.2.1:1", Header: http.Header{"X-Forwarded-For": {"1.1.1.1"}}}
	if got := f(r); got != "192.0.2.1" {
		t.Errorf("after a change of the caller's slice the client is %q: the options are not copied", got)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	key := func(name string, values ...string) string {
		r := &http.Request{Header: http.Header{"X-Api-Key": values}, Host: "shop.example"}
		return Header(name)(r)
	}
	const secret = "sk-live-4242"
	seen := make(map[string][]string)
	for _, values := range [][]string{nil, {secret}, {"other"}, {secret, "other"}, {secret + "other"}, {secret + ", other"}} {
		k := key("x-API-key", values...)
		if k == "" || strings.Contains(k, "live") || strings.Contains(k, "4242") || len(k) != 22 {
			t.Errorf("the key of %q is %q, want 22 characters that do not give it away", values, k)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", values, other)
		}
		seen[k] = values
		if again := key("X-Api-Key", values...); again != k {
			t.Errorf("the key of %q is %q, then %q", values, k, again)
		}
	}
	if key("Host") == key("Other") || key("Host") != key("host") {
		t.Error("Host is not read")
	}
}

// Whatever the headers say, the client is a valid name, and what stands before
// the proxies' part does not change who it is.
func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{
		"", "1.1.1.1", `for="[::1]:80"`, `for=1.1.1.1;x="`, `for="\"`, "for=_hidden, for=unknown",
		"2001:db8::1", "[2001:db8::1%25eth0]:80", ",,,", `"\\",";=`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		if strings.ContainsAny(sent, "\r\n\x00") {
			return
		}
		for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
			trusted := &ClientIPOptions{Header: header, Trusted: prefixes("10.0.0.0/8", "::/1")}
			got := clientOf(t, trusted, "10.0.0.1:1", sent)
			if a, err := netip.ParseAddr(got); err != nil || !a.Is4() {
				if p, err := netip.ParsePrefix(got); err != nil || p.Bits() != 64 || p != p.Masked() {
					t.Errorf("%s: with %q the client is %q", header, sent, got)
				}
			}
			for _, added := range []string{"203.0.113.1", "203.0.113.1, 10.0.0.2", "203.0.113.1:80,10.0.0.2"} {
				want := "203.0.113.1"
				hops := &ClientIPOptions{Header: header, Hops: 1 + strings.Count(added, ",")}
				if header == "Forwarded" {
					first, second, two := strings.Cut(added, ",")
					added = `for="` + first + `"`
					if two {
						added += `;ext="\",",for=` + strings.TrimSpace(second)
					}
				}
				for _, lines := range [][]string{{sent, added}, {sent + ", " + added}, {sent + "," + added}} {
					for _, opts := range []*ClientIPOptions{trusted, hops} {
						if got := clientOf(t, opts, "10.0.0.1:1", lines...); got != want {
							t.Errorf("%s: with %q the client is %q, want %q", header, lines, got, want)
						}
					}
				}
			}
		}
	})
}

func BenchmarkClientIP(b *testing.B) {
	f, err := ClientIP(&ClientIPOptions{Header: "X-Forwarded-For", Trusted: prefixes("10.0.0.0/8")})
	if err != nil {
		b.Fatal(err)
	}
	r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {"1.1.1.1, 203.0.113.1, 10.0.0.2"}}}
	b.ReportAllocs()
	for b.Loop() {
		f(r)
	}
}

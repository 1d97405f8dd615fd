package ratelimit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// ClientIPOptions says which proxies [ClientIP] believes. The zero value believes
// none.
type ClientIPOptions struct {
	// Header is where the proxies in front of this server write the address they
	// were called from: Forwarded is read as RFC 7239, any other as a list of
	// addresses, as X-Forwarded-For is, each proxy adding one at the end. It needs
	// Trusted or Hops. Empty: headers are not read, since anyone can send them. Set
	// it if there is a proxy, or all its clients are one.
	Header string

	// Trusted are the networks of the proxies. The client is the last address
	// that is in none of them, looked for from the connection's own address
	// backwards. Nil: Hops counts instead. Use it if the proxies are known by their
	// addresses, and requests may come past some of them.
	Trusted []netip.Prefix

	// Hops is how many proxies every request passes, each adding one address. The
	// client is the Hops-th from the end, whoever the connection comes from.
	// Zero: Trusted decides. Use it if their addresses change, or the last one
	// connects through a Unix socket; a request that can come past one of them
	// chooses its own address.
	Hops int

	// IPv6Bits is how much of an IPv6 address counts, in bits: those in one network
	// of that size are one client, who can easily use all of them. Zero: 64.
	// Negative: all 128. Set it if clients have 56 or 48 bits to themselves.
	IPv6Bits int
}

// ClientIP returns a function that names the client of a request by its IP
// address: 192.0.2.1, or 2001:db8:1:2::/64 for all of an IPv6 network. It is never
// empty. Without options that is where the connection comes from.
//
// Where a proxy wrote something else than an address (nothing, or a name that
// hides it, as Forwarded allows), the client is the nearest address that is sure:
// with Trusted that of the proxy, with Hops that of the connection. What stands
// before the part that the proxies wrote has no influence.
//
// IPv6 addresses that stand for IPv4 ones (::ffff:0:0/96, 64:ff9b::/96) are those.
func ClientIP(opts *ClientIPOptions) (func(*http.Request) string, error) {
	var c clientIP
	if opts != nil {
		c.ClientIPOptions = *opts
	}
	c.Header = textproto.CanonicalMIMEHeaderKey(c.Header)
	switch {
	case strings.ContainsFunc(c.Header, func(r rune) bool { return !isToken(r) }):
		return nil, errors.New("ratelimit: ClientIPOptions.Header is not the name of a header")
	case c.Hops < 0:
		return nil, errors.New("ratelimit: ClientIPOptions.Hops is negative")
	case c.Header == "" && (c.Hops > 0 || len(c.Trusted) > 0):
		return nil, errors.New("ratelimit: ClientIPOptions.Header is empty, but Trusted or Hops is set")
	case c.Header != "" && (c.Hops > 0) == (len(c.Trusted) > 0):
		return nil, errors.New("ratelimit: ClientIPOptions.Header needs one of Trusted and Hops")
	case c.IPv6Bits > 128:
		return nil, errors.New("ratelimit: ClientIPOptions.IPv6Bits is more than 128")
	case c.IPv6Bits == 0:
		c.IPv6Bits = 64
	case c.IPv6Bits < 0:
		c.IPv6Bits = 128
	}
	c.Trusted = slices.Clone(c.Trusted)
	for i, p := range c.Trusted {
		if !p.IsValid() {
			return nil, errors.New("ratelimit: ClientIPOptions.Trusted has an invalid prefix")
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("ratelimit: ClientIPOptions.Trusted has %v, which is more than all of IPv4", p)
			}
			c.Trusted[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return c.key, nil
}

type clientIP struct{ ClientIPOptions }

func (c *clientIP) key(r *http.Request) string {
	remote, ok := parseNode(r.RemoteAddr)
	client := remote
	switch {
	case c.Hops > 0:
		if a, found := c.hop(r); found {
			client, ok = a, true
		}
	case c.Header != "":
		client = c.lastUntrusted(r, remote)
	}
	switch {
	case ok:
		return c.name(client)
	case r.RemoteAddr != "": // a Unix socket
		return r.RemoteAddr
	}
	return "unknown"
}

// name is what stands for all addresses of a's client.
func (c *clientIP) name(a netip.Addr) string {
	if a.Is4() || c.IPv6Bits == 128 {
		return a.String()
	}
	p, _ := a.Prefix(c.IPv6Bits) // the number was checked
	return p.String()
}

// hop returns the address that the first of Hops proxies wrote.
func (c *clientIP) hop(r *http.Request) (netip.Addr, bool) {
	n := 0
	for _, line := range slices.Backward(r.Header[c.Header]) {
		for more := true; more; {
			var element string
			line, element, more = cutLast(line)
			if n++; n == c.Hops {
				return c.parse(element)
			}
		}
	}
	return netip.Addr{}, false
}

// lastUntrusted goes back from the connection's address as long as the one it
// has come to belongs to a trusted proxy, and so what that wrote can be believed.
func (c *clientIP) lastUntrusted(r *http.Request, remote netip.Addr) netip.Addr {
	at := remote
	for _, line := range slices.Backward(r.Header[c.Header]) {
		for more := true; more; {
			if !c.trusts(at) {
				return at
			}
			var element string
			line, element, more = cutLast(line)
			before, ok := c.parse(element)
			if !ok {
				return at
			}
			at = before
		}
	}
	return at
}

func (c *clientIP) trusts(a netip.Addr) bool {
	for _, p := range c.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parse reads one element of the header.
func (c *clientIP) parse(element string) (netip.Addr, bool) {
	if c.Header == "Forwarded" {
		return parseForwarded(element)
	}
	return parseNode(element)
}

// cutLast takes the last element of a list off. It reads from the end, also
// strings in quotes, so that what a proxy has added means the same whatever it
// was added to: an open quote before it, say.
func cutLast(list string) (rest, element string, more bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"':
			quoted = !quoted || escaped(list[:i])
		case list[i] == ',' && !quoted:
			return list[:i], list[i+1:], true
		}
	}
	return "", list, false
}

// escaped reports whether what follows before has a backslash that counts.
func escaped(before string) bool {
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// parseForwarded reads the for= of an element of Forwarded (RFC 7239).
func parseForwarded(element string) (client netip.Addr, ok bool) {
	for more := true; more; {
		var pair string
		pair, element, more = cutPair(element)
		if pair = trim(pair); pair == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		if !found {
			return netip.Addr{}, false
		}
		if !strings.EqualFold(name, "for") {
			continue
		}
		if client.IsValid() {
			return netip.Addr{}, false // two
		}
		if value, found = unquote(value); !found {
			return netip.Addr{}, false
		}
		if client, found = parseNode(value); !found {
			return netip.Addr{}, false
		}
	}
	return client, client.IsValid()
}

// cutPair takes the first pair of an element off.
func cutPair(element string) (pair, rest string, more bool) {
	quoted := false
	for i := 0; i < len(element); i++ {
		switch {
		case element[i] == '"':
			quoted = !quoted
		case element[i] == '\\' && quoted:
			i++
		case element[i] == ';' && !quoted:
			return element[:i], element[i+1:], true
		}
	}
	return element, "", false
}

// unquote reads a token or a quoted string. Some proxies leave out the quotes that
// IPv6 addresses and ports need.
func unquote(value string) (string, bool) {
	inner, ok := strings.CutPrefix(value, `"`)
	if !ok {
		return value, !strings.ContainsAny(value, "\"\\ \t")
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return b.String(), i == len(inner)-1
		case '\\':
			if i++; i == len(inner) {
				return "", false
			}
		}
		b.WriteByte(inner[i])
	}
	return "", false
}

// parseNode reads an address, which may have a port, and then brackets.
func parseNode(s string) (netip.Addr, bool) {
	s = trim(s)
	host, port, hasPort := s, "", false
	if inner, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if host, port, closed = strings.Cut(inner, "]"); !closed || !strings.Contains(host, ":") {
			return netip.Addr{}, false
		}
		if port != "" {
			if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
				return netip.Addr{}, false
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, hasPort = strings.Cut(s, ":")
	}
	if hasPort && !isPort(port) {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(a), true
}

// isPort is for ports and what Forwarded may have in their place.
func isPort(s string) bool {
	if hidden, ok := strings.CutPrefix(s, "_"); ok {
		return hidden != "" && !strings.ContainsFunc(hidden, func(r rune) bool { return !isToken(r) })
	}
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

// nat64 holds the IPv4 clients of a server that has IPv6 only (RFC 6052). As IPv6
// addresses all of them would be one client.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// plain is the one form of an address.
func plain(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isToken is for the characters of a header's name (RFC 9110).
func isToken(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// Header returns a function that names the client of a request by a header of it,
// hashed, so that no token or API key gets into Redis. Requests without the
// header are one client together: leaving it out is no way around a limit. But
// a header that nobody checks is one, since its sender may make up a value for
// each request.
func Header(name string) func(*http.Request) string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return func(r *http.Request) string {
		values := r.Header[name]
		if name == "Host" { // net/http has it elsewhere
			values = []string{r.Host}
		}
		sum := sha256.Sum256([]byte(name + ":" + strings.Join(values, "\n")))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
}

package ratelimit

import (
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// setHeaders tells a client where it stands.
func setHeaders(h http.Header, res *Result) {
	q, w := policy(&res.Limit)
	name := quoteString(policyName(&res.Limit))
	remaining := max(res.Remaining, 0)
	reset := seconds(res.ResetAfter)
	window := reset
	if !res.Allowed {
		// Retry-After must not be before the end of t, and whoever waits until
		// everything is there again waits too long.
		window = max(seconds(res.RetryAfter), 1)
		h.Set("Retry-After", strconv.FormatInt(window, 10))
		h.Set("Cache-Control", "no-store")
	}
	addMember(h, "Ratelimit-Policy", name+";q="+integer(q)+";w="+integer(w))
	addMember(h, "Ratelimit", name+";r="+integer(int64(remaining))+";t="+integer(window))

	if least, err := strconv.Atoi(h.Get("X-Ratelimit-Remaining")); err == nil && least <= remaining && res.Allowed {
		return // another limit is nearer
	}
	h.Set("X-Ratelimit-Limit", strconv.FormatInt(q, 10))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(remaining))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset, 10))
}

// addMember appends to a structured-field List.
func addMember(h http.Header, name, member string) {
	if list := strings.Join(h[name], ", "); list != "" {
		member = list + ", " + member
	}
	h.Set(name, member)
}

// policy is a limit as so many in so many seconds, and more are never there at
// once. A client that keeps to it is not denied.
func policy(l *Limit) (quota, window int64) {
	quota = max(int64(l.Quota), 0)
	if l.Algorithm != TokenBucket || l.Burst <= 0 || l.Burst == l.Quota || l.Quota <= 0 {
		return quota, max(seconds(l.Period), 1)
	}
	hi, lo := bits.Mul64(uint64(l.Burst), uint64(max(l.Period, 0)))
	if hi >= uint64(l.Quota) { // five hundred years
		return int64(l.Burst), maxInteger
	}
	refill, rest := bits.Div64(hi, lo, uint64(l.Quota))
	if rest > 0 {
		refill++
	}
	return int64(l.Burst), max(seconds(time.Duration(min(refill, math.MaxInt64))), 1)
}

// seconds rounds up.
func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Second) + 1
}

// maxInteger is the largest Integer of RFC 9651.
const maxInteger = 999_999_999_999_999

func integer(n int64) string { return strconv.FormatInt(min(n, maxInteger), 10) }

// policyName is the name of a limit in the characters that a structured-field
// String may have.
func policyName(l *Limit) string {
	if l.Name == "" {
		return "default"
	}
	if strings.IndexFunc(l.Name, unprintable) < 0 {
		return l.Name
	}
	var b strings.Builder
	for i := range len(l.Name) {
		if c := l.Name[i]; unprintable(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quoteString makes a structured-field String.
func quoteString(s string) string { return `"` + escapes.Replace(s) + `"` }

const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

package ratelimit

import (
	"fmt"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// member is an Item of a List in RFC 9651: a String with parameters that are
// Integers.
type member struct {
	name   string
	params map[string]int64
}

// parseList reads a List of such members and is as strict as the RFC: what it
// does not know is an error.
func parseList(s string) (list []member, err error) {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return nil, fmt.Errorf("byte %#x", c)
		}
	}
	for s = strings.TrimLeft(s, " "); ; {
		var m member
		if m, s, err = parseItem(s); err != nil {
			return nil, err
		}
		list = append(list, m)
		if s = strings.TrimLeft(s, " \t"); s == "" {
			return list, nil
		}
		if s[0] != ',' {
			return nil, fmt.Errorf("%q follows a member", s)
		}
		if s = strings.TrimLeft(s[1:], " \t"); s == "" {
			return nil, fmt.Errorf("a comma at the end")
		}
	}
}

func parseItem(s string) (m member, rest string, err error) {
	if s == "" || s[0] != '"' {
		return m, "", fmt.Errorf("no string: %q", s)
	}
	var name []byte
	i := 1
	for ; ; i++ {
		if i == len(s) {
			return m, "", fmt.Errorf("no end of the string")
		}
		if s[i] == '"' {
			break
		}
		if s[i] == '\\' {
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return m, "", fmt.Errorf("a backslash before something else")
			}
		}
		name = append(name, s[i])
	}
	m = member{string(name), make(map[string]int64)}
	for s = s[i+1:]; strings.HasPrefix(s, ";"); {
		s = strings.TrimLeft(s[1:], " ")
		end := strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.*", r))
		})
		if end <= 0 || s[0] != '*' && (s[0] < 'a' || s[0] > 'z') {
			return m, "", fmt.Errorf("no key: %q", s)
		}
		key := s[:end]
		if s[end] != '=' {
			return m, "", fmt.Errorf("%s is not an Integer", key)
		}
		s = s[end+1:]
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		if digits < 1 || digits > 15 || strings.HasPrefix(s[digits:], ".") {
			return m, "", fmt.Errorf("%s is not a non-negative Integer: %q", key, s)
		}
		if m.params[key], err = strconv.ParseInt(s[:digits], 10, 64); err != nil {
			return m, "", err
		}
		s = s[digits:]
	}
	return m, s, nil
}

func TestParseList(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", `default;q=1`, `"a`, `"a\b"`, `"a";`, `"a";q`, `"a";Q=1`, `"a";q=-1`, `"a";q=1.5`, `"a";q=`, `"a",`, `"a" "b"`,
		"\"\x7f\"", `"ä"`, `"a";q=1000000000000000`, `"a";q="1"`, `"a"x`,
	} {
		if list, err := parseList(bad); err == nil {
			t.Errorf("%q is a list: %v", bad, list)
		}
	}
	list, err := parseList(`"a\"\\b";q=1;w=2 ,  "c"`)
	if err != nil || len(list) != 2 || list[0].name != `a"\b` || list[0].params["q"] != 1 || list[0].params["w"] != 2 || list[1].name != "c" {
		t.Errorf("parseList = %v, %v", list, err)
	}
}

// header is what setHeaders makes of results, one after the other.
func header(results ...Result) http.Header {
	h := make(http.Header)
	for i := range results {
		setHeaders(h, &results[i])
	}
	return h
}

func hasHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	if got := strings.Join(h.Values(name), "\n"); got != want {
		t.Errorf("%s: %s, want %q", name, got, want)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	named := func(name string, l Limit) Limit {
		l.Name = name
		return l
	}
	ms := time.Millisecond
	for _, test := range []struct {
		what                              string
		res                               Result
		policy, limit, retry, store, xAll string // X-RateLimit-Limit/Remaining/Reset
	}{
		{
			"allowed", Result{Allowed: true, Limit: PerMinute(100), Remaining: 50, ResetAfter: 30 * time.Second},
			`"default";q=100;w=60`, `"default";r=50;t=30`, "", "", "100/50/30",
		},
		{
			"rounded up", Result{Allowed: true, Limit: Limit{Quota: 7, Period: 1500 * ms}, Remaining: 6, ResetAfter: 1},
			`"default";q=7;w=2`, `"default";r=6;t=1`, "", "", "7/6/1",
		},
		{
			"untouched", Result{Allowed: true, Limit: named("daily", Limit{Quota: 5, Period: 24 * time.Hour, Algorithm: FixedWindow}), Remaining: 5},
			`"daily";q=5;w=86400`, `"daily";r=5;t=0`, "", "", "5/5/0",
		},
		{
			"denied", Result{Limit: PerMinute(100), RetryAfter: 600 * ms, ResetAfter: 60 * time.Second},
			`"default";q=100;w=60`, `"default";r=0;t=1`, "1", "no-store", "100/0/60",
		},
		{
			"denied with some left", Result{Limit: PerSecond(5), Remaining: 2, RetryAfter: 2001 * ms, ResetAfter: 3 * time.Second},
			`"default";q=5;w=1`, `"default";r=2;t=3`, "3", "no-store", "5/2/3",
		},
		{
			"denied for no time", Result{Limit: PerSecond(5)},
			`"default";q=5;w=1`, `"default";r=0;t=1`, "1", "no-store", "5/0/0",
		},
		{
			"a small burst", Result{Allowed: true, Limit: Limit{Quota: 100, Period: time.Minute, Burst: 10}, Remaining: 9, ResetAfter: 600 * ms},
			`"default";q=10;w=6`, `"default";r=9;t=1`, "", "", "10/9/1",
		},
		{
			"a large burst", Result{Allowed: true, Limit: Limit{Quota: 3, Period: time.Second, Burst: 10}, Remaining: 9, ResetAfter: 333 * ms},
			`"default";q=10;w=4`, `"default";r=9;t=1`, "", "", "10/9/1",
		},
		{
			"a burst that is none", Result{Allowed: true, Limit: Limit{Quota: 3, Period: time.Second, Burst: 10, Algorithm: SlidingLog}, Remaining: 2},
			`"default";q=3;w=1`, `"default";r=2;t=0`, "", "", "3/2/0",
		},
		{
			"hostile", Result{Allowed: true, Limit: named("a\"b\\c\r\nSet-Cookie: é", PerSecond(1))},
			`"a\"b\\c%0D%0ASet-Cookie: %C3%A9";q=1;w=1`, `"a\"b\\c%0D%0ASet-Cookie: %C3%A9";r=0;t=0`, "", "", "1/0/0",
		},
	} {
		t.Run(test.what, func(t *testing.T) {
			h := header(test.res)
			hasHeader(t, h, "RateLimit-Policy", test.policy)
			hasHeader(t, h, "RateLimit", test.limit)
			hasHeader(t, h, "Retry-After", test.retry)
			hasHeader(t, h, "Cache-Control", test.store)
			if got := h.Get("X-RateLimit-Limit") + "/" + h.Get("X-RateLimit-Remaining") + "/" + h.Get("X-RateLimit-Reset"); got != test.xAll {
				t.Errorf("X-RateLimit-Limit/Remaining/Reset: %s, want %s", got, test.xAll)
			}
		})
	}
}

// Each limiter around a handler adds a member; X-RateLimit is of the one that is
// nearest.
func TestHeadersAddUp(t *testing.T) {
	t.Parallel()
	a := Result{Allowed: true, Limit: PerSecond(10), Remaining: 3, ResetAfter: time.Second}
	b := Result{Allowed: true, Limit: PerMinute(100), Remaining: 50, ResetAfter: time.Minute}
	c := Result{Limit: PerHour(200), Remaining: 10, RetryAfter: time.Minute, ResetAfter: time.Hour}
	a.Limit.Name, b.Limit.Name, c.Limit.Name = "a", "b", "c"
	const policy, limit = `"a";q=10;w=1, "b";q=100;w=60`, `"a";r=3;t=1, "b";r=50;t=60`
	h := header(a, b)
	hasHeader(t, h, "RateLimit-Policy", policy)
	hasHeader(t, h, "RateLimit", limit)
	hasHeader(t, h, "X-RateLimit-Limit", "10")
	hasHeader(t, h, "X-RateLimit-Remaining", "3")
	hasHeader(t, header(b, a), "X-RateLimit-Limit", "10")
	h = header(a, b, c)
	hasHeader(t, h, "RateLimit-Policy", policy+`, "c";q=200;w=3600`)
	hasHeader(t, h, "RateLimit", limit+`, "c";r=10;t=60`)
	hasHeader(t, h, "X-RateLimit-Limit", "200") // it denies
	hasHeader(t, h, "X-RateLimit-Remaining", "10")
	hasHeader(t, h, "Retry-After", "60")
}

// Whatever a limit and a decision are, what is emitted is a structured field, and
// is true: who keeps to the policy stays within the limit, and nobody is told to come
// back too early.
func FuzzHeaders(f *testing.F) {
	f.Add("default", 100, int64(time.Minute), 0, uint8(0), 50, int64(0), int64(time.Second))
	f.Add("\"\\\r\n\x00\x7fé;q=1,", 3, int64(time.Second), 10, uint8(0), 0, int64(1), int64(math.MaxInt64))
	f.Add("", math.MaxInt, int64(math.MaxInt64), math.MaxInt, uint8(1), math.MaxInt, int64(math.MaxInt64), int64(0))
	f.Add("", 2_000_000_001, int64(time.Second), 2_000_000_002, uint8(0), 1, int64(0), int64(0)) // half a nanosecond more than a second
	f.Add("", 1, int64(math.MaxInt64), math.MaxInt, uint8(0), -1, int64(-1), int64(-1))
	f.Fuzz(func(t *testing.T, name string, quota int, period int64, burst int, algorithm uint8, remaining int, retry, reset int64) {
		res := Result{
			Allowed: retry%2 == 0, Remaining: remaining, RetryAfter: time.Duration(retry), ResetAfter: time.Duration(reset),
			Limit: Limit{Name: name, Quota: quota, Period: time.Duration(period), Burst: burst, Algorithm: Algorithm(algorithm)},
		}
		other := Result{Allowed: true, Limit: PerSecond(1)}
		h := header(other, res, other)
		lists := make(map[string]member)
		for _, field := range []string{"RateLimit", "RateLimit-Policy"} {
			list, err := parseList(h.Get(field))
			if err != nil || len(list) != 3 || len(h.Values(field)) != 1 {
				t.Fatalf("%s: %q: %v", field, h.Values(field), err)
			}
			lists[field] = list[1]
		}
		policy, limit := lists["RateLimit-Policy"], lists["RateLimit"]
		if policy.name != limit.name || policy.name != policyName(&res.Limit) || policy.name == "" {
			t.Errorf("the policies are called %q, %q and %q", policy.name, limit.name, policyName(&res.Limit))
		}
		q, w := policy.params["q"], policy.params["w"]
		if w < 1 {
			t.Errorf("w=%d", w)
		}
		if quota > 0 && period > 0 && q < maxInteger && w < maxInteger {
			most, rate := quota, new(big.Int).Mul(big.NewInt(q), big.NewInt(period))
			if algorithm == 0 && burst > 0 {
				most = burst
			}
			allowed := new(big.Int).Mul(big.NewInt(int64(quota)), new(big.Int).Mul(big.NewInt(w), big.NewInt(1e9)))
			if q != int64(most) || rate.Cmp(allowed) > 0 {
				t.Errorf("%+v: q=%d;w=%d is more than that", res.Limit, q, w)
			}
		}
		if r := limit.params["r"]; r != min(int64(max(remaining, 0)), maxInteger) {
			t.Errorf("r=%d of %d", r, remaining)
		}
		end := limit.params["t"]
		if after := h.Get("Retry-After"); res.Allowed && after != "" || !res.Allowed && after != strconv.FormatInt(end, 10) {
			t.Errorf("allowed %v, Retry-After %q, t=%d", res.Allowed, after, end)
		}
		if want := time.Duration(retry); !res.Allowed && float64(end) < want.Seconds() {
			t.Errorf("t=%d for a RetryAfter of %v", end, want)
		}
	})
}

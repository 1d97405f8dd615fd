package pubsub

// match reports whether a topic matches a pattern, by the rules of Redis.
func match(pattern, topic string) bool {
	// Where the latest * was, and what it has swallowed so far.
	star, swallowed := -1, 0
	p, t := 0, 0
	for t < len(topic) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, swallowed = p, t
				p++
				continue
			}
			if n, ok := matchOne(pattern[p:], topic[t]); ok {
				p += n
				t++
				continue
			}
		}
		if star < 0 {
			return false
		}
		swallowed++
		p, t = star+1, swallowed
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte with the beginning of a pattern, of which it is n bytes long.
func matchOne(pattern string, c byte) (n int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return matchClass(pattern, c)
	case '\\':
		if len(pattern) >= 2 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// matchClass matches a byte with a [class], which may lack its closing bracket.
func matchClass(pattern string, c byte) (n int, ok bool) {
	n = 1
	not := n < len(pattern) && pattern[n] == '^'
	if not {
		n++
	}
	for n < len(pattern) && pattern[n] != ']' {
		switch {
		case pattern[n] == '\\' && n+1 < len(pattern):
			n++
			ok = ok || pattern[n] == c
		case n+2 < len(pattern) && pattern[n+1] == '-':
			low, high := pattern[n], pattern[n+2]
			if low > high {
				low, high = high, low
			}
			n += 2
			ok = ok || low <= c && c <= high
		default:
			ok = ok || pattern[n] == c
		}
		n++
	}
	return min(n+1, len(pattern)), ok != not
}

package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// openRedis returns a client for rawURL, a description of it that is safe to
// log, and a function that closes what was opened. An empty URL starts a
// miniredis inside this process.
func openRedis(rawURL string) (rdb redis.UniversalClient, about string, stop func(), err error) {
	if rawURL == "" {
		return embeddedRedis()
	}
	t, err := parseRedisURL(rawURL)
	if err != nil {
		return nil, "", nil, err
	}
	switch {
	case t.failover != nil:
		rdb = redis.NewFailoverClient(t.failover)
	case t.cluster != nil:
		rdb = redis.NewClusterClient(t.cluster)
	default:
		rdb = redis.NewClient(t.single)
	}
	return rdb, t.about, func() { _ = rdb.Close() }, nil
}

// embeddedRedis listens on a loopback port, so that redis-cli can look inside.
func embeddedRedis() (redis.UniversalClient, string, func(), error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // otherwise nothing in it would ever expire
	if err := m.Start(); err != nil {
		return nil, "", nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
	stop := func() {
		_ = rdb.Close()
		m.Close()
	}
	return rdb, "embedded miniredis at " + m.Addr(), stop, nil
}

// target is what a REDIS_URL means: exactly one of the three options is set.
type target struct {
	single   *redis.Options
	cluster  *redis.ClusterOptions
	failover *redis.FailoverOptions
	about    string
}

// parseRedisURL understands the URLs listed in the README: one address, a
// comma-separated list of addresses for a cluster, or a list of sentinels with
// ?master=NAME. What else is in the query goes to go-redis as it is
// (?pool_size=20&read_timeout=2s).
//
// Its errors never contain the URL, which may hold a password.
func parseRedisURL(raw string) (*target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || (scheme != "redis" && scheme != "rediss") {
		return nil, errors.New("REDIS_URL must start with redis:// or rediss://")
	}
	// net/url refuses a host list, so the hosts are taken out before it looks.
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	userinfo := ""
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		userinfo, authority = authority[:at+1], authority[at+1:]
	}
	hosts := strings.Split(authority, ",")
	u, err := url.Parse(scheme + "://" + userinfo + "placeholder" + tail)
	if err != nil {
		return nil, errors.New("REDIS_URL is not a valid URL (is the password percent-encoded?)")
	}
	q := u.Query()
	master := q.Get("master")
	asCluster := len(hosts) > 1 || q.Get("cluster") == "true"
	q.Del("master")
	q.Del("cluster")

	defaultPort := "6379"
	if master != "" {
		defaultPort = "26379"
	}
	for i, h := range hosts {
		if hosts[i], err = withPort(strings.TrimSpace(h), defaultPort); err != nil {
			return nil, err
		}
	}
	u.Host = hosts[0]
	list := strings.Join(hosts, ",")

	switch {
	case master != "":
		return failoverTarget(u, q, hosts, master)
	case asCluster:
		if p := strings.Trim(u.Path, "/"); p != "" && p != "0" {
			return nil, errors.New("REDIS_URL: a cluster has only database 0")
		}
		q["addr"] = hosts[1:]
		u.RawQuery = q.Encode()
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, badOption(err)
		}
		if o.TLSConfig != nil {
			o.TLSConfig.ServerName = "" // each node is checked by its own name
		}
		return &target{cluster: o, about: "cluster at " + scheme + "://" + list}, nil
	default:
		u.RawQuery = q.Encode()
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, badOption(err)
		}
		return &target{single: o, about: fmt.Sprintf("%s://%s/%d", scheme, list, o.DB)}, nil
	}
}

// failoverTarget swaps the credentials: go-redis reads those before the @ as
// the sentinels' and takes the servers' from the query. Here they are the
// servers', as in the other forms, and sentinel_username and
// sentinel_password are for the rare sentinel that asks.
func failoverTarget(u *url.URL, q url.Values, hosts []string, master string) (*target, error) {
	if u.User != nil {
		password, _ := u.User.Password()
		q.Set("username", u.User.Username())
		q.Set("password", password)
	}
	u.User = nil
	if p := q.Get("sentinel_password"); p != "" {
		u.User = url.UserPassword(q.Get("sentinel_username"), p)
	}
	q.Del("sentinel_username")
	q.Del("sentinel_password")
	q.Set("master_name", master)
	q["addr"] = hosts[1:]
	u.RawQuery = q.Encode()
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, badOption(err)
	}
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = ""
	}
	about := fmt.Sprintf("master %q behind sentinels at %s://%s", master, u.Scheme, strings.Join(hosts, ","))
	return &target{failover: o, about: about}, nil
}

// withPort checks one address of the list and adds the port that was left out.
func withPort(h, port string) (string, error) {
	host := h
	if hh, pp, err := net.SplitHostPort(h); err == nil {
		host, port = hh, pp
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, " @[]") ||
		(strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		return "", errors.New("REDIS_URL has an empty or malformed address")
	}
	return net.JoinHostPort(host, port), nil
}

// badOption keeps go-redis's explanation unless it is a *url.Error, which
// quotes the whole URL.
func badOption(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("REDIS_URL: %w", ue.Err)
	}
	return fmt.Errorf("REDIS_URL: %w", err)
}

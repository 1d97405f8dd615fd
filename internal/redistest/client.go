package redistest

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// masterName is what the sentinels call the deployment they watch.
const masterName = "freshet"

// Client returns a new client of s, closed when the test ends: a
// *redis.Client, on Sentinel one that follows failovers, or a
// *redis.ClusterClient. Its settings are go-redis's defaults, as those of the
// library's users are, changed by edits.
func (s *Server) Client(t testing.TB, edits ...func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	opts := s.options()
	for _, edit := range edits {
		edit(opts)
	}
	return newClient(t, opts)
}

func newClient(t testing.TB, opts *redis.UniversalOptions) redis.UniversalClient {
	rdb := redis.NewUniversalClient(opts)
	t.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it
	return rdb
}

// options returns what a client needs to find s.
func (s *Server) options() *redis.UniversalOptions {
	opts := &redis.UniversalOptions{Addrs: s.Addrs()}
	switch s.topology {
	case Miniredis:
		if s.mini.inMemory {
			opts.Dialer = s.mini.dial
		}
	case RESP2:
		opts.Protocol = 2
	case Sentinel:
		opts.MasterName = masterName
	case Cluster:
		opts.IsClusterMode = true
	}
	return opts
}

// Addrs returns the addresses that a client is given: those of the sentinels
// on Sentinel, of the nodes otherwise. The server of [Mini] has none.
func (s *Server) Addrs() []string {
	if s.mini != nil {
		if s.mini.inMemory {
			return nil
		}
		return []string{s.mini.m.Addr()}
	}
	nodes := s.nodes
	if s.topology == Sentinel {
		nodes = s.sentinels
	}
	addrs := make([]string, len(nodes))
	for i, n := range nodes {
		addrs[i] = n.addr
	}
	return addrs
}

// URL returns s in a form that another process can pass to [ClientFromURL]:
//
//	redis://127.0.0.1:16379                      one server
//	redis://127.0.0.1:16379/?protocol=2          the same, RESP2
//	redis://sentinel1,sentinel2/?master=freshet  the addresses of sentinels
//	redis://node1,node2,node3/?cluster=true      the nodes of a cluster
//
// It is empty for the server of [Mini], which no other process can reach.
func (s *Server) URL() string {
	addrs := s.Addrs()
	if len(addrs) == 0 {
		return ""
	}
	hosts := "redis://" + strings.Join(addrs, ",")
	switch s.topology {
	case RESP2:
		return hosts + "/?protocol=2"
	case Sentinel:
		return hosts + "/?master=" + masterName
	case Cluster:
		return hosts + "/?cluster=true"
	}
	return hosts
}

// ClientFromURL makes a client from what [Server.URL] returned, with go-redis's
// default settings. The caller closes it.
func ClientFromURL(rawURL string) (redis.UniversalClient, error) {
	// url.Parse takes only one host.
	rest, ok := strings.CutPrefix(rawURL, "redis://")
	hosts, query, _ := strings.Cut(rest, "/")
	if !ok || hosts == "" {
		return nil, fmt.Errorf("redistest: %q is not redis://host:port,…/?…", rawURL)
	}
	opts := &redis.UniversalOptions{Addrs: strings.Split(hosts, ",")}
	values, err := url.ParseQuery(strings.TrimPrefix(query, "?"))
	if err != nil {
		return nil, fmt.Errorf("redistest: %q: %w", rawURL, err)
	}
	for name := range values {
		switch value := values.Get(name); name {
		case "master":
			opts.MasterName = value
		case "cluster":
			opts.IsClusterMode, err = strconv.ParseBool(value)
		case "protocol":
			opts.Protocol, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown parameter %q", name)
		}
		if err != nil {
			return nil, fmt.Errorf("redistest: %q: %w", rawURL, err)
		}
	}
	return redis.NewUniversalClient(opts), nil
}

// Do runs a command on the server and returns the reply, nil if there is none.
func (s *Server) Do(t testing.TB, args ...any) any {
	t.Helper()
	v, err := s.Client(t).Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v = %v", args, err)
	}
	return v
}

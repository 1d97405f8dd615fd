package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEmbeddedRedisExpiresKeys(t *testing.T) {
	rdb, about, stop, err := openRedis("")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if !strings.HasPrefix(about, "embedded miniredis at 127.0.0.1:") {
		t.Errorf("it describes itself as %q", about)
	}
	if err := rdb.Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	poll(t, 5*time.Second, "the key has expired", func() bool {
		return rdb.Exists(t.Context(), "k").Val() == 0
	})
}

func TestParseRedisURL(t *testing.T) {
	tests := []struct {
		url      string
		kind     string
		addrs    string // as the client will dial them
		db       int
		user, pw string
		tls      bool
		about    string
	}{
		{url: "redis://localhost", kind: "single", addrs: "localhost:6379", about: "redis://localhost:6379/0"},
		{url: "redis://localhost:7000/3", kind: "single", addrs: "localhost:7000", db: 3, about: "redis://localhost:7000/3"},
		{url: "redis://:p%40ss@h:1", kind: "single", addrs: "h:1", pw: "p@ss", about: "redis://h:1/0"},
		{url: "rediss://u:secret@h:1?pool_size=3", kind: "single", addrs: "h:1", user: "u", pw: "secret", tls: true, about: "rediss://h:1/0"},
		{url: "redis://[::1]:7000", kind: "single", addrs: "[::1]:7000", about: "redis://[::1]:7000/0"},
		{url: "redis://a:1,b:2,c", kind: "cluster", addrs: "a:1,b:2,c:6379", about: "cluster at redis://a:1,b:2,c:6379"},
		{url: "redis://u:pw@a:1,b:2/0?read_timeout=2s", kind: "cluster", addrs: "a:1,b:2", user: "u", pw: "pw", about: "cluster at redis://a:1,b:2"},
		{url: "rediss://a:1, b:2", kind: "cluster", addrs: "a:1,b:2", tls: true, about: "cluster at rediss://a:1,b:2"},
		{url: "redis://cfg.example:6379?cluster=true", kind: "cluster", addrs: "cfg.example:6379", about: "cluster at redis://cfg.example:6379"},
		{url: "redis://u:pw@a,b:2/4?master=mymaster&sentinel_password=sp", kind: "failover", addrs: "a:26379,b:2", db: 4, user: "u", pw: "pw",
			about: `master "mymaster" behind sentinels at redis://a:26379,b:2`},
		{url: "rediss://a:1?master=m", kind: "failover", addrs: "a:1", tls: true, about: `master "m" behind sentinels at rediss://a:1`},
	}
	for _, tt := range tests {
		got, err := parseRedisURL(tt.url)
		if err != nil {
			t.Errorf("parseRedisURL(%q): %v", tt.url, err)
			continue
		}
		var kind, user, pw string
		var addrs []string
		var db int
		var tls bool
		switch {
		case got.single != nil:
			o := got.single
			kind, addrs, db, user, pw, tls = "single", []string{o.Addr}, o.DB, o.Username, o.Password, o.TLSConfig != nil
		case got.cluster != nil:
			o := got.cluster
			kind, addrs, user, pw, tls = "cluster", o.Addrs, o.Username, o.Password, o.TLSConfig != nil
			if tls && o.TLSConfig.ServerName != "" {
				t.Errorf("%q: every node would be checked as %q", tt.url, o.TLSConfig.ServerName)
			}
		case got.failover != nil:
			o := got.failover
			kind, addrs, db, user, pw, tls = "failover", o.SentinelAddrs, o.DB, o.Username, o.Password, o.TLSConfig != nil
			if want := strings.Contains(tt.url, "sentinel_password=sp"); want != (o.SentinelPassword == "sp") {
				t.Errorf("%q: sentinel password = %q", tt.url, o.SentinelPassword)
			}
			if !strings.Contains(tt.url, "master="+o.MasterName) {
				t.Errorf("%q: master = %q", tt.url, o.MasterName)
			}
		}
		if kind != tt.kind || !slices.Equal(addrs, strings.Split(tt.addrs, ",")) || db != tt.db || user != tt.user || pw != tt.pw || tls != tt.tls {
			t.Errorf("parseRedisURL(%q) = %s %v db %d user %q password %q tls %v", tt.url, kind, addrs, db, user, pw, tls)
		}
		if got.about != tt.about {
			t.Errorf("parseRedisURL(%q) logs as %q, want %q", tt.url, got.about, tt.about)
		}
	}
}

func TestParseRedisURLErrorsHideThePassword(t *testing.T) {
	for _, url := range []string{
		"localhost:6379",
		"http://u:hunter2@h:1",
		"redis://",
		"redis://u:hunter2@",
		"redis://u:hunter2@a:1,,b:2",
		"redis://u:hunter2@a:1/x",
		"redis://u:hunter2@a:1?no_such_option=1",
		"redis://u:hunter2@a:1?read_timeout=hunter",
		"redis://u:hunter2@a:1,b:2/3",
		"redis://u:hunter2%zz@a:1",
		"redis://u:hunter2 x@a:b c",
		"redis://u:hunter2@a:1\x7f",
		"redis://u:hunter2@a:x",
		"redis://u:hunter2@a:1,b:x",
		"redis://hunter2/@h:1", // an unescaped slash: the rest is taken for a path
	} {
		_, err := parseRedisURL(url)
		if err == nil {
			t.Errorf("parseRedisURL(%q) succeeded", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("parseRedisURL(%q) leaks the password: %v", url, err)
		}
	}
}

package redistest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { Main(m) }

// failFast makes a client report the first failure, soon.
func failFast(o *redis.UniversalOptions) {
	o.MaxRetries = -1
	o.MaxRedirects = -1 // a ClusterClient's retries, too
	o.DialerRetries = 1
	o.ReadTimeout = 300 * time.Millisecond
}

// eventually waits for a condition.
func eventually(t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), faultPatience, check); err != nil {
		t.Fatal(err)
	}
}

// counts waits until key holds want.
func counts(t *testing.T, rdb redis.UniversalClient, key, want string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		if got, err := rdb.Get(ctx, key).Result(); got != want {
			return fmt.Errorf("value is %q, %v; want %q", got, err, want)
		}
		return nil
	})
}

func TestEach(t *testing.T) {
	ran := make(map[Topology]bool)
	Each(t, func(t *testing.T, s *Server) {
		ran[s.Topology()] = true
		if got := t.Name(); !strings.HasPrefix(got, "TestEach/"+string(s.Topology())) {
			t.Errorf("subtest of %s is called %s", s.Topology(), got)
		}
		fromURL, err := ClientFromURL(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer fromURL.Close()
		rdb, key := s.Client(t), Prefix(t)
		if err := rdb.Set(t.Context(), key, "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := fromURL.Get(t.Context(), key).Result(); err != nil || got != "value" {
			t.Errorf("Get = %q, %v; want %q", got, err, "value")
		}
		if want, got := fmt.Sprintf("%T", rdb), fmt.Sprintf("%T", fromURL); got != want {
			t.Errorf("ClientFromURL(%q) is a %s, want a %s", s.URL(), got, want)
		}
		if (s.Mini() != nil) != (s.Topology() == Miniredis) {
			t.Errorf("Mini() = %v", s.Mini())
		}
		if s.Topology() == Miniredis {
			return
		}
		info, err := rdb.Info(t.Context(), "server").Result()
		if err != nil || !strings.Contains(info, "_version:"+s.Version()) {
			t.Errorf("Version() = %q, but INFO says %v\n%s", s.Version(), err, info)
		}
	})
	if !ran[Miniredis] {
		t.Errorf("ran on %v, want at least miniredis", ran)
	}
}

// RESP2 must differ from Standalone in the protocol, and in nothing else.
func TestRESP2(t *testing.T) {
	EachOf(t, []Topology{Standalone, RESP2}, func(t *testing.T, s *Server) {
		// A map in RESP3 is a flat array in RESP2.
		reply, err := s.Client(t).Do(t.Context(), "CONFIG", "GET", "port").Result()
		if err != nil {
			t.Fatal(err)
		}
		if _, isArray := reply.([]any); isArray != (s.Topology() == RESP2) {
			t.Errorf("CONFIG GET is a %T", reply)
		}
	})
}

func TestClientFromURLRefuses(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:1", "redis://", "redis://a:1/?cluster=perhaps", "redis://a:1/?x=1", "redis://a:1/?a=%"} {
		if rdb, err := ClientFromURL(bad); err == nil {
			rdb.Close()
			t.Errorf("ClientFromURL(%q) succeeded", bad)
		}
	}
}

func TestPrefix(t *testing.T) {
	t.Run("odd {name}: ü/"+strings.Repeat("x", 100), func(t *testing.T) {
		a, b := Prefix(t), Prefix(t)
		if a == b {
			t.Errorf("Prefix twice returned %q", a)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9-]{10,80}$`).MatchString(a) {
			t.Errorf("Prefix = %q", a)
		}
	})
}

// child runs one of the TestChild… functions in another process.
func child(t *testing.T, name string, env ...string) (output string, err error) {
	t.Helper()
	cmd := childCommand(t, name, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func childCommand(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "FRESHET_REDISTEST_CHILD=1"), env...)
	return cmd
}

func onlyAsChild(t *testing.T) {
	t.Helper()
	if os.Getenv("FRESHET_REDISTEST_CHILD") == "" {
		t.Skip("runs as the child of another test")
	}
}

func TestChildStandalone(t *testing.T) {
	onlyAsChild(t)
	EachOf(t, []Topology{Standalone, RESP2}, func(t *testing.T, s *Server) {
		if err := s.Client(t).Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestSkipAndRequire(t *testing.T) {
	nothing := "PATH=" + t.TempDir()
	for _, test := range []struct {
		name     string
		env      []string
		wantFail bool
		want     string
	}{
		{"skip", []string{nothing, "FRESHET_SERVERS=", "FRESHET_REQUIRE="}, false, "redistest: skipped standalone: no redis-server on PATH"},
		{"other required", []string{nothing, "FRESHET_SERVERS=", "FRESHET_REQUIRE=cluster"}, false, "--- SKIP"},
		{"required", []string{nothing, "FRESHET_SERVERS=", "FRESHET_REQUIRE=cluster,standalone"}, true, "is set, but cannot run standalone: no redis-server on PATH"},
		{"required in both protocols", []string{nothing, "FRESHET_SERVERS=", "FRESHET_REQUIRE=standalone"}, true, "is set, but cannot run resp2: no"},
		{"misspelt", []string{"FRESHET_REQUIRE=standalon"}, true, `unknown topology "standalon"`},
		{"named but missing", []string{"FRESHET_SERVERS=no-such-server", "FRESHET_REQUIRE="}, true, "no-such-server"},
		{"named but no server", []string{"FRESHET_SERVERS=" + os.Args[0], "FRESHET_REQUIRE="}, true, "--version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if unsupported != "" && strings.HasPrefix(test.name, "named") {
				t.Skip(unsupported)
			}
			out, err := child(t, "TestChildStandalone", test.env...)
			if (err != nil) != test.wantFail || !strings.Contains(out, test.want) {
				t.Errorf("child: %v, want failure %v and %q; output:\n%s", err, test.wantFail, test.want, out)
			}
		})
	}
}

// script makes an executable script.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSeveralBinaries(t *testing.T) {
	b := available(t, Standalone)[0]
	wrapper := script(t, "valkey-server", fmt.Sprintf("exec '%s' \"$@\"\n", b.path))
	out, err := child(t, "TestChildStandalone", "FRESHET_SERVERS="+b.path+string(os.PathListSeparator)+wrapper)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"--- PASS: TestChildStandalone/standalone/" + b.name(), "/" + b.name() + "#01"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	b := available(t, Standalone)[0]
	broken := script(t, "redis-server", fmt.Sprintf("if [ \"$1\" = --version ]; then exec '%s' \"$@\"; fi\necho the disk is on fire\nexit 3\n", b.path))
	out, err := child(t, "TestChildStandalone", "FRESHET_SERVERS="+broken)
	if err == nil || !strings.Contains(out, "the disk is on fire") || !strings.Contains(out, "exit status 3") {
		t.Errorf("child: %v, want a failure with the server's last words; output:\n%s", err, out)
	}
}

func TestChildServesForever(t *testing.T) {
	onlyAsChild(t)
	s := Private(t, Standalone)
	fmt.Println("serving", s.URL())
	select {}
}

func TestServersDieWithTheProcess(t *testing.T) {
	available(t, Standalone)
	if runtime.GOOS != "linux" {
		t.Skip("there is no parent-death signal on " + runtime.GOOS)
	}
	cmd := childCommand(t, "TestChildServesForever")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	for url == "" {
		var word string
		if _, err := fmt.Fscan(out, &word); err != nil {
			t.Fatal(err)
		}
		if word == "serving" {
			fmt.Fscan(out, &url)
		}
	}
	rdb := adminClient(strings.TrimPrefix(url, "redis://"), nil)
	defer rdb.Close()
	dir := rdb.ConfigGet(t.Context(), "dir").Val()["dir"]
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, func(ctx context.Context) error {
		if err := rdb.Ping(ctx).Err(); err == nil {
			return fmt.Errorf("%s still answers", url)
		}
		return nil
	})
	if !strings.Contains(dir, "freshet-standalone-") {
		t.Fatalf("the server's directory is %q", dir)
	}
	os.RemoveAll(filepath.Dir(dir)) // which nobody was left to remove
}

// A pipeline of any size goes through the in-memory connection.
func TestMiniPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := Mini(t).Client(t)
		pipe := rdb.Pipeline()
		for range 5000 {
			pipe.Incr(t.Context(), "k")
		}
		start := time.Now()
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Errorf("Exec = %v, want nil", err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Exec took %v of virtual time, want none", took)
		}
		counts(t, rdb, "k", "5000")
	})
}

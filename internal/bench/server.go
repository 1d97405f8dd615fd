package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server is a Redis server under load: one that this process started, or the
// user's.
type server struct {
	url     string
	version string // such as "redis 7.0.15"
	admin   *redis.Client
	pid     int
	cmd     *exec.Cmd // nil: the user's
	ended   bool      // reaped
	dir     string
}

// findServer returns the program that serves: the first of FRESHET_SERVERS, or
// else of PATH.
func findServer() (string, error) {
	if list := filepath.SplitList(os.Getenv("FRESHET_SERVERS")); len(list) > 0 {
		return list[0], nil
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no redis-server or valkey-server on PATH")
}

// startServer starts a server on a free port of the loopback interface. It runs on
// serverCPU if this process is pinned.
func startServer(ctx context.Context) (*server, error) {
	program, err := findServer()
	if err != nil {
		return nil, err
	}
	for range 5 { // somebody else may take the port first
		var s *server
		if s, err = startServerOnce(ctx, program); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func startServerOnce(ctx context.Context, program string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "freshet-bench-")
	if err != nil {
		return nil, err
	}
	args := []string{program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"}
	if cpu := os.Getenv(serverCPU); cpu != "" {
		args = append([]string{"taskset", "-c", cpu}, args...)
	}
	s := &server{dir: dir, cmd: exec.Command(args[0], args[1:]...)}
	if err := start(s.cmd); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := s.connect(ctx, fmt.Sprintf("redis://127.0.0.1:%d", port)); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	if s.pid != s.cmd.Process.Pid {
		s.close()
		return nil, errors.New("another server has the port")
	}
	return s, nil
}

// useServer returns the user's server.
func useServer(ctx context.Context, url string) (*server, error) {
	s := new(server)
	if err := s.connect(ctx, url); err != nil {
		return nil, err
	}
	return s, nil
}

// connect waits until the server answers.
func (s *server) connect(ctx context.Context, url string) error {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return errors.New("the URL is not that of a Redis server") // the error quotes it
	}
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.ReadTimeout = time.Minute // to remove millions of members takes its time
	s.url, s.admin = url, redis.NewClient(opts)
	var info map[string]string
	for begin := time.Now(); time.Since(begin) < 10*time.Second; {
		if info, err = s.info(ctx, "server"); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	s.version = "redis " + info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		s.version = "valkey " + v
	}
	s.pid, _ = strconv.Atoi(info["process_id"])
	return nil
}

func freePort() (int, error) {
	// Below the ephemeral range, where an outgoing connection could take it.
	var err error
	for range 100 {
		port := 10000 + rand.IntN(22000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// hang stops the server without ending it.
func (s *server) hang() error { return stopProcess(s.cmd.Process) }

// kill ends the server, and waits for its end.
func (s *server) kill() {
	if s.ended {
		return
	}
	s.ended = true
	_ = killProcess(s.cmd.Process)
	_ = s.cmd.Wait()
}

// close ends the server, if it is this process's own.
func (s *server) close() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.cmd != nil {
		s.kill()
		_ = os.RemoveAll(s.dir)
	}
}

// empty removes all keys, if the server is this process's own.
func (s *server) empty(ctx context.Context) error {
	if s.cmd == nil {
		return nil
	}
	return s.admin.FlushAll(ctx).Err()
}

// counters are what a server counts since its start.
type counters struct {
	cpu          time.Duration
	hits, misses int64 // of key look-ups by reading commands
}

func (s *server) counters(ctx context.Context) (counters, error) {
	info, err := s.info(ctx, "stats", "cpu")
	if err != nil {
		return counters{}, err
	}
	var c counters
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		t, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			return counters{}, fmt.Errorf("INFO %s: %w", name, err)
		}
		c.cpu += time.Duration(t * float64(time.Second))
	}
	if c.hits, err = strconv.ParseInt(info["keyspace_hits"], 10, 64); err != nil {
		return counters{}, fmt.Errorf("INFO keyspace_hits: %w", err)
	}
	if c.misses, err = strconv.ParseInt(info["keyspace_misses"], 10, 64); err != nil {
		return counters{}, fmt.Errorf("INFO keyspace_misses: %w", err)
	}
	return c, nil
}

func (s *server) info(ctx context.Context, sections ...string) (map[string]string, error) {
	text, err := s.admin.Info(ctx, sections...).Result()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// commandStats are what a server counts of a command since its start, in scripts and
// transactions too.
type commandStats struct {
	calls int64
	time  time.Duration // of its execution, with what it calls itself
}

func (s *server) commands(ctx context.Context) (map[string]commandStats, error) {
	info, err := s.info(ctx, "commandstats")
	if err != nil {
		return nil, err
	}
	all := make(map[string]commandStats)
	for field, text := range info {
		name, ok := strings.CutPrefix(field, "cmdstat_")
		if !ok {
			continue
		}
		var calls, us int64
		if _, err := fmt.Sscanf(text, "calls=%d,usec=%d,", &calls, &us); err != nil {
			return nil, fmt.Errorf("INFO %s: %w", field, err)
		}
		all[name] = commandStats{calls, time.Duration(us) * time.Microsecond}
	}
	return all, nil
}

// slowLog returns how long the server took for each command while f ran, by name.
func (s *server) slowLog(ctx context.Context, f func() error) (map[string][]time.Duration, error) {
	for _, set := range [][2]string{{"slowlog-log-slower-than", "0"}, {"slowlog-max-len", "200000"}} {
		before, err := s.admin.ConfigGet(ctx, set[0]).Result()
		if err != nil {
			return nil, err
		}
		if err := s.admin.ConfigSet(ctx, set[0], set[1]).Err(); err != nil {
			return nil, err
		}
		defer s.admin.ConfigSet(ctx, set[0], before[set[0]])
	}
	if err := s.admin.SlowLogReset(ctx).Err(); err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	log, err := s.admin.SlowLogGet(ctx, -1).Result()
	if err != nil {
		return nil, err
	}
	times := make(map[string][]time.Duration)
	for _, entry := range log {
		name := strings.ToLower(entry.Args[0])
		times[name] = append(times[name], entry.Duration)
	}
	return times, nil
}

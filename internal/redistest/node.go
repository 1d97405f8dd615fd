package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	startPatience = 15 * time.Second      // for a server or topology to come up
	pollInterval  = 10 * time.Millisecond // between looks at a condition
)

// node is one server process, and how to talk to it.
type node struct {
	binary binary
	dir    string
	addr   string
	args   []string // after the configuration file
	rdb    *redis.Client

	mu     sync.Mutex
	proc   *process // nil when killed
	paused bool
}

// startNode starts a server in a new directory below dir and waits until it
// answers. The configuration is made from its ports, of which the first is the
// one that clients connect to.
func startNode(ctx context.Context, b binary, dir string, ports int, config func(ports []int) string, args ...string) (*node, error) {
	var n *node
	_, err := retryPorts(func(ports []int) error {
		nodeDir, err := os.MkdirTemp(dir, "node-")
		if err != nil {
			return err
		}
		text := fmt.Sprintf("bind %s\nport %d\ndir %q\ndaemonize no\nprotected-mode no\n%s",
			loopback, ports[0], nodeDir, config(ports))
		n = &node{binary: b, dir: nodeDir, addr: hostPort(ports[0]), args: args}
		if err := os.WriteFile(n.configFile(), []byte(text), 0o600); err != nil {
			return err
		}
		n.rdb = adminClient(n.addr, nil)
		if err := n.start(ctx); err != nil {
			n.stop()
			return err
		}
		return nil
	}, ports)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// dataConfig is the configuration of every server that holds data.
const dataConfig = "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"

// adminClient makes a client that fails at once and does nothing of its own
// accord: one dial, no retries, the minimum of a handshake. Maintenance
// notifications would look its address up, and a first DNS lookup inside a
// synctest bubble is fatal to the next one outside. A nil dialer is the
// default one.
func adminClient(addr string, dialer dialer) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     addr,
		Dialer:                   dialer,
		Protocol:                 2,
		DisableIdentity:          true,
		MaxRetries:               -1,
		DialerRetries:            1,
		DialTimeout:              time.Second,
		ReadTimeout:              5 * time.Second,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

func (n *node) configFile() string { return filepath.Join(n.dir, "redis.conf") }
func (n *node) logFile() string    { return filepath.Join(n.dir, "log") }

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// start starts the process and waits until it answers.
func (n *node) start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return nil
	}
	p, err := launch(n.logFile(), n.binary.path, append([]string{n.configFile()}, n.args...)...)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.binary.path, err)
	}
	err = poll(ctx, startPatience, func(ctx context.Context) error {
		select {
		case <-p.exited:
			return permanent{fmt.Errorf("exited: %w", p.state)}
		default:
			return n.isOurs(ctx)
		}
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%s on %s: %w; %s", n.binary.name(), n.addr, err, tail(n.logFile())), p.kill())
	}
	n.proc, n.paused = p, false
	return nil
}

// isOurs asks whether the server on the node's port is the node: after a lost
// race for the port it is somebody else's.
func (n *node) isOurs(ctx context.Context) error {
	info, err := n.rdb.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "config_file:"+n.configFile()) {
		return permanent{errors.New("another server has the port")}
	}
	return nil
}

// alive reports whether the node is running and not paused.
func (n *node) alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc != nil && !n.paused
}

func (n *node) kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return nil
	}
	err := n.proc.kill()
	n.proc, n.paused = nil, false
	return err
}

func (n *node) pause() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return errors.New("not running")
	}
	n.paused = true
	return stopGroup(n.proc.cmd.Process)
}

func (n *node) resume() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil || !n.paused {
		return nil
	}
	n.paused = false
	return resumeGroup(n.proc.cmd.Process)
}

// stop ends the node for good.
func (n *node) stop() {
	_ = n.kill()
	_ = n.rdb.Close()
}

// do sends a raw command.
func (n *node) do(ctx context.Context, args ...any) (any, error) {
	reply, err := n.rdb.Do(ctx, args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%s: %v: %w", n.addr, args, err)
	}
	return reply, nil
}

// info returns one field of INFO, "" if it is not there.
func (n *node) info(ctx context.Context, section, field string) (string, error) {
	text, err := n.rdb.Info(ctx, section).Result()
	if err != nil {
		return "", fmt.Errorf("%s: INFO %s: %w", n.addr, section, err)
	}
	return infoField(text, field), nil
}

func infoField(text, field string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

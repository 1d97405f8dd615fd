package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are drawn from below the ephemeral ranges of Linux (32768 and up) and
// macOS: an outgoing connection of any process may take an ephemeral port
// while its server is down, and a restart would then fail.
const (
	lowestPort  = 10000
	highestPort = 32000
)

const loopback = "127.0.0.1"

// nodeAddr is a host:port as a net.Addr.
type nodeAddr string

func (a nodeAddr) Network() string { return "tcp" }
func (a nodeAddr) String() string  { return string(a) }

func hostPort(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// listenFree listens on a free port.
func listenFree() (net.Listener, error) {
	var last error
	for range 100 {
		l, err := net.Listen("tcp", hostPort(lowestPort+rand.IntN(highestPort-lowestPort)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("find a free port: %w", last)
}

// freePorts returns n different ports that were free a moment ago.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := listenFree()
		if err != nil {
			return nil, err
		}
		defer l.Close() // only now, so that the ports differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// retryPorts calls start with n free ports until it succeeds: another process
// may take one of them between the check and the start.
func retryPorts(start func(ports []int) error, n int) ([]int, error) {
	var errs []error
	for range 3 {
		ports, err := freePorts(n)
		if err != nil {
			return nil, err
		}
		if err = start(ports); err == nil {
			return ports, nil
		}
		errs = append(errs, fmt.Errorf("on ports %v: %w", ports, err))
	}
	return nil, errors.Join(errs...)
}

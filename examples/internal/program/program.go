// Package program runs the example programs for their tests.
package program

import (
	"bufio"
	"io"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Start builds the program in the working directory and starts it on a port of its
// own. It returns the URL at which the program says to look, without the path, and a
// function that stops it as Ctrl-C does and returns how it ended.
func Start(t *testing.T) (url string, stop func() error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("windows has no interrupt to stop the program with")
	}
	bin := filepath.Join(t.TempDir(), "program.exe")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	out := bufio.NewReader(stderr)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, where, ok := strings.Cut(strings.TrimSpace(line), "look at ")
	at, err := neturl.Parse(where)
	if !ok || err != nil {
		t.Fatalf("the program said %q, which does not tell where to look", line)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return "http://" + at.Host, func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		return cmd.Wait()
	}
}

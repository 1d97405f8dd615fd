package freshet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program in the README compiles, runs and does what its comments say.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	program, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no Go program")
	}
	if lines := strings.Count(string(readme), "\n"); lines >= 200 {
		t.Errorf("README.md has %d lines, want less than 200", lines)
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to run it with")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", file).CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	const want = "asking the database for 42\nAda <nil>\nAda <nil>\n<nil>\nasking the database for 42\nAda <nil>\n"
	if string(out) != want {
		t.Errorf("the program in the README printed\n%swant\n%s", out, want)
	}
}

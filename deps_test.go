package freshet_test

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/deps.txt")

const module = "github.com/freshet-go/freshet"

// TestDeps compares what each package makes its users build with the list in
// testdata/deps.txt, so that a new dependency is a decision and shows in review.
// After such a decision:
//
//	go test -run TestDeps -update .
//
// It also checks that test code stays out of what users build.
func TestDeps(t *testing.T) {
	snapshot := filepath.Join("testdata", "deps.txt")
	var got strings.Builder
	for _, p := range listPackages(t) {
		if isTestCode(p.path) || strings.HasPrefix(p.path, module+"/examples/") {
			continue
		}
		for _, dep := range p.deps {
			if isTestCode(dep) || dep == "testing" || strings.HasPrefix(dep, "github.com/alicebob/miniredis/") {
				t.Errorf("%s depends on %s, which is for tests", p.path, dep)
			}
		}
		if strings.HasPrefix(p.path, module+"/internal/") {
			continue
		}
		got.WriteString(p.path + "\n")
		for _, dep := range p.deps {
			if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") { // not the standard library
				got.WriteString("\t" + dep + "\n")
			}
		}
	}

	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(snapshot, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	wantLines := strings.Split(strings.ReplaceAll(string(want), "\r\n", "\n"), "\n")
	gotLines := strings.Split(got.String(), "\n")
	if !slices.Equal(gotLines, wantLines) {
		t.Errorf("the dependencies are not those of %s\ngot:\n%s\nwant:\n%s", snapshot, got.String(), want)
	}
}

type goPackage struct {
	path string
	deps []string // all of them, sorted
}

// listPackages asks the go command for the packages of this module as they are
// on one platform, so that the answer is the same on all.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to ask")
	}
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, "./...")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	touchPackages(t)

	var list []goPackage
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		slices.Sort(fields[1:])
		list = append(list, goPackage{fields[0], fields[1:]})
	}
	return list
}

// touchPackages reads the folders of the module in this process, where the go
// command sees it: without that, it would go on showing a cached result of this
// test after the imports have changed.
func touchPackages(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && len(name) > 1 && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isTestCode reports whether a package of the module is a conformance suite or
// for the module's own tests.
func isTestCode(importPath string) bool {
	return strings.HasPrefix(importPath, module+"/") && strings.HasSuffix(path.Base(importPath), "test")
}

package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// binary is a server program.
type binary struct {
	path    string
	flavour string // "redis" or "valkey"
	version string // "7.0.15"
}

func (b binary) name() string { return b.flavour + "-" + b.version }

// versionLine matches "Redis server v=7.0.15 sha=…", and Valkey's likewise.
var versionLine = regexp.MustCompile(`^(\w+) server v=((\d+)\.\S+)`)

// lowestMajor is the floor of what the library supports.
const lowestMajor = 7

// inspect asks a program what it is.
func inspect(path string) (binary, error) {
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return binary{}, fmt.Errorf("%s --version: %w: %s", path, err, out)
	}
	match := versionLine.FindStringSubmatch(string(out))
	if match == nil {
		return binary{}, fmt.Errorf("%s --version: not a Redis server: %s", path, out)
	}
	b := binary{path: path, flavour: strings.ToLower(match[1]), version: match[2]}
	if major, err := strconv.Atoi(match[3]); err != nil || major < lowestMajor {
		return binary{}, fmt.Errorf("%s is %s: Redis %d or newer is needed", path, b.name(), lowestMajor)
	}
	return b, nil
}

// installed is what [binaries] found.
type installed struct {
	binaries []binary
	missing  string // why there are none, when that is no error
	err      error
}

// findBinaries returns the server programs to test with. None is not an error,
// unless FRESHET_SERVERS names one that does not work.
var findBinaries = sync.OnceValue(func() installed {
	list := os.Getenv("FRESHET_SERVERS")
	if list == "" {
		return fromPath()
	}
	if unsupported != "" {
		return installed{missing: unsupported}
	}
	var found installed
	for _, path := range filepath.SplitList(list) {
		b, err := inspect(path)
		if err != nil {
			return installed{err: fmt.Errorf("FRESHET_SERVERS: %w", err)}
		}
		found.binaries = append(found.binaries, b)
	}
	return found
})

func fromPath() installed {
	if unsupported != "" {
		return installed{missing: unsupported}
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		b, err := inspect(path)
		if err != nil {
			return installed{missing: err.Error()}
		}
		return installed{binaries: []binary{b}}
	}
	return installed{missing: "no redis-server on PATH, and FRESHET_SERVERS is not set"}
}

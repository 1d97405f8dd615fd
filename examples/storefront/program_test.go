package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// requireChromium is set when FRESHET_REQUIRE names chromium, which redistest
// knows nothing of.
var requireChromium bool

func TestMain(m *testing.M) {
	names := strings.Split(os.Getenv("FRESHET_REQUIRE"), ",")
	names = slices.DeleteFunc(names, func(name string) bool {
		is := strings.TrimSpace(name) == "chromium"
		requireChromium = requireChromium || is
		return is
	})
	if err := os.Setenv("FRESHET_REQUIRE", strings.Join(names, ",")); err != nil {
		panic(err)
	}
	redistest.Main(m)
}

// TestProgram builds the real program once and drives it from outside.
func TestProgram(t *testing.T) {
	// "go test" remembers a result by the test binary. This links the program
	// into it, so that a change to the program or to Freshet runs the test again.
	runtime.KeepAlive(main)
	bin := filepath.Join(t.TempDir(), "storefront")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	build := exec.Command("go", "build", "-o", bin, ".")
	build.SysProcAttr = childAttributes()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("embedded", func(t *testing.T) { testEndpoints(t, start(t, bin)) })
	for _, topology := range []redistest.Topology{redistest.Standalone, redistest.RESP2, redistest.Sentinel, redistest.Cluster} {
		t.Run(string(topology), func(t *testing.T) {
			url := redistest.Private(t, topology).URL()
			testEndpoints(t, start(t, bin, "REDIS_URL="+url))
		})
	}
	t.Run("limit", func(t *testing.T) { testLimit(t, bin) })
	t.Run("two processes", func(t *testing.T) { testTwoProcesses(t, bin) })
	t.Run("redis goes away", func(t *testing.T) { testRedisGoesAway(t, bin) })
	t.Run("shared sessions", func(t *testing.T) { testSharedSessions(t, bin) })
	t.Run("sessions without redis", func(t *testing.T) { testSessionsWithoutRedis(t, bin) })
	t.Run("session input", func(t *testing.T) { testSessionInput(t, bin) })
	t.Run("views stay", func(t *testing.T) { testViewsStay(t, bin) })
	t.Run("orders at once", func(t *testing.T) { testOrdersAtOnce(t, bin) })
	t.Run("live", func(t *testing.T) { testLive(t, bin) })
	t.Run("boards catch up", func(t *testing.T) { testBoardsCatchUp(t, bin) })
	t.Run("shutdown", func(t *testing.T) { testShutdown(t, bin) })
	t.Run("internal error", func(t *testing.T) { testInternalError(t, bin) })
	t.Run("start line", func(t *testing.T) { testStartLine(t, bin) })
	t.Run("bad settings", func(t *testing.T) { testBadSettings(t, bin) })
	t.Run("page", func(t *testing.T) { testPage(t, bin) })
	t.Run("account page", func(t *testing.T) { testAccountPage(t, bin) })
	t.Run("order page", func(t *testing.T) { testOrderPage(t, bin) })
	t.Run("live page", func(t *testing.T) { testLivePage(t, bin) })
}

// program is a running storefront.
type program struct {
	url, line string
	temp      string // its folder for temporary files
	cmd       *exec.Cmd
	client    *http.Client
	done      chan struct{} // closed when it has exited
	mu        sync.Mutex
	log       bytes.Buffer
}

var startLine = regexp.MustCompile(`storefront is open url=(http://\S+) redis="?(.+?)"? database=(\S+)`)

// start runs the program and waits until it says where to look. Arguments with
// a "-" in front are flags, the others belong to the environment.
func start(t *testing.T, bin string, args ...string) *program {
	t.Helper()
	p := launch(t, bin, args...)
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if m := startLine.FindStringSubmatch(p.logged()); m != nil {
			p.url, p.line = strings.TrimSuffix(m[1], "/"), m[0]
			tick.Stop()
			return p
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("the program ended before it opened: %v\n%s", p.cmd.ProcessState, p.logged())
		case <-deadline:
			t.Fatalf("the program did not open\n%s", p.logged())
		}
	}
}

func launch(t *testing.T, bin string, args ...string) *program {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64, ExpectContinueTimeout: 10 * time.Second}
	p := &program{
		temp:   t.TempDir(),
		done:   make(chan struct{}),
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
	// A test may set others. The wait is for a machine with much else to do.
	p.cmd = exec.Command(bin, "-limit=1000000", "-session-wait=10s")
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "REDIS_URL=") })
	p.cmd.Env = append(p.cmd.Env, "ADDR=127.0.0.1:0", "TMPDIR="+p.temp, "TMP="+p.temp)
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			p.cmd.Args = append(p.cmd.Args, a)
		} else {
			p.cmd.Env = append(p.cmd.Env, a)
		}
	}
	p.cmd.SysProcAttr = childAttributes()
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.log.Write(append(lines.Bytes(), '\n'))
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		transport.CloseIdleConnections()
		if t.Failed() {
			t.Logf("the program's log:\n%s", p.logged())
		}
	})
	return p
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// stop interrupts the program and returns its exit code.
func (p *program) stop(t *testing.T, with os.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(with); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		t.Fatalf("still running 15 s after %v", with)
	}
	return p.cmd.ProcessState.ExitCode()
}

// answer has the fields of all the program's answers.
type answer struct {
	status   int
	header   http.Header
	text     string
	Product  ProductPage `json:"product"`
	Products []Product   `json:"products"`
	Total    int         `json:"total"`
	Source   string      `json:"source"`
	TookMS   float64     `json:"took_ms"`
	Summary  string      `json:"summary"`
	Warning  string      `json:"warning"`
	Detail   string      `json:"detail"`
	Queries  int64       `json:"product_queries"`
	Cache    map[string]int64

	RateLimit map[string]int64 `json:"rate_limit"`
	Sessions  map[string]int64 `json:"sessions"`

	Views    viewCount `json:"views"`
	Visitors int64     `json:"visitors"`
	Exact    bool      `json:"visitors_exact"`
	Hours    []Hour    `json:"hours"`

	User    string        `json:"user"`
	Name    string        `json:"name"`
	City    string        `json:"city"`
	Cart    Cart          `json:"cart"`
	Demo    []demoAccount `json:"demo_accounts"`
	Devices []Device      `json:"devices"`

	Order     Order    `json:"order"`
	Customers []Ranked `json:"customers"`
	Rank      int      `json:"rank"`
}

// viewCount is the views of a product. In /stats there are others under this name.
type viewCount int64

func (n *viewCount) UnmarshalJSON(b []byte) error {
	if b[0] == '{' {
		return nil
	}
	return json.Unmarshal(b, (*int64)(n))
}

// ask sends one request; a body is sent as JSON. It may be called by any
// goroutine.
func (p *program) ask(t *testing.T, method, path, body string) (a answer) {
	return p.send(t, p.client, nil, method, path, body)
}

// send is ask of another client, with more in the header.
func (p *program) send(t *testing.T, client *http.Client, header http.Header, method, path, body string) (a answer) {
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return a
	}
	maps.Copy(req.Header, header)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return a
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	a.status, a.header, a.text = res.StatusCode, res.Header, string(text)
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(text, &a); err != nil {
			t.Errorf("%s %s: %v in %q", method, path, err, text)
		}
	}
	return a
}

// get asks for what must be there.
func (p *program) get(t *testing.T, path string) answer {
	a := p.ask(t, "GET", path, "")
	if a.status != http.StatusOK {
		t.Errorf("GET %s: status %d, %s", path, a.status, a.text)
	}
	return a
}

// together reads a product many times at once, half of them from each of the
// programs if there are two, and counts the sources.
func together(t *testing.T, path string, reads int, from ...*program) map[string]int {
	sources := make([]string, reads)
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	for i := range sources {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-gate
			sources[i] = from[i%len(from)].get(t, path).Source
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	count := map[string]int{}
	for _, s := range sources {
		count[s]++
	}
	return count
}

// poll waits for a condition.
func poll(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: not yet so that %s", limit, what)
		}
	}
}

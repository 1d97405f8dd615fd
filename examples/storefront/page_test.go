package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// testPage uses the page as a person would, in a real browser.
func testPage(t *testing.T, bin string) {
	tab := openBrowser(t)
	p := start(t, bin, "-limit=200")
	complaints := tab.complaints()

	tab.do("open the page", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(chromedp.CSS(".card")))
	tab.do("search", chromedp.SendKeys(chromedp.CSS("#q"), "linen notebook"))
	tab.until("the list shows only linen notebooks", `(() => {
		const names = [...document.querySelectorAll(".card-name")].map(e => e.textContent);
		return names.length > 0 && names.every(n => /linen/i.test(n) && /notebook/i.test(n));
	})()`)

	tab.do("choose a product", chromedp.Click(chromedp.CSS(".card")), chromedp.WaitVisible(chromedp.CSS(".detail h3")))
	if got := tab.text(".measure"); !strings.HasPrefix(got, "db ") {
		t.Errorf("the first look shows %q, want db", got)
	}
	tab.do("look again", chromedp.Click(chromedp.Search("//button[text()='Read again']")))
	tab.until("a second read is listed", `document.querySelectorAll("#reads tbody tr").length === 2`)
	if got := tab.text(".measure"); !strings.HasPrefix(got, "cache ") {
		t.Errorf("the second look shows %q, want cache", got)
	}
	tab.until("the views are shown, with a bar for each hour", `(() => {
		const bars = document.querySelectorAll(".views rect").length;
		return bars === 24 && /^\d+ views? so far, [01] visitors? today$/.test(document.querySelector(".views .total")?.textContent);
	})()`)
	if got := tab.text("#reads .verdict"); !regexp.MustCompile(`^1 from the database, .*; 1 from the cache, .*times as fast\.$`).MatchString(got) {
		t.Errorf("the verdict is %q", got)
	}

	// The new name is hostile: it must arrive as text.
	const name = `Renamed <img src=x onerror="document.title='broken into'"> & "quoted"`
	tab.do("edit the name", chromedp.SetValue(chromedp.CSS("#edit-name"), name), chromedp.Click(chromedp.Search("//button[text()='Save']")))
	tab.until("the edit is confirmed", `document.querySelector(".message")?.textContent.startsWith("Saved")`)
	if got := tab.text(".detail h3"); got != name {
		t.Errorf("after the edit the product is called %q", got)
	}
	if got := tab.text(".measure"); !strings.HasPrefix(got, "db ") {
		t.Errorf("the read after the edit shows %q, want db", got)
	}
	if got, err := chromedp.Run(tab.ctx, chromedp.Title()); err != nil || got != "Freshet storefront" {
		t.Errorf("the title is %q, %v", got, err)
	}

	tab.do("edit and read 50 times", chromedp.SetValue(chromedp.CSS("#edit-stock"), "77"), chromedp.Click(chromedp.Search("//button[starts-with(text(), 'Save, then')]")))
	tab.until("50 reads are listed", `document.querySelector("#reads tbody th").textContent.startsWith("50 × ")`)
	if got := tab.text(".measure"); !strings.HasPrefix(got, "50 reads: 1 × db 49 × cache ") {
		t.Errorf("50 reads after an edit show %q, want one db", got)
	}
	if got := tab.text(".stock"); got != "77 in stock" {
		t.Errorf("after the edit the stock is %q", got)
	}

	tab.do("try an invalid edit", chromedp.SetValue(chromedp.CSS("#edit-name"), " "), chromedp.Click(chromedp.Search("//button[text()='Save']")))
	tab.until("it is refused with a reason", `document.querySelector(".editor .error").textContent.startsWith("name must have")`)

	summarizeButton := chromedp.Click(chromedp.Search("//button[text()='Summarize']"))
	tab.do("summarize", summarizeButton, chromedp.WaitVisible(chromedp.CSS(".quote")))
	if got := tab.text(".result .badge"); got != "computed" {
		t.Errorf("the first summary is from %q", got)
	}
	tab.do("summarize again", summarizeButton)
	tab.until("the second summary is from the cache", `document.querySelector(".result .badge").textContent === "cache"`)

	if got := tab.text("#limit .left"); !regexp.MustCompile(`^1?\d?\d of 200 left$`).MatchString(got) {
		t.Errorf("what is left of the limit is shown as %q", got)
	}
	tab.do("ask too often", chromedp.Evaluate[chromedp.Void](`void Array.from({length: 250}, () => fetch("/products?page=300"))`))
	// Some tokens come back meanwhile, so a click may be allowed. When it is not, the
	// button goes.
	tab.until("it is denied, and says so where it was asked for", `(() => {
		[...document.querySelectorAll("button")].find(b => b.textContent === "Read again")?.click();
		window.denied ||= document.querySelector("#limit .when").textContent.startsWith("Too many: try again in ");
		return window.denied && document.querySelector(".detail").textContent.includes("more than 200 requests a minute");
	})()`)
	if got := tab.text("#limit .left"); !strings.HasSuffix(got, " of 200 left") {
		t.Errorf("after a denial what is left is shown as %q", got)
	}

	for _, width := range []int64{390, 1200} {
		tab.do("resize", chromedp.EmulateViewport(width, 844))
		if got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil || got > width {
			t.Errorf("at a width of %d the page is %d wide, %v", width, got, err)
		}
	}

	// The refused edit is one, and what was too often, and meant.
	tab.close(complaints, "400 (Bad Request)", "429 (Too Many Requests)")
}

// openBrowser starts a browser with one tab.
func openBrowser(t *testing.T) browserTab {
	t.Helper()
	browser := findChromium(t)
	// Not t.TempDir: a dying browser may still write, which must not fail the test.
	dir, err := os.MkdirTemp("", "storefront-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser), chromedp.UserDataDir(filepath.Join(dir, "profile")), chromedp.Env("TMPDIR="+dir),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	tab := browserTab{t, ctx}
	tab.do("open a tab", chromedp.Navigate("about:blank"))
	return tab
}

func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if requireChromium {
		t.Fatal("FRESHET_REQUIRE names chromium, and there is none on PATH")
	}
	t.Skip("no chromium on PATH")
	return ""
}

// browserTab ends the test when a step does not succeed.
type browserTab struct {
	t   *testing.T
	ctx context.Context
}

// complaints returns what the tab's console says from now on: broken scripts, and what
// the Content-Security-Policy refuses.
func (b browserTab) complaints() <-chan string {
	messages := chromedp.Console(b.ctx)
	complaints := make(chan string, 100)
	go func() {
		defer close(complaints)
		for m, err := range messages {
			if err != nil {
				return
			}
			complaints <- m.Text
		}
	}()
	return complaints
}

// close closes the tab, which must not have complained but for what is meant.
func (b browserTab) close(complaints <-chan string, meant ...string) {
	b.t.Helper()
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Errorf("close the tab: %v", err)
	}
	for text := range complaints {
		if !slices.ContainsFunc(meant, func(m string) bool { return strings.Contains(text, m) }) {
			b.t.Errorf("the browser's console says %q", text)
		}
	}
}

func (b browserTab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// until waits for a JavaScript expression to be true.
func (b browserTab) until(what, expression string) {
	b.t.Helper()
	poll(b.t, 20*time.Second, what, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
		return ok
	})
}

func (b browserTab) text(selector string) string {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("the text of %s: %v", selector, err)
	}
	return strings.TrimSpace(got)
}

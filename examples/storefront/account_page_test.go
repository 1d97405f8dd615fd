package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// testAccountPage logs in and out as a person would, in a real browser with two
// tabs, and from two devices more.
func testAccountPage(t *testing.T, bin string) {
	tab := openBrowser(t)
	p := start(t, bin)
	complaints := tab.complaints()
	ada := demoAccounts[0]

	tab.do("open the page", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(chromedp.CSS("#user")))
	tab.do("guess a password", chromedp.SendKeys(chromedp.CSS("#user"), ada.User), chromedp.SendKeys(chromedp.CSS("#password"), "guess"),
		chromedp.Click(button("Log in")))
	tab.until("it is refused", `document.querySelector(".login .error").textContent === "User or password is wrong."`)
	tab.login(ada)
	if got := tab.text("#account .who"); got != ada.Name+", "+ada.City {
		t.Errorf("after the login the page shows %q", got)
	}
	tab.until("no script sees the cookie", `document.cookie === ""`)

	tab.do("reload", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#account .who")))
	tab.until("the login is still there", `document.querySelectorAll(".devices li").length === 1`)
	if got := tab.text(".devices li .device-name"); !strings.HasPrefix(got, "Chrome on ") || !strings.HasSuffix(got, "this one") {
		t.Errorf("the device is %q", got)
	}

	ctx, cancel := chromedp.NewContext(tab.ctx)
	defer cancel()
	second := browserTab{t, ctx}
	second.do("open a second tab", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(chromedp.CSS("#account .who")))
	complaintsToo := second.complaints()

	// What one tab puts into the cart the other shows by itself.
	tab.do("choose a product", chromedp.Click(chromedp.CSS(".card")), chromedp.WaitVisible(chromedp.CSS(".detail h3")))
	tab.do("put it into the cart", chromedp.Click(button("Add to cart")), chromedp.WaitVisible(chromedp.CSS("#cart li")))
	second.do("see it in the second tab", chromedp.WaitVisible(chromedp.CSS("#cart li")))
	// Neither tab waits for its own answers, or for the other.
	const clicks = 10
	for _, b := range []browserTab{tab, second} {
		b.do("click very often", chromedp.Evaluate[chromedp.Void](`{
			const more = document.querySelector("#cart [aria-label^='One more']");
			for (let i = 0; i < `+strconv.Itoa(clicks)+`; i++) more.click();
		}`))
	}
	for _, b := range []browserTab{tab, second} {
		b.until("nothing of both is lost", `document.querySelector("#cart .quantity").textContent === "`+strconv.Itoa(1+2*clicks)+`"`)
	}

	// Sign out of one device, and of all others.
	work, mobile := newVisitor(t, p, laptop), newVisitor(t, p, phone)
	work.login(p, ada)
	mobile.login(p, ada)
	tab.do("look again", chromedp.Click(button("Look again")))
	tab.until("there are three devices", `document.querySelectorAll(".devices li").length === 3`)
	tab.do("sign out the phone", chromedp.Click(chromedp.CSS(".devices [aria-label='Sign out Safari on iPhone']")))
	tab.until("there are two", `document.querySelectorAll(".devices li").length === 2`)
	mobile.is(p, "")
	work.is(p, ada.User)
	tab.do("sign out all others", chromedp.Click(button("Sign out all others")))
	tab.until("there is one", `document.querySelectorAll(".devices li").length === 1`)
	work.is(p, "")

	for _, width := range []int64{390, 1200} {
		tab.do("resize", chromedp.EmulateViewport(width, 844))
		if got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil || got > width {
			t.Errorf("at a width of %d the page is %d wide, %v", width, got, err)
		}
	}

	// The cookie is a new one since; the other tab need not know. Its logout is one for
	// both.
	second.do("log out in the second tab", chromedp.Click(button("Log out")), chromedp.WaitVisible(chromedp.CSS("#user")))
	tab.do("be logged out in the first", chromedp.WaitVisible(chromedp.CSS("#user")))
	tab.do("reload", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#user")))
	tab.until("the cart is gone", `document.querySelector("#cart .total").textContent === "It is empty."`)

	// To the browser this is another host, as good as https too.
	tab.do("open the page by name", chromedp.Navigate(strings.Replace(p.url, "127.0.0.1", "localhost", 1)+"/"), chromedp.WaitVisible(chromedp.CSS("#user")))
	tab.login(ada)
	tab.do("reload", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#account .who")))

	second.close(complaintsToo)
	tab.close(complaints, "401 (Unauthorized)") // the guess
}

func button(text string) chromedp.Search { return chromedp.Search("//button[text()='" + text + "']") }

// login logs in with a demo account's data from the page.
func (b browserTab) login(a demoAccount) {
	b.t.Helper()
	b.do("log in", chromedp.Click(button(a.User)), chromedp.Click(button("Log in")), chromedp.WaitVisible(chromedp.CSS("#account .who")))
	b.until("the page knows who it is", `document.querySelector("#account .who").textContent !== ""`)
}

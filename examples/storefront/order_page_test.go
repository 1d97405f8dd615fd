package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// testOrderPage buys something as a person would, in a real browser with two tabs.
func testOrderPage(t *testing.T, bin string) {
	midWeek(t)
	tab := openBrowser(t)
	p := start(t, bin)
	complaints := tab.complaints()
	ada := demoAccounts[0]

	tab.do("open the page", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(chromedp.CSS(".sellers li")))
	top := bestsellers(t, p)[1]
	tab.until("the best sellers are there", `document.querySelectorAll(".sellers li").length === 10`)
	tab.until("nobody is logged in", `document.querySelector(".customers + .when").textContent.startsWith("Log in")`)
	tab.do("look at one", chromedp.Click(chromedp.CSS(".sellers li:nth-child(2) button")), chromedp.WaitVisible(chromedp.CSS(".detail h3")))
	if got := tab.text(".detail h3"); got != top.Product.Name {
		t.Errorf("the second of the best sellers is %q, want %q", got, top.Product.Name)
	}
	tab.do("put it into the cart", chromedp.Click(button("Add to cart")), chromedp.WaitVisible(chromedp.CSS(".checkout a")))
	tab.until("there is nothing to order with", `document.querySelector(".checkout button").hidden`)
	tab.login(ada)
	tab.until("there is an invitation", `document.querySelector(".customers + .when").textContent.startsWith("You have not bought anything yet")`)

	ctx, cancel := chromedp.NewContext(tab.ctx)
	defer cancel()
	second := browserTab{t, ctx}
	second.do("open a second tab", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(chromedp.CSS("#cart li")))
	complaintsToo := second.complaints()

	tab.do("order", chromedp.Click(chromedp.CSS(".checkout button")), chromedp.WaitVisible(chromedp.CSS(".customers .you")))
	tab.until("it is placed", `document.querySelector(".checkout .message").textContent.startsWith("Thank you. That is order 50,001, for €")`)
	tab.until("the cart is empty", `document.querySelector("#cart .total").textContent === "It is empty."`)
	tab.until("the list has one more", `document.querySelector(".sellers").textContent.includes("`+top.Product.Name+`") &&
		[...document.querySelectorAll(".sellers li")].some((li) => li.textContent.endsWith("`+strconv.FormatInt(top.Sold+1, 10)+` sold"))`)
	tab.until("the page of the product as well", `document.querySelector(".detail .stock").textContent === "`+strconv.FormatInt(top.Product.Stock-1, 10)+` in stock"`)
	second.do("see it in the second tab", chromedp.WaitVisible(chromedp.CSS(".customers .you")))
	second.until("the cart is empty there", `document.querySelector("#cart .total").textContent === "It is empty."`)
	if got := tab.text(".customers .you"); !strings.Contains(got, "You") {
		t.Errorf("the own row is %q", got)
	}
	second.do("order again all the same", chromedp.Evaluate[chromedp.Void](`document.querySelector(".checkout button").click()`))
	second.until("it is refused with a reason", `document.querySelector(".checkout .error").textContent.startsWith("The cart is empty.")`)

	for _, width := range []int64{390, 1200} {
		tab.do("resize", chromedp.EmulateViewport(width, 844))
		if got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil || got > width {
			t.Errorf("at a width of %d the page is %d wide, %v", width, got, err)
		}
	}
	second.close(complaintsToo, "409 (Conflict)")
	tab.close(complaints)
}

import { section, el, bus, price, number } from "./lib.js";
import { load, addToCart } from "./session.js";
import { checkout } from "./order.js";

section({
  id: "cart",
  title: "Your cart",
  intro: "Kept in your session, before a login and after it. Open a second tab and fill it from both.",
  aside: true,
  mount(root) {
    const lines = el("ul", { class: "cart" });
    const total = el("p", { class: "total", role: "status" });
    const error = el("p", { class: "error", role: "alert" });
    root.append(lines, total, error, checkout());

    bus.addEventListener("session", ({ detail: { cart, error: problem } }) => {
      error.textContent = problem ? problem.message : "";
      if (problem) return;
      const focused = lines.contains(document.activeElement) && document.activeElement.ariaLabel;
      lines.replaceChildren(...cart.lines.map(row));
      if (focused) [...lines.querySelectorAll("button")].find((b) => b.ariaLabel === focused)?.focus();
      const pieces = cart.lines.reduce((n, l) => n + l.quantity, 0);
      total.textContent = pieces ? `${number(pieces)} in the cart, ${price(cart.total_cents)}` : "It is empty.";
    });
    load();

    function row({ product: p, quantity }) {
      const step = (more, text, what) => el("button", {
        type: "button", class: "step", "aria-label": `${what} ${p.name}`, click: () => addToCart(p.id, more).catch((err) => { error.textContent = err.message; }),
      }, text);
      return el("li", { "data-id": p.id },
        el("span", { class: "cart-name" }, p.name),
        el("span", { class: "cart-price" }, price(p.price_cents * quantity)),
        el("span", { class: "steps" }, step(-1, "−", "One less of"), el("span", { class: "quantity" }, number(quantity)), step(1, "+", "One more of")));
    }
  },
});

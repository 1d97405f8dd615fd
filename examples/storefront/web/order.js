import { el, api, bus, latest, price, number } from "./lib.js";
import { load } from "./session.js";

// An order is named by the page. If the answer gets lost, the same name is sent again, and
// the server finds the order that it has: see place.
let name = null;

// Other tabs look at the lists again after an order.
const tabs = new BroadcastChannel("orders");
tabs.onmessage = () => {
  load();
  bus.dispatchEvent(new CustomEvent("order", { detail: null }));
};

async function place(total) {
  name ??= newName();
  try {
    const answer = await api("/orders", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id: name, total_cents: total }),
    });
    name = null;
    tabs.postMessage("placed");
    bus.dispatchEvent(new CustomEvent("order", { detail: answer.order }));
    return answer;
  } catch (err) {
    // A refusal is an answer. After anything else the order may have been placed.
    if (err.status >= 400 && err.status < 500) name = null;
    throw err;
  } finally {
    load();
  }
}

// newName works over plain http too, where there is no crypto.randomUUID.
function newName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// checkout is what stands below the cart.
export function checkout() {
  const note = el("p", { role: "status" });
  const error = el("p", { class: "error", role: "alert" });
  const button = el("button", { type: "button", class: "primary", click: order }, "Order");
  const login = el("p", { class: "when" }, el("a", { href: "#account" }, "Log in"), " to order: the cart comes along.");
  const root = el("div", { class: "checkout", hidden: true }, el("div", { class: "actions" }, button), login, note, error);
  const begin = latest();
  let total = 0;

  bus.addEventListener("session", ({ detail: { user, cart, error: problem } }) => {
    if (problem) return;
    total = cart.total_cents;
    const empty = cart.lines.length === 0;
    button.hidden = empty || user === "";
    login.hidden = empty || user !== "";
    button.textContent = `Order for ${price(total)}`;
    root.hidden = empty && !note.textContent && !error.textContent;
  });

  async function order() {
    const current = begin();
    button.disabled = true;
    say("", "");
    try {
      const { order: placed, warning } = await place(total);
      if (current()) say(warning || `Thank you. That is order ${number(placed.number)}, for ${price(placed.total_cents)}.`, "", warning);
    } catch (err) {
      if (current()) say("", err.message);
    } finally {
      button.disabled = false;
    }
  }

  function say(text, problem, warn) {
    note.className = warn ? "message warn" : "message";
    note.textContent = text;
    error.textContent = problem;
    root.hidden = false;
  }

  return root;
}

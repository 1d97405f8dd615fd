import { el, api, latest, badge, price, number, ms } from "./lib.js";
import { read } from "./products.js";
import { addToCart } from "./session.js";

const burst = 50;

// detail is the panel of one product. It calls changed after an edit, and open
// to show another product.
export function detail({ changed, open }) {
  const root = el("article", { class: "detail", "aria-live": "off" },
    el("p", { class: "placeholder" }, "Choose a product: the first look asks the database, the second the cache."));
  const begin = latest();

  async function show(id, { times = 1, message = "", warn = false, focus = true } = {}) {
    const current = begin();
    root.setAttribute("aria-busy", "true");
    try {
      const answers = await read(id, times);
      if (current()) render(answers, message, warn, focus);
    } catch (err) {
      if (current()) root.replaceChildren(el("p", { class: "error", role: "alert" }, err.message));
    } finally {
      if (current()) root.removeAttribute("aria-busy");
    }
  }

  function render(answers, message, warn, focus) {
    const { product: p, source, took_ms } = answers[0];
    const heading = el("h3", { tabindex: "-1" }, p.name);
    const again = (times) => () => show(p.id, { times, focus: false });
    const note = el("p", { role: "status" });
    const say = (text, warn = false) => {
      note.className = warn ? "message warn" : "message";
      note.textContent = text;
    };
    say(message, warn);
    root.replaceChildren(
      el("p", { class: "measure", "data-testid": "measure" }, answers.length > 1 ? tally(answers) : [badge(source), " ", ms(took_ms)]),
      heading,
      el("p", { class: "card-meta" }, `${p.category} · ${p.brand}`),
      el("p", { class: "price" }, price(p.price_cents), el("span", { class: p.stock ? "stock" : "stock out" }, p.stock ? number(p.stock) + " in stock" : "Sold out")),
      el("p", {}, p.description),
      el("div", { class: "actions" },
        el("button", { type: "button", class: "primary", click: again(1) }, "Read again"),
        el("button", { type: "button", click: again(burst) }, `Read ${burst}× at once`),
        el("button", { type: "button", click: () => addToCart(p.id, 1).then(() => say("In your cart."), (err) => say(err.message, true)) }, "Add to cart")),
      note,
      facts(p.sales), quarters(p.sales.quarters), views(p.id), together(p.bought_together), editor(p));
    if (focus) {
      // On a narrow screen the panel is below the list: go there.
      heading.focus({ preventScroll: true });
      if (root.getBoundingClientRect().top > innerHeight * 0.6) root.scrollIntoView({ behavior: "instant" });
    }
  }

  function together(list) {
    return el("div", {}, el("h4", {}, "Bought together"),
      el("ul", { class: "links" }, list.length ? list.map((b) => el("li", {},
        el("button", { type: "button", class: "link", click: () => open(b.id) }, b.name), ` ${b.times}×`)) : el("li", {}, "Nothing yet.")));
  }

  function editor(p) {
    const name = el("input", { id: "edit-name", required: true, maxlength: "120", value: p.name });
    const cost = el("input", { id: "edit-price", type: "number", required: true, min: "0", max: "1000000", step: "0.01", value: (p.price_cents / 100).toFixed(2) });
    const stock = el("input", { id: "edit-stock", type: "number", required: true, min: "0", max: "1000000", step: "1", value: p.stock });
    const error = el("p", { class: "error", role: "alert" });
    const save = el("button", { class: "primary", value: "1" }, "Save");
    const saveAndBurst = el("button", { value: String(burst) }, `Save, then read ${burst}× at once`);
    const field = (input, text) => el("div", { class: "field" }, el("label", { for: input.id }, text), input);
    return el("form", {
      class: "editor",
      async submit(event) {
        event.preventDefault();
        const times = Number(event.submitter?.value || 1);
        save.disabled = saveAndBurst.disabled = true;
        error.textContent = "";
        try {
          const answer = await api("/products/" + p.id, {
            method: "PUT",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ name: name.value, price_cents: Math.round(Number(cost.value) * 100), stock: Number(stock.value) }),
          });
          changed();
          await show(p.id, {
            times, focus: false, warn: Boolean(answer.warning),
            message: answer.warning || "Saved, and deleted from the cache: the next read asked the database.",
          });
        } catch (err) {
          error.textContent = err.message;
          save.disabled = saveAndBurst.disabled = false;
        }
      },
    },
    el("h4", {}, "Edit"),
    field(name, "Name"),
    el("div", { class: "pair" }, field(cost, "Price, €"), field(stock, "Stock")),
    el("div", { class: "actions" }, save, saveAndBurst), error);
  }

  return { root, open: show };
}

function tally(answers) {
  const loads = answers.filter((a) => a.source !== "cache").length;
  const slowest = Math.max(...answers.map((a) => a.took_ms));
  return [`${answers.length} reads: ${loads} × `, badge("db"), ` ${answers.length - loads} × `, badge("cache"), ` up to ${ms(slowest)}`];
}

function facts(s) {
  const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  return el("dl", { class: "facts" },
    fact("Sold", number(s.units)), fact("Revenue", price(s.revenue_cents)), fact("Customers", number(s.customers)),
    fact("Average basket", price(s.average_order_cents)), fact("Rank, last year", `${number(s.rank)} of ${number(s.rank_of)}`));
}

// views asks how often the product was looked at, which is not in its cached page.
function views(id) {
  const root = el("div", { class: "views" }, el("h4", {}, "Views"));
  api(`/products/${id}/views`).then(({ views, visitors, visitors_exact, hours }) => {
    const many = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
    root.append(
      el("p", { class: "total" }, `${many(views, "view")} so far, ${visitors_exact ? "" : "about "}${many(visitors, "visitor")} today`),
      day(hours));
  }, (err) => root.append(el("p", { class: "card-meta" }, err.message)));
  return root;
}

function day(hours) {
  const most = Math.max(1, ...hours.map((h) => h.views));
  const clock = (h) => new Date(h.start).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const label = "Views in each of the last 24 hours: " + hours.map((h) => `${clock(h)}: ${h.views}`).join(", ");
  return el("figure", {},
    el("figcaption", {}, "The last 24 hours"),
    el("svg", { viewBox: "0 0 240 72", role: "img", "aria-label": label },
      hours.map((h, i) => {
        const height = (h.views / most) * 46;
        return el("rect", { x: i * 10 + 1, y: 56 - height, width: 8, height: Math.max(height, 1), rx: 1 });
      }),
      [0, 12, 23].map((i) => el("text", { x: i * 10 + 5, y: 68, "text-anchor": ["start", "middle", "end"][Math.ceil(i / 12)] }, clock(hours[i])))));
}

function quarters(list) {
  const most = Math.max(1, ...list);
  const label = "Units sold in each of the last eight quarters: " + list.join(", ");
  return el("figure", {},
    el("figcaption", {}, "Units sold, by quarter"),
    el("svg", { viewBox: "0 0 240 72", role: "img", "aria-label": label }, list.flatMap((n, i) => {
      const height = (n / most) * 50;
      return [
        el("rect", { x: i * 30 + 2, y: 68 - height, width: 26, height: Math.max(height, 1), rx: 2 }),
        el("text", { x: i * 30 + 15, y: 64 - height, "text-anchor": "middle" }, String(n)),
      ];
    })));
}

import { section, el, api, bus, latest, open, price, number } from "./lib.js";

section({
  id: "week",
  title: "This week",
  intro: "Two leaderboards in Redis, from Monday to Sunday: each order adds to both, once, and whoever looks sees it at once.",
  mount(root) {
    const sellers = list("Best-selling", "sellers");
    const customers = list("You among our customers", "customers");
    root.append(
      el("div", { class: "week" }, sellers.root, customers.root),
      el("div", { class: "actions" }, el("button", { type: "button", click: () => look() }, "Refresh")));
    let user = null;

    bus.addEventListener("order", look);
    // Others order too. One look is enough for all that they do in two seconds.
    let due = 0;
    bus.addEventListener("placed", () => { due ||= setTimeout(() => { due = 0; look(); }, 2000); });
    bus.addEventListener("session", ({ detail }) => {
      if (detail.error || detail.user === user) return;
      user = detail.user;
      lookForMe();
    });
    lookForProducts();

    function look() {
      lookForProducts();
      if (user !== null) lookForMe();
    }

    function lookForProducts() {
      return sellers.show("/bestsellers", ({ products, total }) => ({
        rows: products.map(({ rank, product: p, sold }) => row(rank, sold + " sold",
          el("button", { type: "button", class: "link", click: () => open(p.id) }, p.name))),
        note: total ? `${number(total)} products were sold this week.` : "Nothing was sold yet this week. Be the first to buy something.",
      }));
    }

    function lookForMe() {
      if (!user) return customers.say("Log in, and see where you stand.");
      return customers.show("/ranking", ({ customers: all, rank, total }) => ({
        rows: all.map((c) => row(c.rank, price(c.spent_cents), c.you ? el("strong", {}, "You") : `${c.name}, ${c.city}`, c.you)),
        note: rank ? `You are number ${number(rank)} of ${number(total)}, by what you have spent.`
          : `You have not bought anything yet this week; ${total === 1 ? "one customer has" : number(total) + " have"}. Put something into your cart, order it, and find yourself here.`,
      }));
    }
  },
});

// list is a heading, a ranking, and what there is to say about it.
function list(title, name) {
  const rows = el("ol", { class: "ranking " + name });
  const note = el("p", { class: "when", role: "status" });
  const error = el("p", { class: "error", role: "alert" });
  const begin = latest();
  return {
    root: el("div", {}, el("h3", { class: "small" }, title), rows, note, error),
    say(text) {
      begin(); // an answer that is under way is not wanted any more
      rows.replaceChildren();
      note.textContent = text;
      error.textContent = "";
    },
    // show asks for a list, and render makes {rows, note} of the answer.
    async show(path, render) {
      const current = begin();
      try {
        const answer = await api(path);
        if (!current()) return;
        const shown = render(answer);
        rows.replaceChildren(...shown.rows);
        note.textContent = shown.note;
        error.textContent = "";
      } catch (err) {
        if (current()) error.textContent = err.message;
      }
    },
  };
}

// row is one line of a ranking. The number in front is the rank, which equals share.
function row(rank, value, who, you) {
  return el("li", { class: you ? "you" : null },
    el("span", { class: "rank" }, number(rank)), el("span", { class: "ranked" }, who), el("span", { class: "card-price" }, value));
}

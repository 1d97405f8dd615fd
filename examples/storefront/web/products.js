import { section, el, api, bus, latest, report, price, number } from "./lib.js";
import { detail } from "./detail.js";

section({
  id: "products",
  title: "Products",
  intro: "The list comes straight from the database; a product’s page, with two years of sales added up, goes through the cache.",
  mount(root) {
    const search = el("input", { id: "q", type: "search", placeholder: "linen, kettle, field guide …", autocomplete: "off" });
    const category = el("select", { id: "category" }, el("option", { value: "" }, "All departments"));
    const list = el("ul", { class: "cards" });
    const status = el("p", { class: "count", role: "status" });
    const previous = el("button", { type: "button", click: () => show(page - 1) }, "Previous");
    const next = el("button", { type: "button", click: () => show(page + 1) }, "Next");
    const where = el("span", { class: "where" });
    let page = 1, chosen = 0, timer = 0;
    const begin = latest();

    const panel = detail({ changed: () => show(page), open });

    root.append(
      el("div", { class: "shop" },
        el("div", { class: "list" },
          el("form", { role: "search", class: "search", submit: (e) => { e.preventDefault(); show(1); } },
            el("div", { class: "field" }, el("label", { for: "q" }, "Search"), search),
            el("div", { class: "field" }, el("label", { for: "category" }, "Department"), category)),
          status, list,
          el("div", { class: "pager" }, previous, where, next)),
        panel.root));

    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => show(1), 200);
    });
    category.addEventListener("change", () => show(1));
    bus.addEventListener("open", ({ detail: id }) => open(id));
    bus.addEventListener("order", ({ detail: order }) => {
      show(page);
      if (order?.lines.some((l) => l.product === chosen)) panel.open(chosen, { focus: false });
    });

    function open(id) {
      chosen = id;
      for (const b of list.querySelectorAll("button")) b.ariaCurrent = String(Number(b.dataset.id) === id);
      return panel.open(id);
    }

    async function show(wanted) {
      clearTimeout(timer);
      const current = begin();
      try {
        const query = new URLSearchParams({ q: search.value, category: category.value, page: wanted });
        const answer = await api("/products?" + query);
        if (!current()) return;
        page = answer.page;
        if (category.length === 1) category.append(...answer.categories.map((c) => el("option", { value: c }, c)));
        status.textContent = answer.total === 1 ? "1 product" : number(answer.total) + " products";
        where.textContent = `Page ${number(page)} of ${number(answer.pages)}`;
        previous.disabled = page <= 1;
        next.disabled = page >= answer.pages;
        list.replaceChildren(...answer.products.map(card));
      } catch (err) {
        if (current()) status.textContent = err.message;
      }
    }

    function card(p) {
      return el("li", {}, el("button", { type: "button", class: "card", "data-id": p.id, "aria-current": String(p.id === chosen), click: () => open(p.id) },
        el("span", { class: "card-name" }, p.name),
        el("span", { class: "card-price" }, price(p.price_cents)),
        el("span", { class: "card-meta" }, p.category + " · " + (p.stock ? number(p.stock) + " in stock" : "sold out"))));
    }

    show(1);
  },
});

// read fetches one product, or the same one several times at once, and reports
// it to the table of reads. It resolves to the last product that arrived.
export async function read(id, times = 1) {
  const answers = await Promise.all(Array.from({ length: times }, () => api("/products/" + id)));
  const { name } = answers[0].product;
  report({ what: times > 1 ? `${times} × ${name}` : name, answers });
  return answers;
}

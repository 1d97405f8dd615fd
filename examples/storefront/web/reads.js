import { section, el, bus, badge, ms } from "./lib.js";

const shown = 12; // rows of the table

section({
  id: "reads",
  title: "Reads",
  intro: "Where each answer came from, and how long the server took.",
  aside: true,
  mount(root) {
    const totals = { db: { n: 0, sum: 0 }, cache: { n: 0, sum: 0 } };
    const verdict = el("p", { class: "verdict", role: "status" }, "Nothing has been read yet. Choose a product.");
    const body = el("tbody");
    const table = el("table", { hidden: true },
      el("caption", { class: "hidden" }, "The last reads, newest first"),
      el("thead", {}, el("tr", {},
        el("th", { scope: "col" }, "What"), el("th", { scope: "col" }, "Source"), el("th", { scope: "col", class: "num" }, "Time"))),
      body);
    root.append(verdict, table);

    bus.addEventListener("read", ({ detail: reads }) => {
      // Only single reads of products are compared: in a burst many wait for the
      // one load.
      const [a] = reads.answers;
      if (reads.answers.length === 1 && a.product) {
        totals[a.source].n++;
        totals[a.source].sum += a.took_ms;
      }
      body.prepend(row(reads.what, reads.answers));
      while (body.rows.length > shown) body.lastElementChild.remove();
      table.hidden = false;
      verdict.textContent = compare(totals);
    });
  },
});

function row(what, list) {
  const loads = list.filter((a) => a.source !== "cache");
  const slowest = Math.max(...list.map((a) => a.took_ms));
  const count = (n, source) => n > 0 && el("div", { class: "count-of" }, list.length > 1 ? n + " × " : null, badge(source));
  const sources = [count(loads.length, loads[0]?.source), count(list.length - loads.length, "cache")];
  // A logarithmic bar: 0.1 ms is empty, 100 ms is full.
  const bar = el("span", { class: "bar" + (loads.length ? " bar-db" : ""), "aria-hidden": "true" });
  bar.style.width = Math.max(4, Math.min(100, (Math.log10(slowest) + 1) * 33)) + "%";
  return el("tr", {},
    el("th", { scope: "row", title: what }, el("div", { class: "what" }, what)),
    el("td", {}, sources),
    el("td", { class: "num" }, list.length > 1 ? el("span", { class: "most" }, "up to ") : null, ms(slowest), bar));
}

function compare({ db, cache }) {
  const mean = (t) => t.sum / t.n;
  const parts = [];
  if (db.n) parts.push(`${db.n} from the database, ${ms(mean(db))} on average`);
  if (cache.n) parts.push(`${cache.n} from the cache, ${ms(mean(cache))}`);
  const times = db.n && cache.n ? Number((mean(db) / mean(cache)).toPrecision(2)) : 0;
  return parts.length ? parts.join("; ") + (times >= 2 ? `: about ${times} times as fast.` : ".") : "No product has been read yet.";
}

import { section, el, bus, open, number } from "./lib.js";

const shown = 8; // orders of the list

// All tabs of a browser share one stream, since over HTTP/1.1 a browser has no more than
// six connections to a server. The tab that holds the lock has it, and tells the others;
// when it is closed another goes on where it was.
const tabs = new BroadcastChannel("live");

section({
  id: "live",
  title: "Just ordered",
  intro: "Told to all browsers at once, whichever server took the order. Who was offline is told what was missed.",
  aside: true,
  mount(root) {
    const list = el("ol", { class: "live" });
    const state = el("p", { class: "when", role: "status" }, "Connecting …");
    root.append(state, list);
    const seen = new Set();
    let last = ""; // the id of the latest event

    tabs.onmessage = ({ data }) => take(data);
    if (navigator.locks) navigator.locks.request("live", () => new Promise(connect));
    else connect(); // over plain http from another machine

    function tell(news) {
      take(news);
      tabs.postMessage(news);
    }

    function take({ id, text, order, missed }) {
      if (id) last = id;
      if (text) state.textContent = text;
      if (missed) list.prepend(el("li", { class: "missed" }, missed));
      if (order && !seen.has(order.number)) {
        seen.add(order.number);
        list.prepend(row(order));
        bus.dispatchEvent(new CustomEvent("placed", { detail: order }));
      }
      while (list.children.length > shown) list.lastChild.remove();
    }

    // An EventSource connects again by itself and says where it was. Only after an answer
    // that is an error does it give up: then a new one is told where.
    function connect() {
      const source = new EventSource("/events?lastEventId=" + encodeURIComponent(last));
      source.onopen = () => tell({ text: "Live: the next order shows here." });
      source.addEventListener("order", (e) => tell({ id: e.lastEventId, order: JSON.parse(e.data) }));
      source.addEventListener("gap", (e) => tell({ id: e.lastEventId, missed: lost(JSON.parse(e.data)) }));
      source.onerror = () => {
        tell({ text: "Out of touch, trying again …" });
        if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000 + 2000 * Math.random());
      };
    }
  },
});

const lost = ({ missed }) => (missed > 0 ? `${number(missed)} orders are too long ago to be shown.` : "Some orders are not shown here.");

function row({ number: n, placed, city, lines }) {
  const [first, ...more] = lines;
  const pieces = (l) => (l.quantity > 1 ? `${number(l.quantity)} × ` : "");
  return el("li", { "data-order": n },
    el("span", { class: "ranked" }, pieces(first),
      el("button", { type: "button", class: "link", click: () => open(first.product) }, first.name),
      more.length > 0 && ` and ${number(more.length)} more`),
    el("span", { class: "card-meta" }, `${city}, ${new Date(placed).toLocaleTimeString("en", { timeStyle: "short" })}`));
}

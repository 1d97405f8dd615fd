// What the sections share. Data from the server reaches the page only through
// el(), as text nodes and attributes, so nothing in it is ever read as HTML.

// sections holds what section() was given, in order.
export const sections = [];

// section adds a section to the page: {id, title, intro, aside, mount(root)}.
export function section(s) {
  sections.push(s);
}

// el makes an element. Attributes that are functions listen ("click"), true
// and false are present or absent, and null children are skipped.
export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "path", "text"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((c) => c != null && c !== false));
  return node;
}

// api calls the server. It resolves to the answer, with how long the round
// trip took as roundTrip; an error's message is the server's own explanation, with
// the status as status.
export async function api(path, options = {}) {
  const start = performance.now();
  let response, body;
  try {
    // Otherwise a browser sends equal requests one after the other, in the hope
    // that its own cache will answer the second.
    response = await fetch(path, { cache: "no-store", ...options });
    tellLimit(response);
    body = await response.json();
  } catch {
    throw new Error("The server did not answer. Is it still running?");
  }
  if (!response.ok) throw Object.assign(new Error(body.detail || response.statusText), { status: response.status });
  return { ...body, roundTrip: performance.now() - start };
}

// bus carries news between sections: "read" events go to the table of reads,
// "limit" events say what the headers of an answer told about the limit, "session"
// events what the session holds, "order" events what was ordered, which is null in
// another tab, "placed" events what anybody has ordered anywhere, and "open" events which
// product to show.
export const bus = new EventTarget();

function tellLimit(response) {
  const value = (name) => parseInt(response.headers.get(name), 10);
  const detail = {
    limit: value("X-RateLimit-Limit"),
    remaining: value("X-RateLimit-Remaining"),
    reset: value("X-RateLimit-Reset"),
    retry: value("Retry-After") || 0,
  };
  if (detail.limit > 0) bus.dispatchEvent(new CustomEvent("limit", { detail }));
}

// open shows a product.
export function open(product) {
  document.getElementById("products").scrollIntoView();
  bus.dispatchEvent(new CustomEvent("open", { detail: product }));
}

export function report(read) {
  bus.dispatchEvent(new CustomEvent("read", { detail: read }));
}

export function badge(source) {
  return el("span", { class: "badge " + (source === "cache" ? "badge-cache" : "badge-db") }, source);
}

// latest guards against answers that overtake each other: of several calls
// under way only the last one's answer counts.
export function latest() {
  let turn = 0;
  return () => {
    const mine = ++turn;
    return () => mine === turn;
  };
}

const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const whole = new Intl.NumberFormat("en");

export const price = (cents) => money.format(cents / 100);
export const number = (n) => whole.format(n);
export const ms = (n) => (n < 10 ? n.toFixed(2) : n.toFixed(1)) + " ms";

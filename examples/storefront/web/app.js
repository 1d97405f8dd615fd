// The page: every section registers itself with section() in lib.js. To add
// one, write a file like summary.js and import it here; the order of the
// imports is the order on the page.
import { sections, el } from "./lib.js";
import "./products.js";
import "./week.js";
import "./account.js";
import "./summary.js";
import "./cart.js";
import "./limit.js";
import "./live.js";
import "./reads.js";

const nav = document.getElementById("nav");
for (const s of sections) {
  const heading = el("h2", { id: s.id + "-heading" }, s.title);
  const root = el("section", { id: s.id, class: "section", "aria-labelledby": heading.id },
    el("div", { class: "section-head" }, heading, s.intro && el("p", { class: "intro" }, s.intro)));
  document.getElementById(s.aside ? "aside" : "main").append(root);
  nav.append(el("li", {}, el("a", { href: "#" + s.id }, s.title)));
  s.mount(root);
}

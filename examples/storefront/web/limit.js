import { section, el, bus, number } from "./lib.js";

section({
  id: "limit",
  title: "Your limit",
  intro: "So many requests a minute from one address, counted for all servers together. Every answer’s header says how many are left.",
  aside: true,
  mount(root) {
    const left = el("p", { class: "left", role: "status" }, "Nothing has been asked yet.");
    const meter = el("meter", { min: "0", "aria-label": "Requests left", hidden: true });
    const when = el("p", { class: "when" });
    root.append(left, meter, when);

    let last = null;
    bus.addEventListener("limit", ({ detail }) => {
      const seen = { ...detail, at: performance.now() };
      // Answers overtake each other: of those that come together the lowest is the newest.
      if (last && !seen.retry && seen.at - last.at < 100 && seen.remaining > last.remaining) return;
      last = seen;
      show();
    });
    setInterval(() => last && show(), 1000);

    // What has come back since the answer is worked out: evenly until all is there.
    function show() {
      const since = (performance.now() - last.at) / 1000;
      const reset = Math.max(0, Math.ceil(last.reset - since));
      const back = reset ? Math.floor((last.limit - last.remaining) * Math.min(1, since / last.reset)) : last.limit - last.remaining;
      const remaining = last.remaining + back;
      const retry = Math.max(0, Math.ceil(last.retry - since));
      meter.max = last.limit;
      meter.low = last.limit / 4;
      meter.value = remaining;
      meter.hidden = false;
      left.textContent = `${number(remaining)} of ${number(last.limit)} left`;
      left.classList.toggle("out", retry > 0);
      when.textContent = retry ? `Too many: try again in ${retry} s.`
        : reset ? `All ${number(last.limit)} again in ${reset} s.` : `All ${number(last.limit)} are there.`;
    }
  },
});

import { section, el, api, report, badge, ms } from "./lib.js";

const example = `A cache keeps the answers that were expensive to find. The first reader of a page waits for the database; the next thousand do not. That is the easy half. The hard half is to forget in time: an answer that was right a minute ago may be wrong now, and a cache that serves it is quick and mistaken.

My grandmother kept recipes in a tin box. Most systems forget by the clock, and a short clock wastes the database while a long one shows old prices. It is better to forget on purpose: whoever changes the database deletes the cached answer, and the next reader loads the new one. Between the two there is a race, because a slow reader may carry an old answer past the delete and put it back. It was raining that day. A lease closes the race: only the reader who holds the lease may fill the cache, and the delete takes the lease away.`;

section({
  id: "summary",
  title: "Summarize",
  intro: "Picks the sentences that say most. The same text is summarized once in ten minutes, whoever asks.",
  mount(root) {
    const text = el("textarea", { id: "text", rows: "7", maxlength: "60000", required: true });
    text.value = example;
    const result = el("div", { class: "result", role: "status" });
    const button = el("button", { class: "primary" }, "Summarize");
    root.append(el("form", {
      async submit(event) {
        event.preventDefault();
        button.disabled = true;
        try {
          const answer = await api("/summarize", { method: "POST", headers: { "Content-Type": "text/plain" }, body: text.value });
          result.replaceChildren(
            el("p", { class: "quote" }, answer.summary),
            el("p", { class: "measure" }, badge(answer.source), " ", ms(answer.took_ms)));
          report({ what: "Summary", answers: [answer] });
        } catch (err) {
          result.replaceChildren(el("p", { class: "error" }, err.message));
        } finally {
          button.disabled = false;
        }
      },
    }, el("label", { for: "text" }, "Text"), text, el("div", { class: "actions" }, button)), result);
  },
});

// One question and its answer on the page. It knows the events of a stream, not where they come from.

import { announce, el } from "./dom.js";
import { feedbackFor } from "./feedback.js";
import { label, say, t } from "./i18n.js";
import { asksForKey } from "./key.js";
import { openPassage, placeOf } from "./passage.js";
import { problemView } from "./problem.js";
import { AgentSteps, madeOf, notesOf } from "./steps.js";
import { rendered } from "./text.js";

export class Turn {
  constructor(question) {
    this.sources = [];
    this.streamed = document.createTextNode("");
    this.steps = new AgentSteps();
    this.waiting = el("p", { class: "waiting", t: "working" });
    this.answer = el("div", { class: "answer", "aria-busy": "true" }, el("p", { class: "stream" }, this.streamed));
    this.after = el("div", { class: "after" });
    this.cards = el("ol");
    this.aside = el("aside", { class: "sources", hidden: true }, el("h3", { t: "sources" }), this.cards);
    label(this.aside, "sources");
    const reply = el("div", { class: "reply" }, this.steps.view, this.waiting, this.answer, this.after);
    this.view = el("article", { class: "turn" }, el("h2", { class: "question" }, question), reply, this.aside);
    announce(t("working"));
  }

  /** Takes an event of the stream in. */
  take({ event, data }) {
    if (event === "meta") this.#showSources(data.sources);
    else if (event === "tool_call") this.steps.called(data);
    else if (event === "tool_result") {
      this.steps.returned(data);
      this.#showSources([...this.sources, ...data.sources]);
    } else if (event === "token") this.#write(this.streamed.data + data.text);
    else if (event === "correction") this.#write(data.text);
    else if (event === "done") this.#finish(data.response);
  }

  /** The stream was left before its end; what there is stays. */
  stop() {
    this.#end();
    this.after.append(el("ul", { class: "notes" }, el("li", { t: "stopped" })));
    announce(t("stopped"));
  }

  fail(problem, again) {
    this.#end();
    this.after.replaceChildren(problemView(problem, again));
  }

  #write(text) {
    this.waiting.hidden = text !== "";
    this.streamed.data = text;
  }

  #finish({ answer, meta }) {
    this.#end();
    this.#showSources(meta.sources ?? [], meta.citations ?? []);
    const open = (n, citation) => openPassage(this.sources[n - 1], citation);
    this.answer.replaceChildren(...rendered(answer, meta.citations ?? [], this.sources.length, open));
    this.after.replaceChildren(...notesOf(meta), this.#under(answer, meta), madeOf(meta));
    announce(t("answer_ready", { answer }));
  }

  #under(answer, meta) {
    const copy = el("button", { type: "button", t: "copy" });
    copy.addEventListener("click", () => navigator.clipboard.writeText(answer).then(() => say(copy, "copied")));
    copy.hidden = !navigator.clipboard;
    return el("div", { class: "row" }, feedbackFor(meta.request_id, asksForKey), copy);
  }

  #end() {
    this.waiting.hidden = true;
    this.answer.removeAttribute("aria-busy");
  }

  #showSources(sources, citations = []) {
    this.sources = sources;
    this.aside.hidden = sources.length === 0;
    const first = (n) => citations.find((citation) => citation.source === n) ?? null;
    this.cards.replaceChildren(...sources.map((source, index) => card(source, index + 1, first(index + 1))));
  }
}

/** A source; its text begins with the sentence that bears the answer, where there is one. */
function card(source, n, citation) {
  const title = el("strong", {}, source.title ?? source.document_id);
  const relevance = el("span", { class: "hint", t: ["relevance", { percent: Math.round(source.score * 100) }] });
  const place = el("span", { class: "hint place" }, ...placeOf(source));
  const [skipped, text] = [citation?.source_start ?? 0, Array.from(source.text)];
  const snippet = el("span", { class: "snippet" }, (skipped ? "… " : "") + text.slice(skipped).join(""));
  const head = el("span", { class: "row" }, el("span", { class: "number" }, String(n)), title, relevance);
  const open = () => openPassage(source, citation);
  return el("li", {}, el("button", { type: "button", class: "card", onclick: open }, head, place, snippet));
}

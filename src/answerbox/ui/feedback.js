// Thumbs up or down, and a word about it. A later word replaces the one before.

import { giveFeedback } from "./api.js";
import { announce, el } from "./dom.js";
import { label, t } from "./i18n.js";
import { problemView } from "./problem.js";

/** `onProblem(problem)` says whether it has dealt with a failure itself. */
export function feedbackFor(requestId, onProblem) {
  const told = el("div", { class: "told" });
  const comment = el("input", { type: "text", maxlength: 2000 });
  label(comment, "comment");
  label(comment, "comment", "placeholder");
  const word = el("form", { class: "row", hidden: true }, comment, el("button", { type: "submit", t: "send_comment" }));
  const thumbs = [
    [1, "good", "thumb"],
    [-1, "bad", "thumb down"],
  ].map(([score, key, look]) => {
    const button = el("button", { type: "button", class: look, "aria-pressed": "false" });
    button.addEventListener("click", () => choose(score, button));
    return label(button, key);
  });
  let chosen = 0;

  function choose(score, button) {
    chosen = score;
    for (const thumb of thumbs) thumb.setAttribute("aria-pressed", String(thumb === button));
    word.hidden = false;
    send();
  }

  async function send() {
    const said = comment.value.trim();
    try {
      await giveFeedback({ request_id: requestId, score: chosen, ...(said ? { comment: said } : {}) });
      told.replaceChildren(el("p", { class: "hint", t: "thanks" }));
      announce(t("thanks"));
    } catch (problem) {
      if (!onProblem(problem)) told.replaceChildren(problemView(problem));
    }
  }

  word.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return el("div", { class: "feedback" }, ...thumbs, word, told);
}

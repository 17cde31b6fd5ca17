// A failure as people see it: what it means in their language, and the service's own words.

import { el } from "./dom.js";
import { has, say } from "./i18n.js";

/** `again`, where the same may be tried again: the button waits as long as the service asks for. */
export function problemView(problem, again = null) {
  const { status, title, detail, hint, errors = [], request_id: requestId, retryable } = problem.document;
  const key = [`problem_${status}`, `problem_${Math.floor(status / 100)}00`, "problem"].find(has);
  const words = [detail ?? title, hint].filter(Boolean).map((text) => el("p", { lang: "en" }, text));
  const faults = errors.map(({ field, message }) => el("li", { lang: "en" }, el("code", {}, field), ` ${message}`));
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("p", { class: "problem-title", t: key }),
    ...words,
    ...(faults.length ? [el("ul", {}, ...faults)] : []),
    ...(requestId ? [el("p", { class: "hint", t: ["problem_request", { id: requestId }] })] : []),
    ...(again && (retryable || problem.retryAfter) ? [againButton(problem.retryAfter ?? 0, again)] : []),
  );
}

function againButton(seconds, again) {
  const button = el("button", { type: "button", class: "again", onclick: again });
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    button.disabled = left > 0;
    say(button, left > 0 ? "again_in" : "again", { s: left });
    if (left <= 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 500);
  tick();
  return button;
}

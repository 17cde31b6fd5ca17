// What was done for an answer: the agent's calls of tools while they happen, and afterwards every step with its time.

import { el } from "./dom.js";
import { has, say } from "./i18n.js";

/** The list of the agent's calls, hidden until there is one. */
export class AgentSteps {
  constructor() {
    this.list = el("ol", { class: "steps" });
    this.view = el("section", { hidden: true }, el("h3", { t: "steps" }), this.list);
    this.calls = new Map();
  }

  called({ id, name, arguments: given }) {
    const known = `tool_${name}`;
    const status = el("span", { class: "status", t: "call_running" });
    const title = has(known) ? el("strong", { t: known }) : el("strong", {}, name);
    const told = el("code", {}, given === null ? "" : Object.values(given).map(shortly).join(", "));
    const summary = el("summary", {}, title, " ", told, " ", status);
    const result = el("div", { class: "result" });
    this.list.append(el("li", {}, el("details", {}, summary, result)));
    this.calls.set(id, { status, result });
    this.view.hidden = false;
  }

  returned({ id, status, content }) {
    const call = this.calls.get(id);
    if (!call) return;
    say(call.status, `call_${status}`).classList.add(status === "ok" ? "good" : "bad");
    call.result.textContent = content;
  }
}

const shortly = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Model, time, tokens and steps of a finished answer, folded. */
export function madeOf(meta) {
  const { prompt_tokens: read, completion_tokens: written } = meta.usage;
  const steps = meta.steps.flatMap((step) => [
    el("dt", { class: "step" }, step.name),
    el("dd", { t: duration(step.duration_ms) }),
  ]);
  const terms = el(
    "dl",
    {},
    el("dt", { t: "made_model" }),
    el("dd", {}, meta.model),
    el("dt", { t: "made_tokens" }),
    el("dd", { t: ["token_counts", { read, written }] }),
    el("dt", { t: "made_request" }),
    el("dd", {}, meta.request_id),
    el("dt", { t: "made_time" }),
    el("dd", { t: duration(meta.latency_ms) }),
    ...steps,
  );
  return el("details", { class: "made" }, el("summary", { t: "made" }), terms);
}

const duration = (ms) => (ms < 1000 ? ["milliseconds", { ms }] : ["seconds", { s: ms / 1000 }]);

/** What the reader should know of an answer: why it ended, what did not work, which checks failed. */
export function notesOf(meta) {
  const { grounding, pipeline } = meta; // without `grounding`: nothing was searched
  const notes = [`finish_${meta.finish_reason}`, `ended_${meta.ended_by}`].filter(has).map((key) => el("li", { t: key }));
  for (const what of meta.degraded) {
    const key = `degraded_${what.split(":")[0]}`;
    notes.push(el("li", { t: has(key) ? key : ["degraded", { what }] }));
  }
  const tells = pipeline === "agent" || grounding?.mode === "quoted";
  for (const check of (tells && grounding?.failed) || []) notes.push(el("li", { t: `check_${check}` }));
  return notes.length ? [el("ul", { class: "notes" }, ...notes)] : [];
}

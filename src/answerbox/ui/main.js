// The page: takes questions, shows the answers, and lets the keyboard do all of it.

import { ask, forgetSession, Problem, stop } from "./api.js";
import { prepareDocuments } from "./documents.js";
import { $, closable, el } from "./dom.js";
import { changeLanguage, say, translate } from "./i18n.js";
import { asksForKey, prepareKey } from "./key.js";
import { newId, newSession, remember, remembered, sessionId } from "./store.js";
import { Turn } from "./turn.js";

const EXAMPLES = 3;
const NEAR_THE_END = 160;
const question = $("question");
let running = null;

const mode = () => $("ask").elements.mode.value;

async function submit(text) {
  if (running || !text) return;
  const turn = new Turn(text);
  running = { id: newId(), controller: new AbortController(), stopping: false };
  showRunning(true);
  $("thread").append(turn.view);
  turn.view.scrollIntoView({ block: "end" });
  try {
    const body = { question: text, session_id: sessionId() };
    for await (const event of ask(mode(), body, running.id, running.controller.signal)) {
      const follow = isNearTheEnd();
      turn.take(event);
      if (follow) toTheEnd();
    }
  } catch (problem) {
    giveUp(turn, text, problem);
  } finally {
    running = null;
    showRunning(false);
  }
}

function giveUp(turn, text, problem) {
  if (problem.name === "AbortError") {
    turn.stop();
  } else if (asksForKey(problem)) {
    turn.view.remove();
    question.value ||= text;
    fit();
  } else {
    const ours = !(problem instanceof Problem);
    turn.fail(ours ? new Problem({ retryable: true }) : problem, () => {
      turn.view.remove();
      submit(text);
    });
    toTheEnd();
    if (ours) throw problem; // a fault of the page: the browser's console has it
  }
}

/** Asks the service to end the answer, which then is what there is; if it cannot, or at the second time, hangs up. */
async function stopRunning() {
  const { id, controller, stopping } = running;
  if (stopping) return controller.abort();
  running.stopping = true;
  await stop(id).catch(() => controller.abort());
}

function showRunning(yes) {
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  $("welcome").hidden = yes || $("thread").childElementCount > 0;
  document.body.classList.toggle("running", yes);
}

const isNearTheEnd = () =>
  document.documentElement.scrollHeight - window.scrollY - window.innerHeight < NEAR_THE_END;

const toTheEnd = () => window.scrollTo(0, document.documentElement.scrollHeight);

function fit() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function showExamples() {
  say($("welcome-text"), `welcome_${mode()}`);
  const examples = Array.from({ length: EXAMPLES }, (_, index) => {
    const button = el("button", { type: "button", t: `example_${mode()}_${index + 1}` });
    button.addEventListener("click", () => submit(button.textContent));
    return el("li", {}, button);
  });
  $("examples").replaceChildren(...examples);
}

function take() {
  const text = question.value.trim();
  if (running || !text) return;
  question.value = "";
  fit();
  submit(text);
}

function startAnew() {
  if (running) running.controller.abort();
  forgetSession(sessionId()).catch(() => {}); // one without a question of the agent is not known
  newSession();
  $("thread").replaceChildren();
  showRunning(false);
  question.focus();
}

function onKey(event) {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    stopRunning();
  } else if (event.key === "Enter" && event.target === question && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    take();
  }
}

function prepare() {
  const known = remembered("mode");
  if (["llm", "rag", "agent"].includes(known)) $("ask").elements.mode.value = known;
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    take();
  });
  $("ask").addEventListener("change", () => {
    remember("mode", mode());
    showExamples();
  });
  question.addEventListener("input", fit);
  document.addEventListener("keydown", onKey);
  $("stop").addEventListener("click", stopRunning);
  $("new-conversation").addEventListener("click", startAnew);
  $("language").addEventListener("click", changeLanguage);
  closable($("passage-dialog"));
  prepareKey();
  prepareDocuments();
  showExamples();
  translate();
  question.focus();
}

prepare();

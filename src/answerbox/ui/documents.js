// The dialog for documents: files in, by choice or by drop, how far their jobs are, what is there, and out again.

import { cancelJob, deleteDocument, getJob, listDocuments, upload } from "./api.js";
import { $, closable, el } from "./dom.js";
import { say } from "./i18n.js";
import { asksForKey } from "./key.js";
import { problemView } from "./problem.js";

const POLL_MS = 500;
const PATIENCE_MS = 3000;
const dialog = $("documents-dialog");
let after = null;

export function prepareDocuments() {
  closable(dialog);
  $("open-documents").addEventListener("click", openDocuments);
  $("files").addEventListener("change", (event) => {
    addFiles([...event.target.files]);
    event.target.value = "";
  });
  $("more-documents").addEventListener("click", () => list(after));
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => drag(event, true));
  document.addEventListener("dragleave", (event) => drag(event, event.relatedTarget !== null));
  document.addEventListener("drop", (event) => {
    drag(event, false);
    if (!event.dataTransfer.files.length) return;
    openDocuments();
    addFiles([...event.dataTransfer.files]);
  });
}

function drag(event, over) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dragging", over);
}

function openDocuments() {
  if (!dialog.open) dialog.showModal();
  list(null);
}

async function addFiles(files) {
  if (!files.length) return;
  const row = new JobRow(files.map((file) => file.name).join(", "));
  $("jobs").prepend(row.view);
  try {
    await row.follow(await upload(files));
  } catch (problem) {
    if (asksForKey(problem)) row.view.remove();
    else row.fail(problem);
  }
  await list(null);
}

/** One upload: its names, its progress, what went wrong. */
class JobRow {
  constructor(names) {
    this.status = el("span", { class: "status", role: "status", t: "sending" });
    this.bar = el("progress", { "aria-label": names });
    this.faults = el("ul", { class: "faults" });
    this.cancel = el("button", { type: "button", t: "cancel", hidden: true });
    const line = el("div", { class: "row spread" }, el("strong", {}, names), this.status, this.cancel);
    this.view = el("li", { class: "job" }, line, this.bar, this.faults);
  }

  async follow(first) {
    const { job_id: id } = first;
    this.cancel.addEventListener("click", () => cancelJob(id).catch((problem) => this.fail(problem)));
    for (let job = first; ; job = await patiently(() => getJob(id))) {
      this.show(job);
      if (job.finished_at) break;
      await pause(POLL_MS);
    }
  }

  show(job) {
    this.cancel.hidden = Boolean(job.finished_at);
    this.bar.max = Math.max(job.total, 1);
    this.bar.value = job.done;
    say(this.status, `job_${job.status}`, { done: job.done, total: job.total });
    if (job.finished_at) this.status.classList.add(job.status === "succeeded" ? "good" : "bad");
    this.faults.replaceChildren(...job.errors.map((error) => el("li", {}, `${error.document_id}: ${error.message}`)));
  }

  fail(problem) {
    this.cancel.hidden = true;
    this.bar.remove();
    say(this.status, "job_failed").classList.add("bad");
    this.faults.replaceChildren(el("li", {}, problemView(problem)));
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** The job goes on while nobody can be asked: so does this, until the failure is one that waiting does not mend. */
async function patiently(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (problem) {
      if (!problem.document?.retryable) throw problem;
      await pause((problem.retryAfter ?? 0) * 1000 || PATIENCE_MS);
    }
  }
}

async function list(from) {
  try {
    const page = await listDocuments(from);
    const rows = page.documents.map(documentRow);
    if (from) $("documents").append(...rows);
    else $("documents").replaceChildren(...rows);
    say($("documents-count"), "documents_count", { total: page.total });
    after = page.next_after;
    $("more-documents").hidden = !after;
    $("documents-problem").replaceChildren();
  } catch (problem) {
    if (asksForKey(problem)) dialog.close();
    else $("documents-problem").replaceChildren(problemView(problem, () => list(from)));
  }
}

function documentRow(found) {
  const name = found.title ?? found.document_id;
  const remove = el("button", { type: "button", t: "remove" });
  const size = el("span", { class: "hint", t: ["passages_count", { chunks: found.chunks }] });
  const row = el("li", { class: "row spread" }, el("span", { class: "grow" }, name), size, remove);
  remove.setAttribute("aria-description", name);
  remove.addEventListener("blur", () => say(remove, "remove").classList.remove("danger"));
  remove.addEventListener("click", async () => {
    if (remove.dataset.t === "remove") return say(remove, "remove_really").classList.add("danger");
    try {
      await deleteDocument(found.document_id);
      await list(null);
      $("files").focus();
    } catch (problem) {
      if (!asksForKey(problem)) $("documents-problem").replaceChildren(problemView(problem));
    }
  });
  return row;
}

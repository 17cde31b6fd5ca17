// The public HTTP routes, as any client calls them; with the key, where there is one.

import { events } from "./sse.js";
import { apiKey } from "./store.js";

/** A failure: the service's problem document (RFC 9457), or what could be made of no answer. */
export class Problem extends Error {
  constructor(document, retryAfter = null) {
    super(document.detail ?? document.title);
    this.document = document;
    this.retryAfter = retryAfter;
  }

  get status() {
    return this.document.status;
  }

  /** Nobody answered, or not to the end. */
  static lost() {
    return new Problem({ status: 0, retryable: true });
  }
}

async function problemOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const told = await response.json().catch(() => ({}));
  const requestId = response.headers.get("X-Request-Id");
  const fallback = { title: response.statusText, request_id: requestId, retryable: response.status >= 500 };
  return new Problem({ ...fallback, ...told, status: response.status }, Number.isNaN(seconds) ? null : seconds);
}

/** `path` is relative, so that the page may live below any prefix. Throws a Problem, or an AbortError. */
async function call(method, path, { json, form, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (apiKey()) sent.Authorization = `Bearer ${apiKey()}`;
  if (json) sent["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : form;
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { method, body, headers: sent, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : Problem.lost();
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The JSON of an answer; one that breaks off is no answer. */
async function json(answer) {
  return (await answer).json().catch(() => {
    throw Problem.lost();
  });
}

const read = (path) => json(call("GET", path));

/** The events of an answer. Ends after `done`; `error`, or an end without either, is thrown as a Problem. */
export async function* ask(mode, body, requestId, signal) {
  const headers = { "X-Request-Id": requestId };
  const response = await call("POST", `${mode}_query/stream`, { json: body, headers, signal });
  try {
    for await (const event of events(response.body)) {
      if (event.event === "error") throw new Problem(event.data.problem);
      yield event;
      if (event.event === "done") return;
    }
  } catch (error) {
    throw error instanceof Problem || error.name === "AbortError" ? error : Problem.lost();
  }
  throw Problem.lost();
}

export const stop = (requestId) => call("DELETE", `requests/${requestId}`);

export const forgetSession = (id) => call("DELETE", `sessions/${id}`);

export const giveFeedback = (feedback) => json(call("POST", "feedback", { json: feedback }));

export const getDocument = (id) => read(`documents/${encodeURIComponent(id)}`);

export const deleteDocument = (id) => call("DELETE", `documents/${encodeURIComponent(id)}`);

export const listDocuments = (after) =>
  read(after ? `documents?limit=50&after=${encodeURIComponent(after)}` : "documents?limit=50");

export const getJob = (id) => read(`jobs/${encodeURIComponent(id)}`);

export const cancelJob = (id) => json(call("DELETE", `jobs/${encodeURIComponent(id)}`));

export function upload(files) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return json(call("POST", "documents", { form }));
}

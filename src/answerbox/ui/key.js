// The dialog for the API key.

import { $, closable } from "./dom.js";
import { apiKey, keyIsKept, setApiKey } from "./store.js";

const dialog = $("key-dialog");

/** `wanted`: the service has refused a request for want of a key. */
export function openKey(wanted = false) {
  $("key-reason").hidden = !wanted;
  $("key-value").value = apiKey();
  $("key-remember").checked = keyIsKept();
  if (!dialog.open) dialog.showModal();
  $("key-value").select();
}

/** True where the failure is the want of a key: then the dialog is open. */
export function asksForKey(problem) {
  if (problem.status === 401) openKey(true);
  return problem.status === 401;
}

export function prepareKey() {
  closable(dialog);
  $("open-key").addEventListener("click", () => openKey());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setApiKey($("key-value").value.trim(), $("key-remember").checked);
    dialog.close();
  });
  $("key-forget").addEventListener("click", () => {
    setApiKey("", false);
    dialog.close();
  });
  dialog.addEventListener("close", () => $("question").focus());
}

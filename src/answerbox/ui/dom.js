// Makes elements. Text always goes in as text: nothing here, or anywhere on the page, reads HTML.

import { say } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

/** An element. `t` is a key of the words, or [key, parameters]; `onclick` and the like are listeners. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "t") say(node, ...[value].flat());
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** Tells those who do not see the page; one sentence for an event, not one for each token. */
export function announce(text) {
  $("announcer").textContent = text;
}

/** Buttons with `data-close` close their dialog, and so does a click beside it. */
export function closable(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

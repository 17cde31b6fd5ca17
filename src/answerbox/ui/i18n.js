// The words of the page in the reader's language. An element that has words keeps their key, so that another
// language can take their place at any time, also in what was asked before.

import { en } from "./en.js";
import { ru } from "./ru.js";
import { remember, remembered } from "./store.js";

const WORDS = { en, ru };
const ATTRIBUTES = ["aria-label", "placeholder", "lang"];

const wanted = [remembered("language"), ...navigator.languages.map((tag) => tag.slice(0, 2))];
let language = wanted.find((tag) => tag in WORDS) ?? "en";

export const has = (key) => key in WORDS[language];

/** The words of `key`; `{name}` in them is a parameter, numbers are written as the language does. */
export function t(key, parameters = {}) {
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  return (WORDS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => {
    const value = parameters[name];
    return typeof value === "number" ? number.format(value) : value;
  });
}

/** Gives the element these words, in this language and in the next. */
export function say(node, key, parameters = {}) {
  node.dataset.t = key;
  node.dataset.tParameters = JSON.stringify(parameters);
  node.textContent = t(key, parameters);
  return node;
}

/** The same for an attribute. */
export function label(node, key, attribute = "aria-label", parameters = {}) {
  node.setAttribute(`data-t-${attribute}`, key);
  node.dataset.tParameters = JSON.stringify(parameters);
  node.setAttribute(attribute, t(key, parameters));
  return node;
}

export function translate() {
  document.documentElement.lang = language;
  const parameters = (node) => JSON.parse(node.dataset.tParameters ?? "{}");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t, parameters(node));
  for (const attribute of ATTRIBUTES) {
    for (const node of document.querySelectorAll(`[data-t-${attribute}]`)) {
      node.setAttribute(attribute, t(node.getAttribute(`data-t-${attribute}`), parameters(node)));
    }
  }
}

export function changeLanguage() {
  language = language === "en" ? "ru" : "en";
  remember("language", language);
  translate();
}

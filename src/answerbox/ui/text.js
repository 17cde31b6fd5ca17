// From the text of an answer to elements: paragraphs, code, and marks [n] as buttons. The text is the model's or a
// document's, so it goes in as text only. The service counts characters as Python does, in code points.

import { el } from "./dom.js";
import { label } from "./i18n.js";

const BLOCK = /```[^\n]*\n([\s\S]*?)(?:\n```|(?![\s\S]))|((?:(?!\n\s*\n|\n```|^```)[\s\S])+)/gm;
const MARK = /\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]/g;

/** Where the code points begin, in JavaScript's units; the last one is the end. */
function places(text) {
  const found = [0];
  for (const point of text) found.push(found.at(-1) + point.length);
  return found;
}

/** Characters `start` to `end` of the text, counted in code points. */
export function slice(text, start, end) {
  return Array.from(text).slice(start, end).join("");
}

/** [before, between, after] of two places, counted in code points. */
export function split(text, start, end) {
  const points = Array.from(text);
  return [points.slice(0, start), points.slice(start, end), points.slice(end)].map((part) => part.join(""));
}

/**
 * The answer as elements. `open(n, citation)` is called when the mark of source n, from 1, is pressed; a piece that a
 * citation bears and the text does not mark gets its mark at its end.
 */
export function rendered(answer, citations, sourceCount, open) {
  const place = places(answer);
  const borne = citations.map((one) => ({ ...one, from: place[one.start], to: place[one.end] }));
  const marks = [...named(answer, borne, sourceCount), ...unnamed(answer, borne)].sort((a, b) => a.at - b.at);
  return Array.from(answer.matchAll(BLOCK), (block) => {
    const [, code, prose] = block;
    if (code !== undefined) return el("pre", { tabindex: 0 }, el("code", {}, code));
    const start = block.index + prose.length - prose.trimStart().length;
    const end = block.index + prose.length;
    const inside = marks.filter((mark) => mark.at >= start && mark.at <= end);
    return prose.trim() ? el("p", {}, ...pieces(answer, start, end, inside, open)) : "";
  });
}

/** Marks that the text has: a mark's citation is the last one of its source that begins before it. */
function named(answer, citations, sourceCount) {
  return Array.from(answer.matchAll(MARK)).flatMap((match) => {
    const numbers = match[1].split(",").map(Number);
    if (numbers.some((n) => n < 1 || n > sourceCount)) return [];
    return numbers.map((n, index) => ({
      at: match.index,
      skip: index === 0 ? match[0].length : 0,
      n,
      citation: citations.filter((one) => one.source === n && one.from <= match.index).at(-1),
    }));
  });
}

function unnamed(answer, citations) {
  return citations
    .filter((one) => !/^[^\S\n]*\[\d/.test(answer.slice(one.to)) && !/\[\d/.test(answer.slice(one.from, one.to)))
    .map((one) => ({ at: one.to, skip: 0, n: one.source, citation: one }));
}

function pieces(answer, start, end, marks, open) {
  const found = [];
  let at = start;
  for (const mark of marks) {
    found.push(answer.slice(at, mark.at), markButton(mark, open));
    at = Math.max(at, mark.at + mark.skip);
  }
  return [...found, answer.slice(at, end)];
}

function markButton({ n, citation }, open) {
  const button = el("button", { type: "button", class: "mark", onclick: () => open(n, citation) }, String(n));
  return label(button, "open_source", "aria-label", { n });
}

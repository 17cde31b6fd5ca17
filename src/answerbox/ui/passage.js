// A source in its document: the passage marked, and in it the sentence that bears a piece of the answer.

import { getDocument } from "./api.js";
import { $, el } from "./dom.js";
import { say } from "./i18n.js";
import { split } from "./text.js";

const dialog = $("passage-dialog");
let shown = null;

/** Opens the passage at once, and the whole document around it when that has come. */
export async function openPassage(source, citation) {
  shown = source;
  $("passage-title").textContent = source.title ?? source.document_id;
  $("passage-place").replaceChildren(...placeOf(source));
  $("passage-note").hidden = true;
  show("", source.text, "", citation);
  if (!dialog.open) dialog.showModal();
  let note = null;
  try {
    const { text } = await getDocument(source.document_id);
    const [before, passage, after] = split(text, source.start, source.end);
    if (shown !== source) return;
    if (passage === source.text) show(before, passage, after, citation);
    else note = "passage_changed";
  } catch {
    note = "passage_gone";
  }
  if (note && shown === source) say($("passage-note"), note).hidden = false;
}

/** Where the passage stands, as pieces of a line. */
export function placeOf(source) {
  const places = source.headings.map((heading) => el("span", {}, heading));
  if (source.page) places.push(el("span", { t: ["page_number", { page: source.page }] }));
  if (source.uri) places.push(el("span", {}, source.uri));
  return places;
}

function show(before, passage, after, citation) {
  const [head, sentence, tail] = citation
    ? split(passage, citation.source_start, citation.source_end)
    : ["", "", passage];
  const bearing = sentence ? [el("mark", {}, sentence)] : [];
  const marked = el("span", { class: "passage" }, head, ...bearing, tail);
  $("passage-text").replaceChildren(before, marked, after);
  if (dialog.open) (bearing[0] ?? marked).scrollIntoView({ block: "center" });
}

/**
 * How this page names things: verdicts, scores, types, states, whom an item came from.
 *
 * Belongs here: wording and small elements for texts of people. Not here: requests.
 */

import { h } from "../../ui/dom.js";
import { ago, number } from "../../ui/format.js";

export const VERDICTS = { approved: "Approve", rejected: "Reject", needs_revision: "Needs revision" };
export const SCORES = {
  technical_accuracy: "Technical accuracy", professional_quality: "Professional quality", completeness: "Completeness", clarity: "Clarity",
};
export const TYPES = {
  correction: "Correction", positive: "Good answer", negative: "Bad answer", failure: "Failure", edge_case: "Edge case",
  demonstration: "Demonstration", preference: "Preference",
};
export const STATES = {
  pending: "not reviewed yet", in_review: "in review", needs_revision: "revision asked for", approved: "approved", rejected: "rejected",
};
const SOURCES = {
  user_feedback: "feedback", expert_review: "an expert", automated: "an automatic rule", synthetic: "a generator", imported: "an import",
};
export const TONES = { approved: "good", rejected: "bad", needs_revision: "warn" };

/** What an annotation's verdict was: approved, rejected, needs_revision, or null for a comment. */
export const verdictOf = (said) => (said.needs_revision ? "needs_revision" : said.approved === null ? null : said.approved ? "approved" : "rejected");

const RIGHT_TO_LEFT = /[\p{sc=Arabic}\p{sc=Hebrew}\p{sc=Syriac}\p{sc=Thaana}\p{sc=Nko}\p{sc=Adlam}]/u;

/** Which way a text runs, by its first letter. As dir=auto, which takes browsers tens of seconds for a text area of a million characters. */
export function direction(value) {
  const letter = value.slice(0, 2000).match(/\p{L}/u)?.[0];
  return letter && RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}

/** A text area that follows the direction of what is in it; `write` sets its text. */
export function textArea(attributes) {
  const input = h("textarea", attributes);
  const follow = () => { input.dir = direction(input.value); };
  input.addEventListener("input", follow);
  return { input, write: (value) => { input.value = value; follow(); } };
}

/** A text of people, as they wrote it. Long ones scroll, by keyboard too. */
export function text(value, label) {
  const long = value.length > 1200 || value.split("\n", 20).length > 15;
  return h("div", { class: long ? "said long" : "said", dir: direction(value), ...(long ? { tabindex: 0, role: "group", "aria-label": label } : {}) }, value);
}

/** Whom an item came from: feedback with the trust in its raters, or what made it. Never what experts said. */
export function origin(item) {
  if (item.provenance.length === 0) return `${SOURCES[item.source_type] ?? item.source_type}, without feedback behind it`;
  return item.provenance.map((one) => {
    const about = [one.weight === null ? "trust not known yet" : `trust ${number(one.weight)}`, ...one.flags];
    return h("span", { class: "source" }, h("bdi", {}, one.user ?? "somebody unknown"), ` ${ago(one.created_at)} (${about.join(", ")})`);
  });
}

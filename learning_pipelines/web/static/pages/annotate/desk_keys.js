/**
 * The keys of the desk.
 *
 * Belongs here: which key does what where one item is judged. Not here: when keys count (shortcuts.js), what they do (desk.js).
 */

import { SCORES } from "./words.js";

const VERDICT_KEYS = { a: ["approved", "approve"], r: ["rejected", "reject"], v: ["needs_revision", "needs revision"] };

/**
 * @param {Record<string, () => unknown>} does `form` gives the form of the item at hand, or nothing.
 * @returns {import("./shortcuts.js").Shortcut[]}
 */
export function deskKeys({ form, submit, skip, prolong, undo, toItem, toOutcome }) {
  const into = (name) => () => form()?.field(name)?.focus();
  return [
    ...Object.entries(VERDICT_KEYS).map(([key, [verdict, name]]) => ({ key, does: `Verdict: ${name}`, run: () => form()?.choose(verdict) })),
    { key: "Enter", ctrl: true, inFields: true, does: "Submit and take the next item (also in fields)", run: submit },
    { key: "e", does: "Go to the expected output", run: into("correction") },
    { key: "x", does: "Reset the correction", run: () => form()?.reset() },
    ...Object.entries(SCORES).map(([name, label], place) => (
      { key: String(place + 1), does: `Go to the score ${label.toLowerCase()}`, run: into(name) })),
    { key: "n", does: "Go to the notes", run: into("notes") },
    { key: "g", does: "Go to the suggestions", run: into("suggestions") },
    { key: "i", does: "Go to the item", run: toItem },
    { key: "s", does: "Skip the item", run: skip },
    { key: "p", does: "Prolong the reservation, or reserve again", run: prolong },
    { key: "u", does: "Undo what you did last", run: undo },
    { key: "z", ctrl: true, does: "Undo what you did last (outside of fields)", run: undo },
    { key: "h", does: "Go to what is shown after your verdict", run: toOutcome },
    { key: "f", does: "Go to the filters", run: () => document.querySelector(".bar select")?.focus() },
    { key: "b", does: "Review in bulk", run: () => document.querySelector("[data-view=bulk]")?.click() },
  ];
}

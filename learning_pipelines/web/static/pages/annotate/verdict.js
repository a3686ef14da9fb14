/**
 * The form of a review: verdict, corrected output with its changes as one types, four scores, notes, suggestions.
 *
 * Belongs here: controls and reading them. Not here: sending (desk.js), keeping drafts (kept.js), the item (item.js).
 */

import { diffWords, showDiff } from "../../ui/diff.js";
import { h, fill } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { SCORES, text, textArea, VERDICTS } from "./words.js";

const MOST_CHARACTERS = 1_000_000; // what the service takes
const LONG = 50_000; // longer texts are compared less often while somebody types

/**
 * @param {object} item
 * @param {() => void} changed Called after every change.
 */
export function verdictForm(item, changed) {
  const shown = (item.expected_output ?? item.original_output ?? "").replace(/\r\n?/g, "\n"); // as a text area holds it
  const corrects = item.example_type !== "preference";
  const verdicts = Object.entries(VERDICTS).map(([value, name]) => radio(value, name));
  const correction = corrects ? correctionEditor(item, shown, changed) : null;
  const scores = Object.fromEntries(Object.entries(SCORES).map(([name, label]) => [name, score(name, label, changed)]));
  const notes = area("notes", "Notes", "Why. Whoever reads your annotation later sees them.");
  const suggestions = area("improvement_suggestions", "Suggestions", "What should change, where you do not correct it yourself.");
  const element = h("div", { class: "verdict", oninput: changed, onchange: changed },
    h("fieldset", { class: "choices" }, h("legend", {}, "Your verdict"), verdicts.map((one) => one.element)),
    correction?.element,
    h("fieldset", { class: "scores" }, h("legend", {}, "Scores, 0 to 1 (not required)"), Object.values(scores).map((one) => one.element)),
    notes.element, suggestions.element);
  const inputs = verdicts.map((one) => one.input);
  return {
    element,
    corrects,
    /** @returns {import("./kept.js").Draft} */
    read: () => ({
      verdict: inputs.find((input) => input.checked)?.value ?? null, correction: correction?.read() ?? null,
      scores: Object.fromEntries(Object.entries(scores).filter(([, one]) => one.read() !== null).map(([name, one]) => [name, one.read()])),
      notes: notes.input.value, suggestions: suggestions.input.value,
    }),
    /** @param {import("./kept.js").Draft} draft */
    write(draft) {
      for (const input of inputs) input.checked = input.value === draft.verdict;
      for (const [name, one] of Object.entries(scores)) one.write(draft.scores?.[name] ?? null);
      correction?.write(draft.correction ?? shown);
      notes.write(draft.notes ?? "");
      suggestions.write(draft.suggestions ?? "");
    },
    choose(verdict) {
      const input = inputs.find((one) => one.value === verdict);
      input.checked = true;
      input.focus();
      changed();
    },
    /** The first control that holds something the service would refuse, with the reason; null if there is none. */
    wrong() {
      const bad = Object.values(scores).find((one) => !one.valid());
      if (bad) return { input: bad.input, reason: `${bad.label} takes a number from 0 to 1, or nothing.` };
      if (!inputs.some((input) => input.checked)) return { input: inputs[0], reason: "Choose a verdict first: approve, reject or needs revision." };
      return null;
    },
    /** Puts the corrected text into the suggestions and the correction back to what is proposed. */
    correctionToSuggestions() {
      suggestions.write([suggestions.input.value.trim(), correction.read()].filter(Boolean).join("\n\n"));
      correction.write(shown);
      changed();
    },
    /** Where keys lead: correction, notes, suggestions or a score. */
    field: (name) => ({ correction: correction?.input, notes: notes.input, suggestions: suggestions.input, ...inputsOf(scores) })[name],
    useText: (value) => { correction?.write(value); changed(); },
    reset: () => { correction?.write(shown); changed(); },
  };
}

const inputsOf = (scores) => Object.fromEntries(Object.entries(scores).map(([name, one]) => [name, one.input]));

function radio(value, name) {
  const input = h("input", { type: "radio", name: "verdict", value, id: `verdict-${value}` });
  return { input, element: h("label", { for: input.id, class: `choice ${value}` }, input, " ", name) };
}

function area(name, label, hint) {
  const { input, write } = textArea({ id: name, rows: 3, "aria-describedby": `${name}-hint` });
  return { input, write, element: h("div", {}, h("label", { for: name }, label), h("p", { id: `${name}-hint`, class: "hint" }, hint), input) };
}

/** A number that may be empty; the slider beside it is for the mouse, keys work in the number. */
function score(name, label, changed) {
  const input = h("input", { type: "number", id: name, min: 0, max: 1, step: 0.05, inputmode: "decimal", placeholder: "–" });
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, tabindex: "-1", "aria-hidden": "true", class: "unset" });
  const follow = () => {
    slider.classList.toggle("unset", input.value === "");
    slider.value = input.value === "" ? 0.5 : input.value;
  };
  input.addEventListener("input", follow);
  follow();
  slider.addEventListener("input", () => { input.value = slider.value; follow(); changed(); });
  const valid = () => !input.validity.badInput && !input.validity.rangeOverflow && !input.validity.rangeUnderflow;
  return {
    input, label, valid,
    element: h("div", { class: "score" }, h("label", { for: name }, label), slider, input),
    read: () => (input.value === "" || !valid() ? null : Number(input.value)),
    write: (value) => { input.value = value ?? ""; follow(); },
  };
}

function correctionEditor(item, shown, changed) {
  const { input, write: put } = textArea({ id: "corrected_output", rows: 8, "aria-describedby": "correction-hint" });
  const changes = h("div", { class: "changes" });
  const back = () => { write(shown); changed(); input.focus(); };
  const reset = h("button", { type: "button", disabled: true, onclick: back }, "Reset the correction");
  let waiting = 0;
  const compare = () => {
    reset.disabled = input.value === shown;
    fill(changes, tooLong(input.value), input.value === shown ? h("p", { class: "muted" }, "No changes.") : showDiff(diffWords(shown, input.value)));
  };
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(compare, input.value.length + shown.length > LONG ? 500 : 100);
  });
  const write = (value) => { put(value); compare(); };
  write(shown);
  const hint = item.expected_output === null ? "Write what the answer should have been; without changes there is no correction."
    : "Change it where it is wrong; it goes with an approval.";
  return {
    input, write,
    read: () => (input.value === shown ? null : input.value),
    element: h("div", {},
      h("label", { for: input.id }, "Expected output"), h("p", { id: "correction-hint", class: "hint" }, hint), input,
      candidates(item, (value) => { write(value); changed(); input.focus(); }),
      h("div", { class: "changes-head" }, h("h3", {}, "Your changes"), reset), changes),
  };
}

function tooLong(value) {
  if (value.length <= MOST_CHARACTERS) return null;
  return h("p", { class: "notice" }, `This text has ${count([...value].length)} characters; the service takes at most ${count(MOST_CHARACTERS)}.`);
}

/** The texts that experts approved where they disagreed, in no order and without names. */
function candidates(item, use) {
  if (item.candidates.length === 0) return null;
  const offered = (one, place) => h("div", { class: "candidate" }, text(one, `Text ${place + 1}`),
    h("button", { type: "button", onclick: () => use(one) }, `Use text ${place + 1}`));
  return h("details", { open: true }, h("summary", {}, "Texts that experts approved"), item.candidates.map(offered));
}

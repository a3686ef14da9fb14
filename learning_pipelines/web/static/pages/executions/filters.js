/**
 * Filters of executions: their form, the address they stand in, the query they ask.
 *
 * Belongs here: names and values of filters. Not here: what they find (list.js).
 */

import { h } from "../../ui/dom.js";

const CATEGORIES = ["incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other"];
const ANY = ["", "Any"];
const TRUTH = [ANY, ["true", "With"], ["false", "Without"]];
const text = (label) => ({ label, make: (attributes) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes }) });
const date = (label) => ({ label, make: (attributes) => h("input", { type: "date", ...attributes }) });
const choice = (label, options) => ({
  label, make: (attributes) => h("select", attributes, options.map(([value, name]) => h("option", { value }, name))),
});

const FILTERS = {
  agent: text("Agent"), user: text("User"), session_id: text("Session"), prompt_version: text("Prompt version"), environment: text("Environment"),
  tag: text("Tag"),
  with_feedback: choice("Feedback", TRUTH),
  rating_max: choice("Rating", [ANY, ...[1, 2, 3, 4, 5].map((stars) => [String(stars), stars === 1 ? "1 star" : `1 to ${stars} stars`])]),
  issue: choice("Reported as", [ANY, ...CATEGORIES.map((name) => [name, name])]),
  corrected: choice("Correction", TRUTH),
  days: choice("Period", [["", "All time"], ["1", "Last 24 hours"], ["7", "Last 7 days"], ["30", "Last 30 days"], ["90", "Last 90 days"]]),
  after: date("From day"), before: date("Before day"),
};

/** What a query of the address holds of the filters. */
export const chosen = (query) => new URLSearchParams(Object.keys(FILTERS).flatMap((name) => (query.get(name) ? [[name, query.get(name)]] : [])));

/** As the route takes it: days of this place become moments. What is no day goes as it is: the route says what is wrong with it. */
export function asked(query) {
  const found = Object.fromEntries(chosen(query));
  for (const name of ["after", "before"]) {
    const day = /^\d{4}-\d{2}-\d{2}$/.test(found[name] ?? "") ? new Date(`${found[name]}T00:00:00`) : NaN;
    if (!Number.isNaN(Number(day))) found[name] = day.toISOString();
  }
  return found;
}

/**
 * @param {(query: URLSearchParams) => void} apply Called with what was chosen.
 * @returns {{element: HTMLElement, read: (query: URLSearchParams) => void, mark: (name: string | null) => void}} `read` fills the form; `mark` says that
 *   the value of a filter was refused.
 */
export function filters(apply) {
  const inputs = Object.fromEntries(Object.entries(FILTERS).map(([name, one]) => [name, one.make({ id: `filter-${name}`, name })]));
  const collect = (event) => {
    event.preventDefault();
    apply(chosen(new URLSearchParams(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]))));
  };
  const fields = Object.entries(FILTERS).map(([name, one]) => h("div", {}, h("label", { for: `filter-${name}` }, one.label), inputs[name]));
  const element = h("form", { onsubmit: collect, "aria-label": "Filters", class: "filters" }, h("div", { class: "fields" }, fields),
    h("div", { class: "bar" }, h("button", { class: "primary" }, "Filter"), h("a", { href: location.pathname, "data-here": true }, "Clear all filters")));
  const read = (query) => { for (const [name, input] of Object.entries(inputs)) set(input, query.get(name) ?? ""); };
  const mark = (name) => {
    for (const [of, input] of Object.entries(inputs)) input.toggleAttribute("aria-invalid", false), of === name && input.setAttribute("aria-invalid", "true");
    inputs[name]?.focus();
  };
  return { element, read, mark };
}

/** A value from an address that the form does not offer is offered too: what is filtered by is never hidden. */
function set(input, value) {
  if (input instanceof HTMLSelectElement && ![...input.options].some((option) => option.value === value)) input.append(h("option", { value }, value));
  input.value = input.type === "date" ? value.slice(0, 10) : value;
}

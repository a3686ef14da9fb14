/**
 * Words and units of experiments: states, decisions, values of each metric.
 *
 * Belongs here: wording that several modules of experiments share. Not here: elements of one experiment.
 */

import { h } from "../../ui/dom.js";
import { number, percent, points } from "../../ui/format.js";

export const STATES = ["draft", "running", "paused", "completed", "cancelled"];
export const DECISIONS = {
  adopt_treatment: "adopt the treatment", keep_control: "keep the control", inconclusive: "inconclusive", rollback: "roll back",
};
export const METRICS = [
  "thumbs", "rating", "thumbs_down_rate", "feedback_rate", "correction_rate", "latency_ms", "cost_usd", "refusal_rate",
  ...["incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other"].map((name) => `issue_rate:${name}`),
];

const LOOKS = { running: "good", paused: "warn", cancelled: "warn" };
export const stateBadge = (state) => h("span", { class: `badge ${LOOKS[state] ?? ""}` }, state);

const DIGITS = { rating: 2, latency_ms: 0, cost_usd: 4 };
const shares = (metric) => !(metric in DIGITS);

/** A mean of a metric. */
export const mean = (metric, value) => (shares(metric) ? percent(value) : number(value, DIGITS[metric]));

/** A difference in a metric, with its sign. */
export function difference(metric, value) {
  if (shares(metric)) return points(value);
  return value === null || value === undefined ? number(value) : `${value >= 0 ? "+" : "−"}${number(Math.abs(value), DIGITS[metric])}`;
}

/** An interval around a difference; an end that is not known yet is any. */
export function bounds(metric, low, high) {
  const end = (value) => (value === null || value === undefined ? "any" : difference(metric, value));
  return `[${end(low)}, ${end(high)}]`;
}

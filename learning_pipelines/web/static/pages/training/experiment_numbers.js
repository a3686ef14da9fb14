/**
 * The numbers of an experiment as elements: arms, sample ratio, comparisons, the step of a rollout, the sequential plot.
 *
 * Belongs here: from an answer to tables and charts. Not here: how a chart is drawn (ui/charts.js), words of metrics (experiment_words.js).
 */

import { chart } from "../../ui/charts.js";
import { h } from "../../ui/dom.js";
import { count, moment, number, percent } from "../../ui/format.js";
import { bounds, difference, mean } from "./experiment_words.js";

const cell = (value) => h("td", { class: "number" }, value);
const table = (caption, columns, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", {},
  h("caption", {}, caption), h("thead", {}, h("tr", {}, columns.map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))),
  h("tbody", {}, rows)));

/** Who is served what, how many were met, how they did. */
export function arms(one) {
  const since = one.started_at ? `since ${moment(one.started_at)}` : "not started";
  const version = (arm) => (one.subject !== "prompt" ? String(arm.version)
    : h("a", { href: `/training?${new URLSearchParams({ agent: one.agent, version: arm.version })}` }, String(arm.version)));
  return table(`Arms, ${since}`, ["Arm", "Version", "Share", "Units met", one.primary_metric], one.arms.map((arm) => h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, arm.variant)), cell(version(arm)), cell(percent(arm.weight, 0)), cell(count(arm.units)),
    cell(mean(one.primary_metric, arm.mean)))));
}

/** Whether the arms have the units that their shares give them. */
export function ratio(one) {
  const found = one.sample_ratio;
  if (!found || found.p === null) return null;
  const words = found.broken ? "The arms do not have their shares: nothing is adopted" : "The arms have their shares";
  const chance = ` p = ${number(found.p, found.p < 0.01 ? 6 : 2)}, which holds at any time`;
  return h("p", {}, h("span", { class: `badge ${found.broken ? "bad" : "good"}` }, words), h("span", { class: "hint" }, chance));
}

/** Every metric that is compared, with intervals that hold at every look at once. */
export function comparisons(one) {
  if (one.comparisons.length === 0) return null;
  const state = (found) => {
    if (found.harmed) return h("span", { class: "badge bad" }, "harm");
    if (!found.ready) return h("span", { class: "badge" }, "too few units");
    return found.conclusive ? h("span", { class: "badge good" }, "conclusive") : h("span", { class: "badge" }, "open");
  };
  const several = one.arms.length > 2;
  const row = (found) => h("tr", {},
    h("th", { scope: "row" }, found.metric, h("span", { class: "hint" }, ` ${found.role}`, several && [" · ", h("bdi", {}, found.variant)])),
    cell(mean(found.metric, found.mean_treatment)), cell(mean(found.metric, found.mean_control)), cell(difference(found.metric, found.difference)),
    cell(found.ready ? bounds(found.metric, found.low, found.high) : "no evidence"),
    cell(`${count(found.n_treatment)} / ${count(found.n_control)}`), cell(state(found)));
  return table("Treatment minus control, with intervals that hold at every look at once",
    ["Metric", "Treatment", "Control", "Difference", "Interval", "Units", "State"], one.comparisons.map(row));
}

/** Where a rollout is, and what its next step waits for. */
export function ramp(one) {
  if (one.kind !== "rollout") return null;
  const steps = h("ol", { class: "ramp", "aria-label": "Steps of the rollout" }, one.steps.map((share, at) => {
    const done = one.decision === "adopt_treatment" && one.ended_at;
    return h("li", { class: done || at < one.step ? "done" : null, "aria-current": !done && at === one.step ? "step" : null }, `${share} %`);
  }));
  if (!one.ramp) return steps;
  const { percent: now, next_percent: next, since, hours, hours_needed: needed, units, units_needed: wanted, waits } = one.ramp;
  const paused = one.state === "paused" ? ", paused" : "";
  return h("section", {}, h("h3", {}, `Rollout: ${now} % of the traffic since ${moment(since)}${paused}`), steps,
    needed > 0 && measure("Hours at this step", hours, needed, number(hours, 1)), measure("Units of the treatment with a value", units, wanted, count(units)),
    waits.length > 0 ? h("p", {}, `${next} % waits: `, waits.join(" ")) : h("p", {}, `Nothing holds it back: the next look takes it to ${next} %.`));
}

function measure(name, value, needed, written) {
  const full = needed ? Math.min(value, needed) : 1;
  return h("p", { class: "measure" }, h("span", {}, name), h("progress", { max: Math.max(needed, 1), value: full, "aria-label": name }),
    h("span", { class: "hint" }, `${written} of ${count(needed)}`));
}

/** The difference of a treatment and its interval at every look. */
export function plot(one, variant) {
  const looks = one.looks.filter((look) => look.treatments[variant]);
  const values = (name) => looks.map((look) => look.treatments[variant][name]);
  const reach = furthest([...values("difference"), ...values("low"), ...values("high")]);
  const given = {
    title: `${variant} minus control in ${one.primary_metric}, look by look`, labels: looks.map((look) => moment(look.at)), labelsName: "Look",
    series: [
      { name: "Difference", values: values("difference"), low: values("low"), high: values("high"), counts: values("n_treatment"), points: true },
    ],
    targets: [{ name: "No difference", value: 0 }], min: -reach, max: reach, write: (value) => difference(one.primary_metric, value),
    note: looks.length > 0 ? noted(looks) : "",
    empty: one.started_at ? "No look has seen values yet: the hourly job looks, or “Look now”." : "It has not been started.",
  };
  return { chart: given, make: () => chart(given) };
}

function noted(looks) {
  const period = `${moment(looks[0].at)} to ${moment(looks.at(-1).at)}`;
  return `${count(looks.length)} ${looks.length === 1 ? "look" : "looks"} that saw something new, ${period}; the interval holds at all of them at once.`;
}

/** The end of a scale around 0 that holds all values, a round number. */
function furthest(values) {
  const most = Math.max(1e-9, ...values.filter((value) => Number.isFinite(value)).map(Math.abs));
  const step = 10 ** Math.floor(Math.log10(most)) / 2;
  return Math.ceil(most / step) * step;
}

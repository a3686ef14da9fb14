/**
 * What the dashboard shows of an answer of GET /dashboard: built once, then changed in place, so that nothing moves that did not change.
 *
 * Belongs here: tiles, charts and tables, and their words. Not here: asking for numbers and when (learning-dashboard.js).
 */

import { chart } from "../ui/charts.js";
import { fill, h } from "../ui/dom.js";
import { count, day, interval, number, percent, points } from "../ui/format.js";
import { address, agentsTable, issuesTable } from "./dashboard-tables.js";

const DIMENSIONS = ["accuracy", "helpfulness", "clarity", "completeness"];
const signed = (value, write = count) => `${value < 0 ? "−" : "+"}${write(Math.abs(value))}`;
const shortDay = (text) => new Date(`${text}T00:00`).toLocaleDateString("en-GB", { day: "numeric", month: "short" });

/**
 * @param {string | null} pages Address of the service's pages, for links; null: no links.
 * @returns {{element: HTMLElement, update: (answer: object) => void, drawn: () => Promise<void>}}
 */
export function view(pages) {
  const tiles = Object.fromEntries(Object.keys(TILES).map((name) => [name, tile(TILES[name].title)]));
  const simulated = h("p", { class: "notice", hidden: true });
  const nothing = h("p", { class: "empty", hidden: true });
  const [rating, said, dimensions] = [ratingChart, feedbackChart, dimensionsChart].map((of) => chart(of(null)));
  const issues = issuesTable(), agents = agentsTable();
  const list = h("ul", { class: "tiles", "aria-label": "Numbers against their targets" }, Object.values(tiles).map((one) => one.element));
  const element = h("div", {},
    nothing, h("h2", {}, "At a glance"), list, simulated,
    h("h2", {}, "Trend"), h("div", { class: "columns" }, h("div", { class: "card" }, rating), h("div", { class: "card" }, said)),
    h("h2", {}, "What people say"), h("div", { class: "columns" }, h("div", { class: "card" }, dimensions), issues.element),
    agents.element);
  return {
    element,
    drawn: () => Promise.all([rating, said, dimensions].map((figure) => figure.drawn)),
    update(answer) {
      for (const [name, { show }] of Object.entries(TILES)) tiles[name].update(show(answer), pages);
      write(nothing, answer.executions || answer.feedback ? null : emptyPeriod(answer, pages));
      write(simulated, answer.simulated_feedback ? [
        `${count(answer.simulated_feedback)} of the ${count(answer.feedback)} feedback, ${period(answer)}, were marked as simulated by whoever sent them. `
        + "They are counted in every number here."] : null);
      rating.update(ratingChart(answer));
      said.update(feedbackChart(answer));
      dimensions.update(dimensionsChart(answer));
      issues.update(answer, pages);
      agents.update(answer, pages);
    },
  };
}

const period = ({ period: { first, last } }) => (first === last ? day(last) : `${day(first)} to ${day(last)}`);
const before = ({ period: { days } }) => (days === 1 ? "the day before" : `the ${days} days before`);

/** Shows content or hides its element; what did not change is not touched. */
function write(element, content) {
  const text = content === null ? "" : [content].flat().map((part) => part.textContent ?? part).join("");
  element.hidden = content === null;
  if (element.textContent !== text) fill(element, content);
}

function emptyPeriod(answer, pages) {
  return [
    answer.agents.length ? `Nothing was asked and nothing was said, ${period(answer)}. Choose a longer period, or `
      : "There is no agent yet. An administrator imports them: learning-pipelines import agents FILE. Then ",
    "send executions (POST /executions) and embed the widget <feedback-collector> where people read the answers. ",
    pages === null ? "" : h("a", { href: `${pages}/docs` }, "How to"),
  ];
}

/** One number with what it stands for. */
function tile(title) {
  const value = h("p", { class: "value" }), state = h("span", { class: "badge", hidden: true }), about = h("p", { class: "hint" });
  const change = h("p", { class: "hint", hidden: true }), link = h("a", { hidden: true });
  const element = h("li", { class: "tile" }, h("h3", {}, title), value, h("p", {}, state), about, change, h("p", {}, link));
  return {
    element,
    update(shown, pages) {
      write(value, shown.value);
      value.className = shown.none ? "value none" : "value";
      write(state, shown.state?.text ?? null);
      state.className = `badge ${shown.state?.kind ?? ""}`;
      write(about, shown.about);
      write(change, shown.change ?? null);
      write(link, pages !== null && shown.link ? shown.link.text : null);
      if (shown.link && pages !== null) link.href = address(pages, shown.link.path, shown.link.query);
    },
  };
}

/** Whether a value reaches its target: said only where the interval leaves no doubt. */
function held({ value, interval: around }, target, write_) {
  if (value === null) return null;
  if (around && around[0] <= target && target <= around[1]) return { text: `not told apart from target ${write_(target)}`, kind: "warn" };
  return { text: `${value >= target ? "above" : "below"} target ${write_(target)}`, kind: value >= target ? "good" : "bad" };
}

const counted = (value) => ({ value: count(value) });
const TILES = {
  pending: {
    title: "Examples waiting for review",
    show: (a) => ({ ...counted(a.examples.pending), about: "now", link: { text: "Annotate", path: "/annotate", query: { agent: a.agent } } }),
  },
  approved: { title: "Approved examples", show: (a) => ({ ...counted(a.examples.approved), about: "now" }) },
  collected: { title: "Examples collected today", show: (a) => ({ ...counted(a.examples.collected_today), about: today(a) }) },
  annotated: { title: "Annotations given today", show: (a) => ({ ...counted(a.examples.annotated_today), about: today(a) }) },
  rate: {
    title: "Feedback rate",
    show: (a) => ({
      value: percent(a.feedback_rate.value), none: a.feedback_rate.value === null,
      state: held(a.feedback_rate, a.targets.feedback_rate, (v) => percent(v, 0)),
      about: `of ${count(a.executions)} executions, ${period(a)}${around(a.feedback_rate, percent)}`,
      change: changed(a.feedback_rate.value, a.before.feedback_rate.value, points, a),
    }),
  },
  rating: {
    title: "Average rating (1 to 5)",
    show: (a) => ({
      value: number(a.average_rating.value), none: a.average_rating.value === null,
      state: held(a.average_rating, a.targets.average_rating, (v) => number(v, 1)),
      about: `of ${count(a.average_rating.n)} ratings, ${period(a)}${around(a.average_rating, number)}${weighted(a.average_rating)}`,
      change: changed(a.average_rating.value, a.before.average_rating.value, (v) => signed(v, number), a),
      link: { text: "Executions rated 2 or less", path: "/executions", query: { agent: a.agent, rating_max: 2, days: a.period.days } },
    }),
  },
  thumbs: {
    title: "Thumbs up",
    show: (a) => {
      const all = a.thumbs_up + a.thumbs_down;
      const about = `of ${count(all)} thumbs: ${count(a.thumbs_up)} up, ${count(a.thumbs_down)} down, ${period(a)}`;
      return { value: percent(all ? a.thumbs_up / all : null), none: !all, about };
    },
  },
  corrections: {
    title: "Corrections",
    show: (a) => ({
      ...counted(a.corrections), about: `of ${count(a.feedback)} feedback, ${period(a)}`, change: changed(a.corrections, a.before.corrections, signed, a),
    }),
  },
};

const today = ({ period: { last, timezone } }) => `on ${day(last)} (${timezone})`;
const around = (value, format) => (value.interval ? `; 95 % interval ${interval(value.interval[0], value.interval[1], format)}` : "");
const weighted = ({ value, weighted: other }) => (other !== null && number(other) !== number(value) ? `; ${number(other)} with raters weighted` : "");
const changed = (now, then, format, answer) => (now === null || then === null ? null : `${format(now - then)} against ${before(answer)}`);

function ratingChart(answer) {
  const days = answer?.trend ?? [];
  const of = (at) => days.map(({ average_rating: one }) => at(one));
  return {
    title: "Average rating per day", labels: days.map((one) => shortDay(one.day)), labelsName: "Day", min: 1, max: 5,
    targets: answer ? [{ name: `target ${number(answer.targets.average_rating, 1)}`, value: answer.targets.average_rating }] : [],
    series: [{
      name: "Mean", values: of((one) => one.value), counts: of((one) => one.n),
      low: of((one) => one.interval?.[0] ?? null), high: of((one) => one.interval?.[1] ?? null),
    }],
    note: answer && `${count(answer.average_rating.n)} ratings, ${period(answer)}; the band is each day's 95 % interval.`,
    empty: "Nobody gave stars in this period: the widget offers them beside the thumbs.",
  };
}

function feedbackChart(answer) {
  const days = answer?.trend ?? [];
  return {
    title: "Feedback per day", kind: "stacked", labels: days.map((one) => shortDay(one.day)), labelsName: "Day", write: count,
    series: [
      { name: "Thumbs up", color: "good", values: days.map((one) => one.thumbs_up) },
      { name: "Thumbs down", color: "bad", values: days.map((one) => one.thumbs_down) },
      { name: "Other", color: "accent", values: days.map((one) => one.feedback - one.thumbs_up - one.thumbs_down) },
    ].map((one) => ({ ...one, values: answer?.feedback ? one.values : [] })),
    note: answer && `${count(answer.feedback)} feedback about ${count(answer.executions)} executions, ${period(answer)}.`,
    empty: "Nobody said anything in this period.",
  };
}

function dimensionsChart(answer) {
  const of = (part) => DIMENSIONS.map((name) => answer?.dimensions[name]?.[part] ?? null);
  return {
    title: "Dimensions", kind: "bar", horizontal: true, labels: DIMENSIONS, labelsName: "Dimension", min: 1, max: 5,
    series: [{ name: "Mean (1 to 5)", values: of("mean"), counts: of("n") }],
    note: answer && `${DIMENSIONS.map((name) => `${name} n = ${count(answer.dimensions[name].n)}`).join(", ")}; ${period(answer)}.`,
    empty: "Nobody rated a dimension in this period.",
  };
}

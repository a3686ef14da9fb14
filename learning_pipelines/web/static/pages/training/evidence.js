/**
 * The evidence of a proposal: scores of both sides, the difference with its interval as a picture, parts under guard, further metrics.
 *
 * Belongs here: from stored evidence to elements, for every kind. Not here: deciding (review.js), what changed (changes.js).
 */

import { h } from "../../ui/dom.js";
import { count, interval, number, percent } from "../../ui/format.js";
import { badge, table } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const known = (value) => Number.isFinite(value);
const signed = (value) => (known(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}` : "no evidence");
const chance = (value) => (known(value) ? (value < 0.001 ? value.toExponential(1) : value.toFixed(3)) : "no evidence");

/** Everything that the evidence holds, as elements. `metric`: what its scores are, where that is known. */
export function evidence(found, metric = "") {
  if (!known(found.difference) && !known(found.n)) return h("p", { class: "muted" }, found.reason ?? "No numbers were stored with this proposal.");
  return h(
    "div",
    { class: "evidence" },
    found.reason && h("p", {}, found.reason),
    picture(found),
    scores(found, metric),
    details(found),
    guards(found.guards ?? []),
    metrics(found),
    shuffled(found),
  );
}

function scores(found, metric) {
  const score = (value) => ({ number: number(value, 3) });
  return table(
    "Scores on held-out items",
    ["Scores", { number: "Mean" }, { number: "Higher on" }],
    [
      [
        "What it was measured against",
        score(found.incumbent_mean),
        { number: known(found.losses) ? `${count(found.losses)} of ${count(found.n)} items` : "–" },
      ],
      ["The candidate", score(found.candidate_mean), { number: known(found.wins) ? `${count(found.wins)} of ${count(found.n)} items` : "–" }],
      [
        `Difference${metric ? ` in ${metric}` : ""}`,
        { number: h("strong", {}, signed(found.difference)) },
        { number: interval(found.low, found.high, signed) },
      ],
    ],
  );
}

function details(found) {
  const facts = [
    ["Items", count(found.n)],
    ["p of “not better”", chance(found.p_value)],
    ["Level of this test", chance(found.alpha)],
    ["Test on these items", known(found.k) ? `number ${found.k}` : null],
    ["Method", found.method ?? null],
    ["Smallest gain worth it", known(found.min_effect) ? signed(found.min_effect) : null],
    ["Power for a gain of " + number(found.planned_effect), known(found.power) ? percent(found.power, 0) : null],
    ["Items missing for 80 % power", known(found.missing) ? count(found.missing) : null],
    ["Training loss", known(found.training_loss) ? number(found.training_loss, 3) : null],
  ].filter(([, value]) => value !== null);
  return h(
    "dl",
    { class: "facts" },
    facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function guards(found) {
  if (!found.length) return null;
  const rows = found.map((one) => [
    one.name,
    { number: count(one.n) },
    { number: number(one.incumbent_mean, 3) },
    { number: number(one.candidate_mean, 3) },
    { number: signed(one.difference) },
    { number: signed(one.low) },
    badge(one.state),
  ]);
  return [
    h("h4", {}, "Parts that must not be harmed"),
    table(
      "Parts that must not be harmed",
      ["Part", { number: "Items" }, { number: "Before" }, { number: "Candidate" }, { number: "Difference" }, { number: "Lower bound" }, "Guard"],
      rows,
    ),
  ];
}

/** Further metrics of both sides (indexes), or of several (fine-tuned models). */
function metrics(found) {
  if (found.metrics && found.incumbent_metrics) {
    const names = Object.keys(found.metrics).filter((name) => known(found.metrics[name]));
    return (
      names.length > 0 && [
        h("h4", {}, "All metrics"),
        table(
          "All metrics",
          ["Metric", { number: "Before" }, { number: "Candidate" }],
          names.map((name) => [name, { number: number(found.incumbent_metrics[name], 3) }, { number: number(found.metrics[name], 3) }]),
        ),
      ]
    );
  }
  if (!found.scores) return null;
  const rows = Object.entries(found.scores)
    .filter(([, one]) => known(one?.mean))
    .map(([name, one]) => [name, { number: number(one.mean, 3) }, { number: interval(one.low, one.high) }, { number: count(one.items) }]);
  return (
    rows.length > 0 && [
      h("h4", {}, "All sides"),
      table("All sides", ["Side", { number: "Mean" }, { number: "95 % interval" }, { number: "Items" }], rows),
    ]
  );
}

function shuffled({ control }) {
  if (!known(control?.difference)) return null;
  return h(
    "p",
    { class: "hint" },
    `Its control, which learnt from shuffled answers, differs from what serves by ${signed(control.difference)} ` +
      `${interval(control.low, control.high, signed)} (n = ${count(control.n)}).`,
  );
}

/** Difference and interval on a line from −1 to 1 (or as far as they reach), with 0 and the smallest gain that is worth it. */
function picture({ difference, low, high, min_effect: least = 0, alpha }) {
  if (![difference, low, high].every(known)) return null;
  const reach = Math.min(1, 1.15 * Math.max(Math.abs(low), Math.abs(high), Math.abs(least), 0.05));
  const at = (value) => 300 + 280 * Math.max(-1, Math.min(1, value / reach));
  const draw = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const where = low > 0 ? "above 0" : high < 0 ? "below 0" : "0 lies within";
  const label = `Difference ${signed(difference)}, interval ${interval(low, high, signed)}: ${where}.`;
  const image = draw("svg", {
    viewBox: "0 0 600 60",
    role: "img",
    "aria-label": label,
    class: `interval ${low > 0 ? "good" : high < 0 ? "bad" : ""}`,
  });
  image.append(draw("line", { x1: 20, x2: 580, y1: 30, y2: 30, class: "axis" }), draw("line", { x1: 300, x2: 300, y1: 8, y2: 52, class: "zero" }));
  if (least > 0) image.append(draw("line", { x1: at(least), x2: at(least), y1: 8, y2: 52, class: "least" }));
  image.append(
    draw("line", { x1: at(low), x2: at(high), y1: 30, y2: 30, class: "range" }),
    draw("line", { x1: at(low), x2: at(low), y1: 20, y2: 40, class: "range" }),
    draw("line", { x1: at(high), x2: at(high), y1: 20, y2: 40, class: "range" }),
    draw("circle", { cx: at(difference), cy: 30, r: 7, class: "point" }),
  );
  const bounds = known(alpha) ? ` Each end of the interval holds with ${percent(1 - alpha, 2)}.` : "";
  const ends = h(
    "div",
    { class: "ends", "aria-hidden": "true" },
    [signed(-reach), "0", signed(reach)].map((text) => h("span", {}, text)),
  );
  return h(
    "figure",
    { class: "difference" },
    image,
    ends,
    h("figcaption", { class: "hint" }, `The candidate's gain, ${least > 0 ? "0 and the smallest gain worth it (dashed)" : "and 0"}.${bounds}`),
  );
}

/**
 * One experiment: what it compares, what it has seen, where it stands, and what may be done with it.
 *
 * Belongs here: reading and showing one. Not here: its numbers (experiment_numbers.js), actions (experiment_actions.js).
 */

import { segment } from "../../client/learning.js";
import { assetLink, intoDagster } from "../../ui/dagster.js";
import { fill, h } from "../../ui/dom.js";
import { count, moment } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { actions } from "./experiment_actions.js";
import { arms, comparisons, plot, ramp, ratio } from "./experiment_numbers.js";
import { DECISIONS } from "./experiment_words.js";

/**
 * An experiment as an element that is filled by `load(id)`, also anew: nothing closes or loses its focus where nothing changed. `lives()`: it may
 * change.
 * @param {object} context Of the page. @param {(one: object) => void} shown Called with every answer.
 */
export function experiment(context, shown) {
  const [head, numbers, drawn, said] = Array.from({ length: 4 }, () => h("div", {}));
  const does = h("div", { class: "spaced" });
  let found = null;

  async function load(id) {
    try {
      show(await context.client.request("GET", `/experiments/${segment(id)}`));
    } catch (error) {
      fill(said, problem(error));
    }
  }

  function show(now) {
    const before = found;
    found = now;
    shown(now);
    fill(said);
    fill(head, facts(now), standing(now), ramp(now));
    fill(numbers, ratio(now), arms(now), comparisons(now));
    for (const treatment of now.arms.slice(1)) drawPlot(now, treatment.variant);
    if (before === null || before.state !== now.state) fill(does, actions(context, now, after));
  }

  function drawPlot(now, variant) {
    const given = plot(now, variant);
    const there = drawn.querySelector(`[data-variant="${CSS.escape(variant)}"]`);
    if (there) return there.update(given.chart);
    const figure = given.make();
    figure.dataset.variant = variant;
    return drawn.append(figure);
  }

  /** What an action answered. */
  function after(answer, announcement) {
    show(answer);
    context.announce(announcement);
  }

  const lives = () => found !== null && ["running", "paused"].includes(found.state);
  const dagster = h("p", { class: "hint" }, "In Dagster: ", intoDagster(assetLink("experiment_decisions"), "decisions"), ", ",
    intoDagster(assetLink("experiment_metrics"), "values of units"), ".");
  return { element: h("div", {}, said, head, drawn, numbers, does, dagster), load, lives };
}

function facts(one) {
  const known = [
    ["Agent", h("bdi", {}, one.agent)], ["Compares", `versions of the ${one.subject} by ${one.unit}`], ["Decides by", one.primary_metric],
    ["Watches", one.guardrails.length > 0 && one.guardrails.join(", ")], ["Made", moment(one.created_at)],
    ["Started", one.started_at && moment(one.started_at)], ["Ended", one.ended_at && moment(one.ended_at)], ["Adopts at the earliest", earliest(one)],
    ["Exclusion group", one.exclusion_group && h("bdi", {}, one.exclusion_group)],
    ["Proposal", one.proposal_id && h("a", { href: training({ agent: one.agent, proposal: one.proposal_id }) }, "its review")],
  ];
  return h("dl", { class: "facts" }, known.map(([name, value]) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const training = (query) => `/training?${new URLSearchParams(query)}`;

function earliest(one) {
  return one.kind === "experiment" && `after ${count(one.min_duration_hours)} hours and with ${count(one.min_sample_size)} units in each arm`;
}

/** What was decided, or what the values lead to now, with the reason. */
function standing(one) {
  const notice = (decision, words, ...more) => h("p", { class: "notice" }, h("strong", {}, words, DECISIONS[decision]), " ", more);
  if (one.ending) {
    const by = h("span", { class: "hint" }, " (", h("bdi", {}, one.ending.decided_by), `, ${moment(one.ending.at)})`);
    return notice(one.ending.decision, "Decided: ", h("span", { dir: "auto" }, one.ending.reason), by);
  }
  if (one.state === "cancelled") return h("p", { class: "notice" }, h("strong", {}, "Aborted"), " without a decision: everybody gets what serves.");
  if (!one.verdict) return h("p", { class: "hint" }, "It serves nobody before it is started.");
  return notice(one.verdict.decision, "So far: ", one.verdict.reason, longer(one.verdict.longer));
}

function longer(missing) {
  if (!missing?.units || missing.unit_hours === null) return null;
  const hours = Math.ceil(missing.unit_hours);
  return ` At the pace so far the units take about ${count(hours)} more ${hours === 1 ? "hour" : "hours"}.`;
}

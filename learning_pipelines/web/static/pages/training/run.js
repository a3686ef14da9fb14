/**
 * One attempt to learn: what it measured, the candidates it tried, its evaluations, what models were asked for, what it proposed.
 *
 * Belongs here: one training run as an element. Not here: lists of runs (runs.js).
 */

import { segment } from "../../client/learning.js";
import { h } from "../../ui/dom.js";
import { count, interval, number } from "../../ui/format.js";
import { badge, capital, dagsterRun, table } from "./common.js";

/**
 * @param {object} context @param {string} id Of the training run. @param {AbortSignal} [signal]
 * @param {number} [level] Which heading its title is.
 * @returns {Promise<HTMLElement>}
 */
export async function runDetails(context, id, signal, level = 4) {
  const run = await context.client.request("GET", `/training-runs/${segment(id)}`, { signal });
  const part = run.part ? ` (${run.part.replaceAll("_", " ")})` : "";
  const title = `${capital(run.training_type.replaceAll("_", " "))}${part}${run.agent ? ` of ${run.agent}` : ""}`;
  return h(
    "div",
    { class: "training-run" },
    h(`h${level}`, {}, title),
    h("p", { class: "meta" }, badge(run.status), " ", review(run), " ", dagsterRun(run.run_id)),
    run.error && h("p", {}, run.error),
    run.review_notes && h("p", { dir: "auto" }, h("strong", {}, "Notes: "), run.review_notes),
    run.proposals.length > 0 &&
      h(
        "p",
        {},
        "What it proposed: ",
        run.proposals.map((one, at) => [
          at > 0 && ", ",
          h("a", { href: `?tab=proposals&proposal=${encodeURIComponent(one)}` }, `proposal ${one.slice(0, 8)}`),
        ]),
      ),
    search(run.metrics.search),
    candidates(run.candidates, level + 1),
    evaluations(run.evaluations, level + 1),
    usage(run.usage, level + 1),
    others(run),
  );
}

const review = ({ requires_review: needed, review_status: state }) => (needed && state ? h("span", { class: "hint" }, `review ${state}`) : null);

function search(found) {
  if (!found) return null;
  return [
    h(
      "p",
      {},
      `The search compared ${count(found.compared)} prompts with ${count(found.evaluations)} answers`,
      found.cached_evaluations ? ` (${count(found.cached_evaluations)} more were known).` : ".",
      found.stopped && ` How it ended: ${found.stopped}`,
    ),
    found.caveat && h("p", { class: "notice" }, found.caveat),
  ];
}

function candidates(found, level) {
  if (!found.length) return null;
  const name = (one) => [one.name, one.note && h("div", { class: "hint", dir: "auto" }, one.note)];
  return [
    h(`h${level}`, {}, `Candidates (${count(found.length)}${found.length === 200 ? ", the best" : ""})`),
    table(
      "Candidates of the search on validation items",
      ["Candidate", "Strategy", { number: "Score" }, { number: "Items" }, { number: "Tokens a call" }, "How it ended"],
      found.map((one) => [
        name(one),
        one.strategy,
        { number: number(one.score, 3) },
        { number: count(one.items) },
        { number: number(one.input_tokens, 0) },
        [one.winner && h("span", { class: "badge good" }, "winner"), " ", one.outcome],
      ]),
    ),
  ];
}

function evaluations(found, level) {
  if (!found.length) return null;
  return [
    h(`h${level}`, {}, "On held-out items"),
    table(
      "Evaluations",
      ["Prompt", "Split", "Metric", { number: "Score" }, { number: "95 % interval" }, { number: "Items" }, { number: "Without answer" }],
      found.map((one) => [
        one.version === null ? "candidate" : `version ${one.version}`,
        one.split,
        one.metric,
        { number: number(one.score, 3) },
        { number: interval(one.low, one.high) },
        { number: count(one.items) },
        { number: count(one.faults) },
      ]),
    ),
  ];
}

function usage(found, level) {
  if (!found.length) return null;
  return [
    h(`h${level}`, {}, "What models were asked for"),
    table(
      "What models were asked for",
      ["Role", "Model", { number: "Answers" }, { number: "Known before" }, { number: "Tokens in" }, { number: "Tokens out" }, { number: "Cost" }],
      found.map((one) => [
        one.role,
        one.model,
        { number: count(one.answers) },
        { number: count(one.cache_hits) },
        { number: count(one.input_tokens) },
        { number: count(one.output_tokens) },
        { number: one.cost_usd === null ? "price not known" : `$${one.cost_usd.toFixed(2)}` },
      ]),
    ),
  ];
}

/** What else was measured, as it is stored. */
function others({ metrics, best_metrics: best }) {
  const rest = Object.fromEntries(Object.entries(metrics).filter(([name]) => name !== "search"));
  if (!Object.keys(rest).length && !Object.keys(best).length) return null;
  return h(
    "details",
    {},
    h("summary", {}, "Everything that was measured"),
    h(
      "pre",
      { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Everything that was measured" },
      JSON.stringify({ best, ...rest }, null, 2),
    ),
  );
}

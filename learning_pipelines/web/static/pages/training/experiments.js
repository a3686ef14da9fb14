/**
 * Experiments of an agent, or of all: a section of the page Training.
 *
 * Belongs here: the list and what is open of it. Not here: one experiment (experiment.js), making one (experiment_form.js), the tabs around it
 * (../training.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { ago, count } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { experiment } from "./experiment.js";
import { creating } from "./experiment_form.js";
import { DECISIONS, STATES, stateBadge } from "./experiment_words.js";

const REFRESH = 20_000;
const MOST_SHOWN = 50;

/**
 * The section as an element; it reads its rows itself. It is made anew whenever the tab is opened or another agent is chosen.
 * The one that the address names by `experiment` is open, else the newest that runs.
 *
 * @param {object} context As `page` in ui/shell.js gives it.
 * @param {string | null} agent Slug of the agent that is chosen; null: every agent.
 * @returns {HTMLElement}
 */
export function experiments(context, agent) {
  if (!context.can("experimenter")) {
    return h("p", { class: "empty" }, `Experiments are for the role experimenter; you are signed in with the role ${context.session.role}.`);
  }
  const [rows, said] = [h("ol", { class: "plain" }), h("div", {})];
  const state = h("select", { id: "experiment-state" }, h("option", { value: "" }, "All states"), STATES.map((name) => h("option", {}, name)));
  let turn = 0;
  const load = async (open = new URLSearchParams(location.search).get("experiment")) => {
    const mine = (turn += 1);
    try {
      const found = (await context.client.request("GET", "/experiments", { query: { agent, state: state.value } })).experiments;
      const entries = await listed(context, found, open);
      if (mine !== turn) return; // an answer about the state chosen before
      fill(said, summary(found, state.value));
      fill(rows, entries);
    } catch (error) {
      if (mine === turn) fill(said, problem(error), h("button", { type: "button", onclick: () => load() }, "Try again"));
    }
  };
  state.addEventListener("change", () => load(null));
  load();
  return h("section", {}, h("h2", {}, "Experiments and rollouts"),
    h("div", { class: "bar" }, h("div", {}, h("label", { for: state.id }, "State"), h("br"), state)), creating(context, agent, load), said, rows);
}

function summary(found, state) {
  if (found.length > 0) {
    const shown = found.length > MOST_SHOWN ? `, the newest ${MOST_SHOWN} are shown` : "";
    return h("p", { class: "hint" }, `${count(found.length)} ${found.length === 1 ? "experiment" : "experiments"}, newest first${shown}.`);
  }
  return h("p", { class: "empty" }, state
    ? `No experiment is ${state}.`
    : "There is no experiment yet. Make one above, or approve a proposal as a canary: it comes to 1, 5, 25, 50 and 100 % of the traffic.");
}

/** Entries of the list. The one that was asked for is read by its id where the list does not hold it. */
async function listed(context, found, wanted) {
  const shown = found.slice(0, MOST_SHOWN);
  let missing = null;
  if (wanted && !shown.some((one) => one.id === wanted)) {
    try {
      shown.unshift(await context.client.request("GET", `/experiments/${segment(wanted)}`));
    } catch (error) {
      missing = problem(error);
    }
  }
  const open = wanted ?? shown.find((one) => one.state === "running")?.id;
  return [missing && h("li", {}, missing), shown.map((one) => h("li", {}, entry(context, one, one.id === open)))];
}

function entry(context, one, open) {
  const head = h("summary", {}, titled(one));
  const body = experiment(context, (now) => fill(head, titled(now)));
  const details = h("details", { class: "card", open }, head, body.element);
  const read = () => details.open && body.load(one.id);
  details.addEventListener("toggle", read);
  const timer = setInterval(() => {
    if (!details.isConnected) clearInterval(timer);
    else if (details.open && !document.hidden && body.lives()) read();
  }, REFRESH);
  return details;
}

function titled(one) {
  const decision = one.ending?.decision ?? one.verdict?.decision ?? one.decision;
  return [h("strong", {}, h("bdi", {}, one.name)), " ", stateBadge(one.state), " ", decision && h("span", { class: "badge" }, DECISIONS[decision]), " ",
    h("span", { class: "hint" }, h("bdi", {}, one.agent), ` · ${one.kind}${step(one)} · ${when(one)} · ${units(one)}`)];
}

const step = (one) => (one.kind === "rollout" && !one.ended_at ? ` at ${one.steps[one.step]} %` : "");

function when(one) {
  if (one.ended_at) return `ended ${ago(one.ended_at)}`;
  return one.started_at ? `started ${ago(one.started_at)}` : `made ${ago(one.created_at)}`;
}

const units = (one) => `${count(one.arms.reduce((sum, arm) => sum + arm.units, 0))} units so far`;

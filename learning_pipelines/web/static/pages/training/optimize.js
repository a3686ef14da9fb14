/**
 * Starting prompt optimization for one agent: goals, budget, what came of it.
 *
 * Belongs here: the form. Not here: the list of runs (runs.js).
 */

import { fill, h } from "../../ui/dom.js";
import { problem } from "../../ui/shell.js";
import { dagsterRun } from "./common.js";

const GOALS = [
  ["accuracy", "Accuracy"],
  ["clarity", "Clarity"],
  ["completeness", "Completeness"],
];

/**
 * @param {object} context @param {{agent: string | null, agents: object[]}} state
 * @param {() => Promise<void>} started Called when a run was queued.
 */
export function optimize(context, { agent, agents }, started) {
  const said = h("div", {});
  const select = h(
    "select",
    { id: "optimize-agent", required: true },
    agents.map((one) => h("option", { value: one.agent, selected: one.agent === agent }, one.agent)),
  );
  const goals = GOALS.map(([name, title]) => [
    name,
    title,
    h("input", { type: "number", id: `goal-${name}`, min: 0, max: 1, step: 0.1, placeholder: "usual" }),
  ]);
  const budget = h("input", {
    type: "number",
    id: "budget",
    min: 1,
    max: 1_000_000,
    step: 1,
    placeholder: "usual",
    "aria-describedby": "budget-help",
  });
  const button = h("button", { class: "primary" }, "Start prompt optimization");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const weights = Object.fromEntries(goals.filter(([, , input]) => input.value !== "").map(([name, , input]) => [name, Number(input.value)]));
      const body = {
        agent_id: select.value,
        optimization_goals: Object.keys(weights).length ? weights : undefined,
        budget: budget.value ? Number(budget.value) : undefined,
      };
      const { run_id: run } = await context.client.request("POST", "/optimize-prompt", { body });
      fill(
        said,
        h("div", { class: "notice", role: "status" }, `The run of ${select.value} waits in the queue: `, dagsterRun(run, run.slice(0, 8)), "."),
      );
      await started();
    } catch (error) {
      if (error.status === 503) error.title = "Not started";
      fill(said, problem(error));
    } finally {
      button.disabled = false;
    }
  };
  return h(
    "details",
    { class: "card", open: false },
    h("summary", {}, "Start prompt optimization"),
    h(
      "form",
      { onsubmit: submit },
      h(
        "div",
        { class: "bar" },
        h("div", {}, h("label", { for: "optimize-agent" }, "Agent to optimize"), h("br"), select),
        goals.map(([, title, input]) => h("div", {}, h("label", { for: input.id }, `Weight of ${title.toLowerCase()}`), h("br"), input)),
        h("div", {}, h("label", { for: "budget" }, "Most calls of the model"), h("br"), budget),
      ),
      h(
        "p",
        { class: "hint", id: "budget-help" },
        "Weights (0 to 1) are what a judge weighs; they count where the agent's metric is a judge. Left empty: the usual ones. " +
          "Nothing that is found serves before it is approved.",
      ),
      button,
      said,
    ),
  );
}

/**
 * The section Runs: runs of the jobs with their progress, live while one is under way, and starting prompt optimization.
 *
 * Belongs here: the list, joining Dagster's runs with what the database knows of them. Not here: one run (run.js), the form (optimize.js).
 */

import { fill, h } from "../../ui/dom.js";
import { count, moment, percent } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { again, badge, capital, dagsterRun } from "./common.js";
import { optimize } from "./optimize.js";
import { runDetails } from "./run.js";

const [SOON, LATER] = [3, 20];
const under = (run) => run.status === "running" || run.status === "pending";

/** @param {object} context @param {{agent: string | null, agents: object[], run?: string}} state @param {AbortSignal} signal */
export async function runs(context, state, signal) {
  const list = new RunList(context, state.agent, signal);
  await list.look();
  again(
    signal,
    () => (list.running ? SOON : LATER),
    () => list.look(),
  );
  return h(
    "div",
    {},
    state.run && (await linked(context, state.run, signal)),
    optimize(context, state, () => list.look()),
    list.element,
  );
}

/** The run that the address names, by its own id or by Dagster's. */
async function linked(context, id, signal) {
  const place = h(
    "section",
    { class: "card linked", "aria-labelledby": "linked-run" },
    h("h2", { id: "linked-run", tabindex: "-1" }, "The run of this link"),
  );
  try {
    place.append(await runDetails(context, await trainingRun(context, id, signal), signal, 3));
  } catch (error) {
    if (![404, 422].includes(error.status)) place.append(problem(error));
    else
      place.append(
        h(
          "p",
          { class: "muted" },
          "No attempt to learn is known by this id: the run was of another kind, was skipped, or is gone. ",
          dagsterRun(id, "Look in Dagster"),
        ),
      );
  }
  requestAnimationFrame(() => {
    place.scrollIntoView({ block: "start" });
    place.querySelector("h2").focus({ preventScroll: true });
  });
  return place;
}

async function trainingRun(context, id, signal) {
  const { training_runs: found } = await context.client.request("GET", "/training-runs", { query: { run_id: id }, signal });
  return found[0]?.id ?? id;
}

/** The list, which keeps its rows (and which of them are open) while their numbers change. */
class RunList {
  constructor(context, agent, signal) {
    Object.assign(this, { context, agent, signal, rows: new Map(), limit: 20, running: false });
    this.said = h("div", {});
    this.body = h("div", { class: "runs" });
    this.more = h(
      "button",
      {
        type: "button",
        onclick: () => {
          this.limit = Math.min(100, this.limit * 2);
          return this.look();
        },
      },
      "Show older ones",
    );
    this.element = h("section", { "aria-labelledby": "runs-heading" }, h("h2", { id: "runs-heading" }, "Runs"), this.said, this.body, this.more);
  }

  async look() {
    try {
      const [found, away] = await this.read();
      this.running = found.some(under);
      if (this.away !== (this.away = away?.message))
        fill(
          this.said,
          away &&
            h(
              "div",
              { class: "notice", role: "status" },
              h("strong", {}, "Dagster is away. "),
              away.message,
              " Until then this list holds what the database knows: attempts to learn, without runs that were skipped.",
            ),
        );
      this.draw(found);
    } catch (error) {
      if (this.signal.aborted) return;
      this.away = null;
      fill(this.said, problem(error));
    }
  }

  /** [runs, why Dagster's are missing]. */
  async read() {
    const { client } = this.context;
    const get = (path, query) => client.request("GET", path, { query, signal: this.signal });
    try {
      const { runs: found } = await get("/runs", { agent: this.agent, limit: this.limit });
      return [await this.joined(found), null];
    } catch (error) {
      if (error.status !== 503) throw error;
      const { training_runs: known } = await get("/training-runs", { agent: this.agent, limit: this.limit });
      return [known.map(ofDatabase), error];
    }
  }

  /** Dagster's runs with the attempts to learn that belong to them: finer progress, answers, cost. */
  async joined(found) {
    const ids = found.map((run) => run.run_id);
    if (!ids.length) return [];
    const query = new URLSearchParams(ids.map((id) => ["run_id", id]));
    const { training_runs: known } = await this.context.client.request("GET", `/training-runs?${query}&limit=200`, { signal: this.signal });
    return found.map((run) => ({ ...run, training: known.filter((one) => one.run_id === run.run_id) }));
  }

  draw(found) {
    this.more.hidden = found.length < this.limit || this.limit >= 100;
    const wanted = found.map((run) => {
      const row = this.rows.get(run.run_id) ?? new RunRow(this.context, this.signal);
      this.rows.set(run.run_id, row);
      row.show(run);
      return row.element;
    });
    if (!wanted.length) {
      fill(
        this.body,
        h(
          "p",
          { class: "empty" },
          `No run ${this.agent ? `of ${this.agent} ` : ""}yet. The jobs run by their schedules; prompt optimization can be started above.`,
        ),
      );
    } else if (wanted.length !== this.body.children.length || wanted.some((element, at) => this.body.children[at] !== element)) {
      this.body.replaceChildren(...wanted);
    }
  }
}

const ofDatabase = (one) => ({
  run_id: one.run_id ?? one.id,
  in_dagster: Boolean(one.run_id),
  job: one.training_type,
  agent: one.agent,
  status: one.status,
  outcome: null,
  reason: one.status === "failed" ? null : one.error,
  progress: one.progress,
  created_at: one.created_at,
  started_at: one.started_at,
  ended_at: one.completed_at,
  training: [one],
});

/** One run: a line that changes in place, and its details on demand. */
class RunRow {
  constructor(context, signal) {
    Object.assign(this, { context, signal, shown: "" });
    this.line = h("div", {});
    this.inside = h("div", {});
    this.details = h(
      "details",
      { hidden: true, ontoggle: () => this.details.open && this.load() },
      h("summary", {}, "Numbers of this run"),
      this.inside,
    );
    this.element = h("article", { class: "card run" }, this.line, this.details);
  }

  show(run) {
    const text = JSON.stringify(run);
    if (text === this.shown) return;
    const ended = this.run && under(this.run) && !under(run);
    [this.run, this.shown] = [run, text];
    const title = `${capital(run.job.replaceAll("_", " "))}${run.agent ? ` of ${run.agent}` : ""}`;
    this.element.setAttribute("aria-label", title);
    fill(
      this.line,
      h("h3", {}, title),
      h(
        "p",
        { class: "meta" },
        badge(run.outcome === "skipped" ? "skipped" : run.status),
        " ",
        h("span", { class: "hint" }, times(run), run.in_dagster !== false && dagsterLinkOf(run)),
      ),
      under(run) && this.progress(run),
      why(run.training),
      run.reason && h("p", {}, run.outcome === "skipped" ? "Skipped: " : "", run.reason),
      costs(run.training),
    );
    this.details.hidden = !run.training?.length;
    if (ended) this.context.announce(`${title}: ${run.outcome ?? run.status}`);
    if (this.details.open) this.load();
  }

  progress({ progress, status, training }) {
    const share = Math.max(progress, ...(training ?? []).map((one) => (one.status === "running" ? one.progress : 0)));
    return h(
      "p",
      {},
      h("progress", { max: 1, value: status === "pending" ? null : share, "aria-label": "Progress" }),
      " ",
      status === "pending" ? "waits in the queue" : `${percent(share, 0)} done`,
    );
  }

  async load() {
    try {
      const drawn = await Promise.all(this.run.training.map((one) => runDetails(this.context, one.id, this.signal)));
      fill(this.inside, drawn);
    } catch (error) {
      if (!this.signal.aborted) fill(this.inside, problem(error));
    }
  }
}

/** Why attempts to learn that belong to a run failed. */
const why = (training) => (training ?? []).filter((one) => one.status === "failed" && one.error).map((one) => h("p", {}, "Failed: ", one.error));

const dagsterLinkOf = (run) => [" · ", dagsterRun(run.run_id)];

function times({ created_at: created, started_at: started, ended_at: ended }) {
  if (!started) return `asked for ${moment(created)}`;
  if (!ended) return `since ${moment(started)}`;
  const seconds = Math.max(0, (new Date(ended) - new Date(started)) / 1000);
  const took = seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  return `${moment(started)}, took ${took}`;
}

function costs(training) {
  const [answers, unknown] = [sum(training, "answers"), training?.some((one) => one.cost_usd === null)];
  if (!answers && !sum(training, "cache_hits")) return null;
  return h(
    "p",
    { class: "hint" },
    `Asked models for ${count(answers)} answers (${count(sum(training, "cache_hits"))} more were known), ` +
      `${count(sum(training, "input_tokens") + sum(training, "output_tokens"))} tokens, ` +
      `${unknown ? "price not known" : `$${sum(training, "cost_usd").toFixed(2)}`}.`,
  );
}

const sum = (rows, name) => (rows ?? []).reduce((total, one) => total + (one[name] ?? 0), 0);

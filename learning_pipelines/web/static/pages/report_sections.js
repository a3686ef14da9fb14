/**
 * The sections of one weekly report: what to do next, numbers with intervals and changes, complaints, learning, what serves, cost, queries.
 *
 * Belongs here: one report's numbers as elements. Not here: which report (reports.js), single values (ui/format.js).
 */

import { h } from "../ui/dom.js";
import { count, NONE, number, percent, points } from "../ui/format.js";

const GOOD = ["reached", "met", "better", "approved", "adopt_treatment", "falling"];
const BAD = ["missed", "worse", "rollback", "rising", "rejected"];
const PLACES = { "/": "Dashboard", "/annotate": "Annotate", "/executions": "Executions", "/training": "Training", "/docs": "The API" };

/** All sections of a report, as the API gives it. */
export function sections(report) {
  return [alarms(report), actions(report), headline(report), agents(report), complaints(report), examples(report), learnt(report), serving(report),
    experiments(report), cost(report), incidents(report), queries(report), notes(report)];
}

const write = (value, unit) => (unit === "share" ? percent(value) : number(value));
const end = (value, unit) => (value === null ? "open" : write(value, unit));
const within = (bounds, unit = "score") => (bounds ? `[${end(bounds[0], unit)}, ${end(bounds[1], unit)}]` : "–");
const mood = (verdict) => (GOOD.includes(verdict) ? "badge good" : BAD.includes(verdict) ? "badge bad" : verdict === "open" ? "badge warn" : "muted");
const badge = (verdict) => verdict && h("span", { class: mood(verdict) }, verdict.replaceAll("_", " "));
const anchor = (name) => `query-${name.replaceAll(" ", "-")}`;
/** A number that leads to its query; the focus goes there, the address stays that of the week. */
function linked(name, text) {
  const follow = (event) => { event.preventDefault(); reveal(name); };
  return h("a", { href: `#${anchor(name)}`, title: "the query of this number", onclick: follow }, text);
}

function reveal(name) {
  const target = document.getElementById(anchor(name));
  target.closest("details").open = true;
  target.scrollIntoView();
  target.focus();
}

function table(label, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell)))))));
}

function alarms(report) {
  const score = (one) => `${number(one.score, 3)} of its ${one.n} held-out items, ${number(one.first_score, 3)} in ${one.first_week}`;
  return report.serving.filter((one) => one.alarm).map((one) => h("p", { class: "problem", role: "note" }, h("strong", {}, "Drift alarm: "),
    `the ${one.kind} of ${one.agent} (version ${one.version}) answers ${score(one)}.`));
}

function actions(report) {
  return [h("h3", {}, "What to do next"), report.actions.length
    ? h("ol", {}, report.actions.map((one) => h("li", {}, one.text, " ", h("span", { class: "hint" }, "(", linked(one.query, one.number), ")"), " ",
      h("a", { href: one.place }, PLACES[one.place] ?? one.place))))
    : h("p", {}, "Nothing stands out this week.")];
}

function change(row) {
  if (row.change === null) return NONE;
  const text = (value) => (row.unit === "share" ? points(value) : `${value >= 0 ? "+" : "−"}${number(Math.abs(value))}`);
  const bounds = row.change_interval ? ` (${text(row.change_interval[0])} to ${text(row.change_interval[1])})` : "";
  return `${text(row.change)}${bounds}: ${row.change_verdict === NONE ? "can be chance" : row.change_verdict}`;
}

function headline(report) {
  const target = (row) => (row.target === null ? "" : [write(row.target, row.unit), " ", badge(row.verdict)]);
  const columns = ["Number", "This week", "95 % interval", "Of", "Target", "Change on the week before"];
  return [h("h3", {}, "Feedback and quality"), table("Numbers of the week", columns, report.headline.map((row) => [
    row.label, linked(row.query, write(row.value, row.unit)), within(row.interval, row.unit), `${count(row.n)} ${row.of}`,
    target(row), change(row)]))];
}

function agents(report) {
  const columns = ["Agent", "Executions", "With feedback", "Rating", "Corrections"];
  return report.agents.length > 0 && table("By agent", columns, report.agents.map((row) => [
    h("a", { href: `/executions?agent=${encodeURIComponent(row.agent)}` }, row.agent), linked("agents", count(row.executions)),
    percent(row.feedback_rate),
    row.avg_rating === null ? NONE : `${number(row.avg_rating)} (n = ${count(row.ratings)})`, count(row.corrections)]));
}

function complaints(report) {
  const p = (one) => (one.p === null ? "–" : one.p.toPrecision(2));
  return [h("h3", {}, "Complaints"), report.issues.length
    ? [table("Complaints", ["Category", "Count", "Share", "Before", "Direction", "p"], report.issues.map((one) => [
      one.category, linked(one.query, count(one.count)), percent(one.share), count(one.before), badge(one.verdict), p(one)])),
    h("p", { class: "hint" }, `Of ${count(report.issues[0].of)} feedback this week and ${count(report.issues[0].of_before)} the week before. `,
      "Fisher's exact test, p adjusted for looking at eight categories (Holm).")]
    : h("p", {}, "Nobody named an issue this week or the week before.")];
}

function examples(report) {
  const { collected, reviewed, approved, waiting_for_review: waiting } = report.examples;
  return [h("h3", {}, "Examples and reviews"),
    h("p", {}, linked("examples", `${count(collected)} collected, ${count(reviewed)} reviewed, ${count(approved)} approved`),
      `; ${count(waiting)} wait for review.`),
    report.milestones.length
      ? h("ul", {}, report.milestones.map((one) => h("li", {}, `${one.name}, until ${one.due.slice(0, 10)}: `, linked(one.query, count(one.approved)),
        ` of ${one.target} approved `, badge(one.verdict))))
      : h("p", {}, "There was no example yet: no evidence for the goals of 100 approved in the first month and 500 in the first quarter."),
    report.agreement.length
      ? table("Agreement", ["Agent", "Raters", "Period", "Examples", "Krippendorff's alpha", "95 % interval"], report.agreement.map((one) => [
        one.agent, one.raters, one.period, count(one.examples), linked(one.query, number(one.alpha)),
        one.interval ? within(one.interval) : one.reason ?? "–"]))
      : h("p", {}, "Agreement of reviewers: no evidence; nobody rated the same example as somebody else yet.")];
}

function learnt(report) {
  const found = report.learning;
  const came = `${count(found.proposed)} proposed, ${count(found.adopted)} adopted, ${count(found.rejected)} rejected`;
  return [h("h3", {}, "What was learnt"),
    h("p", {}, linked(found.tests_query, `${count(found.tests)} tests`), ", ", linked(found.query, came),
      "; ", linked(found.waiting_query, `${count(found.waiting_for_approval)} wait for approval`), "."),
    found.proposals.length > 0 && table("Proposals", ["Agent", "Kind", "State", "Before", "After", "Gain", "Relative gain", "Against 10 %", "Items"],
      found.proposals.map((one) => [one.agent, one.kind, badge(one.state), number(one.before, 3), number(one.after, 3),
        [linked(one.query, points(one.gain)), one.interval && ` ${within(one.interval, "share")}`],
        percent(one.relative_gain), badge(one.verdict_on_target), count(one.n)]))];
}

function serving(report) {
  const row = (one) => (one.reason ? [one.agent, one.kind, "", one.reason, "", "", ""] : [
    one.agent, one.kind, one.version, [linked(one.query, number(one.score, 3)), ` ${one.metric}`], within(one.interval),
    `${count(one.n)}, set ${one.set}`,
    one.alarm ? h("span", { class: "badge bad" }, "drift alarm")
      : one.drift.p === undefined ? "first score" : `no evidence of drift (p = ${one.drift.p.toPrecision(2)})`]);
  return [h("h3", {}, "How good is what serves now"), report.serving.length
    ? table("What serves", ["Agent", "Kind", "Version", "Score", "95 % interval", "Items", "Since its first score"], report.serving.map(row))
    : h("p", {}, "No evidence: what served was not scored in this week.")];
}

function experiments(report) {
  const found = report.experiments;
  return [h("h3", {}, "Experiments"),
    h("p", {}, linked(found.query, `${count(found.decided.length)} decided`), ", ",
      linked(found.running_query, `${count(found.running)} running`), "."),
    found.decided.length > 0 && table("Decided experiments", ["Experiment", "Agent", "Decision", "Metric", "Difference"], found.decided.map((one) => [
      one.name, one.agent, badge(one.decision), one.metric, `${number(one.difference, 3)} ${within(one.interval)}`]))];
}

function cost(report) {
  const found = report.cost;
  const unknown = `money: no evidence, ${count(found.unpriced_answers)} answers have no price`;
  const money = found.unpriced_answers ? unknown : `$${number(found.cost_usd, 4)}`;
  const spent = `${money}, ${count(found.requests)} requests, ${count(found.input_tokens)} tokens in, ${count(found.output_tokens)} out`;
  return [h("h3", {}, "Cost of learning"), h("p", {}, linked(found.query, spent), "; ",
    linked(found.training_query, `${count(found.training_runs)} training runs took ${count(Math.round(found.training_seconds))} s`), ".")];
}

function incidents(report) {
  return [h("h3", {}, "Data quality"),
    h("ul", {}, report.incidents.map((one) => h("li", {}, `${one.label}: `, linked(one.query, count(one.count)), named(one.by_name ?? []))))];
}

/** Which checks and jobs; reports of earlier versions do not name them. */
function named(failures) {
  const line = (one) => `${count(one.count)}${one.still_failing ? `, ${count(one.still_failing)} still failing` : ""}`;
  return failures.length > 0 && h("ul", {}, failures.map((one) => h("li", {}, `${one.name}: `, linked(one.query, line(one)))));
}

function queries(report) {
  return h("details", {}, h("summary", {}, "Queries: each number above leads to the one that gives it"),
    Object.entries(report.queries).sort().map(([name, text]) => [h("h4", { id: anchor(name), tabindex: "-1" }, name), h("pre", {}, text)]));
}

function notes(report) {
  return h("ul", { class: "hint" }, report.notes.map((note) => h("li", {}, note)));
}

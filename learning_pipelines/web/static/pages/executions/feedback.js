/**
 * What was said about an execution, what of it is in force, and what became of it.
 *
 * Belongs here: feedback as it is read. Not here: giving it (elements/feedback-collector.js), the execution (one.js).
 */

import { segment } from "../../client/learning.js";
import { runLink, intoDagster } from "../../ui/dagster.js";
import { diffWords, showDiff } from "../../ui/diff.js";
import { fill, h } from "../../ui/dom.js";
import { count, moment } from "../../ui/format.js";

const TYPES = {
  thumbs_up: "Thumb up", thumbs_down: "Thumb down", star_rating: "Stars", detailed_feedback: "Detailed feedback", correction: "Correction",
  report_issue: "Report",
};
const DIMENSIONS = ["accuracy", "helpfulness", "clarity", "completeness"];

/** Feedback on an execution, newest first, as an element. */
export function feedback(context, found) {
  const entries = found.feedback.toReversed().map((one) => h("li", { class: "card" }, entry(context, found, one)));
  const none = h("p", { class: "empty" }, context.session.role === "user" ? "You have said nothing about it yet." : "Nobody has said anything about it yet.");
  return h("section", {}, h("h2", {}, `Feedback (${count(found.feedback.length)})`), entries.length ? h("ol", { class: "plain" }, entries) : none);
}

function entry(context, found, one) {
  const dimensions = DIMENSIONS.filter((name) => one.dimensions[name] !== null).map((name) => `${name} ${one.dimensions[name]} of 5`);
  return [
    h("p", {}, h("strong", {}, TYPES[one.feedback_type] ?? one.feedback_type), " ", state(one)),
    h("p", { class: "hint" }, one.user ? h("bdi", {}, one.user) : "Somebody unknown", ` · ${moment(one.created_at)}`),
    one.rating !== null && h("p", {}, `${one.rating} of 5 stars`), dimensions.length > 0 && h("p", {}, dimensions.join(", ")),
    one.issue_categories.length > 0 && h("p", {}, "Reported as ", one.issue_categories.map((name) => [h("span", { class: "badge bad" }, name), " "])),
    one.feedback_text && h("pre", { dir: "auto" }, one.feedback_text),
    one.correction_text !== null && [h("p", { class: "hint" }, "The output as it was corrected:"), showDiff(diffWords(found.output, one.correction_text))],
    became(context, one),
  ];
}

/** Whether it counts, or what its author said anew. */
function state(one) {
  if (one.withdrawn) return h("span", { class: "badge warn" }, "takes back what was said before");
  if (one.superseded.length === 0) return h("span", { class: "badge good" }, "in force");
  return h("span", { class: "badge warn" }, `superseded: ${one.superseded.join(", ")}`);
}

function became(context, one) {
  const place = h("div", {});
  let asked = false;
  const load = async (event) => {
    if (!event.target.open || asked) return;
    asked = true;
    try {
      fill(place, lineage(context, await context.client.request("GET", `/lineage/feedback/${segment(one.feedback_id)}`, { query: { limit: 10 } })));
    } catch (error) {
      asked = false; // opened again, it is asked again
      context.problem(error, place);
    }
  };
  return h("details", { ontoggle: load }, h("summary", {}, "What became of it"), place);
}

function lineage(context, found) {
  const examples = found.examples.map((one) => [
    `Example ${one.example_id}: ${one.example_type.replaceAll("_", " ")}, ${one.review_status.replaceAll("_", " ")}`,
    one.datasets.length > 0 && `; in ${one.datasets.map((set) => `dataset ${set.name} version ${set.version} (${set.split ?? "left out"})`).join(", ")}`,
  ]);
  const learnt = [
    ...examples,
    ...each(found.training_runs, (run) => [`Training run: ${run.type.replaceAll("_", " ")}, ${run.status}`, dagster(context, run.dagster_run_id)]),
    ...each(found.prompts, (one) => [version(context, one), one.demonstrates && ", which shows it as an example"]),
    ...each(found.indexes, (one) => `Index version ${one.version} of ${one.agent}`),
    ...each(found.behavior, (one) => `${one.kind.replaceAll("_", " ")} version ${one.version} of ${one.agent}`),
    ...each(found.proposals, (one) => [proposal(context, one), `: ${one.state}`]),
    ...each(found.counted_in, (one) => `Counted in the experiment ${one.name}${one.refused ? ", but left out of its verdict" : ""}`),
  ];
  const notes = found.notes.map((note) => h("p", { class: "hint" }, note));
  if (learnt.length === 0) return [h("p", {}, "Nothing has been learnt from it yet: the next refresh of examples makes one of it where it can teach something."), notes];
  return [h("ul", {}, learnt.map((line) => h("li", {}, line))), notes];
}

/** Lines of a list that lineage gives, and how many more there are. */
function each(listed, write) {
  const lines = listed.items.map(write);
  return listed.more ? [...lines, `… ${count(listed.count - listed.items.length)} more`] : lines;
}

function dagster(context, run) {
  return run && context.can("trainer") && [" (", intoDagster(runLink(run), "in Dagster"), ")"];
}

function version(context, one) {
  const name = `Prompt version ${one.version} of ${one.agent}${one.inherited ? ", through an earlier one" : ""}`;
  return context.can("trainer") ? h("a", { href: `/training?${new URLSearchParams({ agent: one.agent, version: one.version })}` }, name) : name;
}

function proposal(context, one) {
  const name = `Proposal of a ${one.kind.replaceAll("_", " ")}`;
  return context.can("trainer") ? h("a", { href: `/training?${new URLSearchParams({ proposal: one.id })}` }, name) : name;
}

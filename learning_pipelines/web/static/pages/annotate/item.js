/**
 * An item as an expert sees it before the verdict: texts, where it came from, the conversation around it. Nothing that others said about it.
 *
 * Belongs here: showing one item of the queue. Not here: judging it (verdict.js), what is shown afterwards (outcome.js).
 */

import { segment } from "../../client/learning.js";
import { diffWords, showDiff } from "../../ui/diff.js";
import { h, fill } from "../../ui/dom.js";
import { moment, number } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { origin, STATES, text, TONES, TYPES } from "./words.js";

/**
 * @param {object} item As GET /annotations/queue gives it.
 * @param {object} client
 * @param {HTMLElement | null} [aside] Put beside the heading.
 * @returns {HTMLElement}
 */
export function itemCard(item, client, aside = null) {
  const title = h("h2", { tabindex: "-1", class: "item-title" }, `${TYPES[item.example_type] ?? item.example_type} · `, h("bdi", {}, item.agent));
  return h("section", { class: "card item", "aria-label": "Item" },
    h("div", { class: "item-head" }, title, aside), badges(item),
    block("Input", text(item.input_text, "Input")),
    outputs(item),
    Object.keys(item.input_context).length > 0 && h("details", {}, h("summary", {}, "Given with the input"),
      text(JSON.stringify(item.input_context, null, 2), "Given with the input")),
    item.provenance.length > 0 && conversation(item.provenance[0].execution_id, client),
    facts(item));
}

const block = (title, ...content) => h("div", { class: "block" }, h("h3", {}, title), content);

function badges(item) {
  const said = [
    [TONES[item.review_status] ?? "", STATES[item.review_status]],
    item.round > 1 && ["", `round ${item.round}`],
    item.reviews_needed > 1 && ["", `${item.reviews_needed} experts judge it`],
    item.worth.adjudicating && ["warn", "experts disagree: your verdict decides"],
    item.worth.conflicting && ["warn", "contradicts another example (shown after your verdict)"],
    item.distrusted && ["warn", "supported by nobody but raters of next to no trust"],
  ].filter(Boolean);
  return h("p", { class: "badges" }, said.map(([tone, label]) => h("span", { class: `badge ${tone}` }, label)));
}

function outputs(item) {
  if (item.example_type === "preference" || item.output_a !== null) return preference(item);
  const [original, expected] = [item.original_output, item.expected_output];
  const change = () => h("details", { open: true },
    h("summary", {}, "What it changes in the agent's answer"), showDiff(diffWords(original, expected)));
  return [
    original !== null && block("What the agent answered", text(original, "What the agent answered")),
    expected === null ? block("Proposed expected output", h("p", { class: "muted" }, "None: what it should have been is not known."))
      : original === expected ? block("Proposed expected output", h("p", { class: "muted" }, "The agent's answer, as it stands."))
      : block("Proposed expected output", text(expected, "Proposed expected output"), original !== null && change()),
  ];
}

function preference(item) {
  const strength = item.preference_strength === null ? "" : `, strength ${item.preference_strength} of 5`;
  return [["A", item.output_a], ["B", item.output_b]].map(([name, output]) => output !== null && block(
    item.preferred_output === name ? `Output ${name} (preferred${strength})` : `Output ${name}`, text(output, `Output ${name}`)));
}

function facts(item) {
  const rows = [
    ["Came from", origin(item)],
    ["Pieces of feedback that say the same", item.worth.support],
    ["Domain", item.domain], ["Task", item.task_type], ["Complexity", item.complexity && `${item.complexity} of 5`],
    ["Jurisdictions", item.jurisdictions.join(", ")], ["Tags", item.tags.join(", ")],
    ["Confidence", item.confidence_score === null ? null : number(item.confidence_score)],
    ["Executions of the agent, last 30 days", item.worth.executions], ["Made", moment(item.created_at)], ["Id", item.example_id],
  ];
  return h("details", { class: "about-item" }, h("summary", {}, "About this item"),
    h("dl", {}, rows.filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => [h("dt", {}, name), h("dd", { dir: "auto" }, value)])));
}

/** The execution the item was made of, fetched when somebody wants to see it. */
function conversation(executionId, client) {
  const place = h("div", {});
  let asked = false;
  const open = async (event) => {
    if (!event.target.open || asked) return;
    asked = true;
    fill(place, h("p", { class: "muted" }, "Loading …"));
    try {
      fill(place, executed(await client.request("GET", `/executions/${segment(executionId)}`)));
    } catch (error) {
      asked = error.status === 404;
      fill(place, asked ? h("p", { class: "muted" }, "The execution is not stored any more, or never arrived.") : problem(error));
    }
  };
  return h("details", { ontoggle: open }, h("summary", {}, "Conversation and retrieved passages"), place);
}

function executed(execution) {
  const messages = (execution.messages ?? []).map((one) => h("li", {}, h("strong", {}, one?.role ?? "message"), text(content(one), "Message")));
  const found = execution.passages?.length ? execution.passages : (execution.retrieved ?? []);
  const passages = found.map((one) => h("li", {}, h("strong", {}, one.title ?? one.chunk_id ?? one.document_id ?? "passage"),
    typeof one.score === "number" && ` score ${number(one.score)}`, one.text && text(one.text, "Passage")));
  return [
    h("h4", {}, "Conversation"), listed(messages, "No messages were sent with this execution."),
    h("h4", {}, "Retrieved"), listed(passages, "Nothing was retrieved for this execution."),
  ];
}

const listed = (entries, otherwise) => (entries.length ? h("ol", { class: "messages" }, entries) : h("p", { class: "muted" }, otherwise));

function content(message) {
  const value = message?.content ?? message;
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

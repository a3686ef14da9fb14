/**
 * One execution: what went in and came out, what it was answered from and by which version, what was said about it and what became of that.
 *
 * Belongs here: the execution itself. Not here: feedback on it (feedback.js), the list (list.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { count, moment, number } from "../../ui/format.js";
import { agentPartition, assetLink, intoDagster } from "../../ui/dagster.js";
import { feedback } from "./feedback.js";

/**
 * Shows one.
 * @param {object} context Of the page. @param {HTMLElement} place Where. @param {string} id @param {string} back Address of the list it was found in.
 */
export async function one(context, place, id, back) {
  const way = h("p", {}, h("a", { href: back, "data-here": true }, "← All executions"));
  const body = h("div", { "aria-busy": "true" });
  fill(place, way, body);
  try {
    const found = await context.client.request("GET", `/executions/${segment(id)}`);
    fill(body, facts(found, context), text("Input", found.input), text("Output", found.output), messages(found), passages(found),
      feedback(context, found), rest(found), operators(context, found));
    context.announce(`Execution ${id} is shown.`);
  } catch (error) {
    context.problem(error, body);
    if (error.status === 404) body.append(h("p", {}, "It may have been erased, or it is not among those that you may see."));
  } finally {
    body.removeAttribute("aria-busy");
  }
}

const user = (value) => h("bdi", {}, value);
const here = (query, value) => h("a", { href: `?${new URLSearchParams(query)}` }, user(value));

function facts(found, context) {
  const tokens = found.input_tokens === null && found.output_tokens === null ? null : `${count(found.input_tokens)} in, ${count(found.output_tokens)} out`;
  const known = [
    ["Execution", user(found.execution_id)], ["When", moment(found.created_at)], ["Agent", here({ agent: found.agent }, found.agent)],
    ["Prompt version", found.prompt_version && version(found, context)], ...experiments(found, context),
    ["User", found.user && here({ user: found.user }, found.user)], ["Session", found.session_id && here({ session_id: found.session_id }, found.session_id)],
    ["Parent", found.parent_id && here({ execution: found.parent_id }, found.parent_id)],
    ["Environment", found.environment && here({ environment: found.environment }, found.environment)],
    ["Tags", found.tags.length > 0 && found.tags.map((tag) => [here({ tag }, tag), " "])],
    ["Latency", found.latency_ms !== null && `${number(found.latency_ms, 0)} ms`], ["Tokens", tokens],
    ["Cost", found.cost_usd !== null && `${number(found.cost_usd, 4)} US dollars`],
  ];
  return h("dl", { class: "facts card" }, known.map(([name, value]) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function version(found, context) {
  const shown = user(found.prompt_version);
  if (!context.can("trainer")) return shown;
  return h("a", { href: `/training?${new URLSearchParams({ agent: found.agent, version: found.prompt_version })}` }, shown);
}

/** Experiments that it carries, in its context or in the list of several. */
function experiments(found, context) {
  const carried = [found.context, ...(Array.isArray(found.context.experiments) ? found.context.experiments : [])];
  return carried.filter((one) => typeof one?.experiment === "string").map((one) => {
    const address = `/training?${new URLSearchParams({ agent: found.agent, experiment: one.experiment })}`;
    const name = ["variant ", user(one.variant ?? "not named")];
    return ["Experiment", context.can("experimenter") ? h("a", { href: address }, name) : name];
  });
}

/** A text of somebody, as it is. */
function text(title, value) {
  return h("section", {}, h("h2", {}, title), value ? h("pre", { class: "card", dir: "auto" }, value) : h("p", { class: "empty" }, "It is empty."));
}

function messages(found) {
  if (!found.messages?.length) return null;
  const written = (content) => (typeof content === "string" ? content : JSON.stringify(content, null, 2));
  return h("details", { class: "card" }, h("summary", {}, `Messages (${count(found.messages.length)})`),
    found.messages.map((one) => [h("h3", {}, user(one?.role ?? "message")), h("pre", { dir: "auto" }, written(one?.content ?? one))]));
}

function passages(found) {
  if (!found.retrieved?.length) return null;
  const known = new Map(found.passages.map((one) => [one.place, one]));
  return h("section", {}, h("h2", {}, `Retrieved (${count(found.retrieved.length)})`),
    h("ol", { class: "plain" }, found.retrieved.map((entry, place) => h("li", {}, passage(entry, known.get(place), place)))));
}

function passage(entry, known, place) {
  const id = entry?.chunk_id ?? entry?.document_id ?? "not named";
  const score = Number.isFinite(entry?.score) ? `, score ${number(entry.score, 3)}` : "";
  const name = known?.title ?? known?.document_id ?? id;
  const head = [`${entry?.rank ?? place + 1}. `, h("bdi", {}, name), known?.heading && [" · ", h("bdi", {}, known.heading)], h("span", { class: "hint" }, score)];
  if (!known) return h("p", { class: "card" }, head, h("span", { class: "hint" }, " Its text is not in the knowledge base any more."));
  const old = !known.is_active && h("p", { class: "notice" }, "It has been replaced since: this is how it reads now, and it is not searched any more.");
  const whole = known.chunk_id === null && h("p", { class: "hint" }, "The execution names the document, not a part of it: this is its beginning.");
  return h("details", { class: "card" }, h("summary", {}, head), h("p", { class: "hint" }, h("bdi", {}, id)), old, whole, h("pre", { dir: "auto" }, known.text));
}

/** Whatever else was sent with it. */
function rest(found) {
  if (Object.keys(found.context).length === 0) return null;
  return h("details", { class: "card" }, h("summary", {}, "Context"), h("pre", { dir: "auto" }, JSON.stringify(found.context, null, 2)));
}

function operators(context, found) {
  if (!context.can("trainer") && !context.can("experimenter")) return null;
  return h("p", { class: "hint" }, "In Dagster: ", intoDagster(assetLink("agent_executions"), "executions"), ", ",
    intoDagster(assetLink("agent_feedback"), "feedback"), ", ",
    intoDagster(assetLink("learning_examples", agentPartition(context.session.organization, found.agent)), "examples of the agent"), ".");
}

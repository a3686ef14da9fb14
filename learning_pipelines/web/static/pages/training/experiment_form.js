/**
 * Making an experiment between what serves and another version.
 *
 * Belongs here: the form. Not here: what may be asked for (the service says so), what is made of it (experiment.js).
 */

import { fill, h } from "../../ui/dom.js";
import { problem } from "../../ui/shell.js";
import { METRICS } from "./experiment_words.js";

const input = (name, attributes) => h("input", { name, id: `new-${name}`, ...attributes });
const whole = (name, value, attributes = {}) => input(name, { type: "number", min: "0", step: "1", required: true, value, ...attributes });
const choice = (name, values) => h("select", { name, id: `new-${name}` }, values.map((value) => h("option", {}, value)));

function fields(agent) {
  return {
    name: ["Name", input("name", { required: true, maxlength: "255" })], agent: ["Agent", input("agent", { required: true, value: agent ?? "" })],
    subject: ["Compares versions of the", choice("subject", ["prompt", "index", "policy"])],
    unit: ["Assigned by", choice("unit", ["user", "session", "execution"])],
    control: ["Control version (empty: what serves)", whole("control", "", { required: false })],
    treatment: ["Treatment version", whole("treatment", "")],
    share: ["Treatment's share of new units, %", whole("share", 50, { min: "0.1", max: "99.9", step: "any" })],
    primary_metric: ["Decides by", choice("primary_metric", METRICS)], min_duration_hours: ["Hours at least", whole("min_duration_hours", 168)],
    min_sample_size: ["Units in each arm at least", whole("min_sample_size", 1000)],
    minimum_effect: ["Smallest gain that matters", whole("minimum_effect", 0, { step: "any" })],
  };
}
const PLACES = { "arms": "treatment", "options.minimum_effect": "minimum_effect", agent_id: "agent" };

/**
 * A form that opens; `made(id)` is called when there is a new one.
 * @param {object} context @param {string | null} agent Filled in. @param {(id: string) => void} made
 */
export function creating(context, agent, made) {
  const asked = fields(agent);
  const [said, send, size] = [h("div", {}), h("button", { class: "primary" }, "Make it"), h("code", {})];
  const start = input("start", { type: "checkbox" });
  const labelled = Object.entries(asked).map(([name, [label, control]]) => h("div", {}, h("label", { for: `new-${name}` }, label), control));
  const form = h("form", {}, h("div", { class: "fields" }, labelled),
    h("p", {}, start, " ", h("label", { for: "new-start" }, "Start it at once")),
    h("p", { class: "hint" }, "How many units it needs is simulated with the test that is used, which takes some seconds to minutes: ", size),
    said, h("div", { class: "bar" }, send));
  const values = () => form.elements;
  const hint = () => { size.textContent = command(values()); };
  form.addEventListener("input", hint);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    for (const [, control] of Object.values(asked)) control.removeAttribute("aria-invalid");
    try {
      const answer = await context.client.request("POST", "/experiments", { body: body(values()) });
      fill(said);
      asked.name[1].value = "";
      details.open = false;
      context.announce(`The experiment ${answer.name} is ${answer.state}.`);
      made(answer.id);
    } catch (error) {
      fill(said, problem(error));
      const wrong = asked[PLACES[error.field] ?? error.field] ?? (error.field?.startsWith("arms") ? asked.treatment : null);
      wrong?.[1].setAttribute("aria-invalid", "true");
      wrong?.[1].focus();
    } finally {
      send.disabled = false;
    }
  });
  hint();
  const details = h("details", { class: "card" }, h("summary", {}, "New experiment"), form);
  return details;
}

function body(form) {
  const share = Number(form.share.value) / 100;
  const control = { version: form.control.value === "" ? null : Number(form.control.value), weight: 1 - share };
  return {
    agent: form.agent.value.trim(), name: form.name.value, subject: form.subject.value, unit: form.unit.value,
    primary_metric: form.primary_metric.value,
    arms: [control, { version: Number(form.treatment.value), weight: share }], min_duration_hours: Number(form.min_duration_hours.value),
    min_sample_size: Number(form.min_sample_size.value), options: { minimum_effect: Number(form.minimum_effect.value) }, start: form.start.checked,
  };
}

/** The verb that says how large it has to be, with what is filled in. */
function command(form) {
  const [share, metric] = [Number(form.share.value) / 100, form.primary_metric.value];
  const known = { rating: "--baseline 4 --spread 1", thumbs: "--baseline 0.6", thumbs_down_rate: "--baseline 0.2" }[metric] ?? "--spread 0.5";
  const shares = `${+(1 - share).toFixed(4)},${+share.toFixed(4)}`;
  return `learning-pipelines experiments size --metric ${metric} ${known} --effect ${Number(form.minimum_effect.value) || 0.05} --shares ${shares}`;
}

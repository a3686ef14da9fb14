/**
 * What may be done with an experiment, each asked back in a dialog that keeps what was typed when it is refused.
 *
 * Belongs here: actions and their words. Not here: what an action needs (the service says so), how one is shown (experiment.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { problem } from "../../ui/shell.js";
import { DECISIONS } from "./experiment_words.js";

const NOTES = () => h("textarea", { name: "notes", id: "experiment-notes", maxlength: "10000" });
const notes = () => [h("label", { for: "experiment-notes" }, "Notes (why)"), NOTES()];
const noted = (form) => ({ notes: form.notes.value.trim() || null });

/** Actions by what a person calls them: in which states, what is said and asked, what is sent. */
const ACTIONS = {
  start: {
    name: "Start", states: ["draft"], primary: true, says: "Units are assigned from now on, and each keeps its arm.", done: "The experiment runs.",
  },
  analyze: { name: "Look now", states: ["running"], plain: true, done: "Looked at what was collected so far." },
  pause: {
    name: "Pause", states: ["running"], says: "Everybody gets what serves until it is resumed; who has an arm gets it back then.",
    done: "The experiment is paused.",
  },
  resume: {
    name: "Resume", states: ["paused"], primary: true, says: "Everybody has their arm again. A new epoch begins.", done: "The experiment runs again.",
  },
  weights: {
    name: "Change shares", states: ["draft", "running", "paused"], kinds: ["experiment"], done: "The shares are changed.",
    says: "For units that were not met yet: who has an arm keeps it. Units are compared within a time of unchanged shares only.",
    asks: (one) => open(one).map(share),
    sends: (form, one) => ({ weights: Object.fromEntries(open(one).map((arm) => [arm.variant, Number(form[`share:${arm.variant}`].value)])) }),
  },
  conclude: {
    name: "Conclude", states: ["running", "paused"], says: "It ends with a decision, which cannot be taken back here.",
    done: "The experiment is concluded.",
    asks: (one, context) => [h("label", { for: "experiment-decision" }, "Decision"), h("br"), decisions(one, context), h("br"), notes()],
    sends: (form) => ({ decision: form.decision.value || null, ...noted(form) }),
  },
  abort: {
    name: "Abort", states: ["draft", "running", "paused"], danger: true, done: "The experiment is aborted.", asks: notes, sends: noted,
    says: "It ends without a decision: everybody gets what serves. What has ended is not started again.",
  },
};

const open = (one) => one.arms.filter((arm) => !(one.config.withdrawn ?? []).includes(arm.variant));

/** A field for the share of an arm. */
function share(arm) {
  const [id, value] = [`share-${arm.variant}`, +(100 * arm.weight).toFixed(4)];
  return [h("label", { for: id }, h("bdi", {}, arm.variant), ", % of new units"), h("br"),
    h("input", { type: "number", id, name: `share:${arm.variant}`, min: "0.1", max: "100", step: "any", required: true, value }), h("br")];
}

function decisions(one, context) {
  const now = one.verdict ? `What the values say now: ${DECISIONS[one.verdict.decision]}` : "What the values say now";
  const option = ([value, name]) => {
    const denied = value === "adopt_treatment" && !context.can("admin");
    return h("option", { value, disabled: denied }, denied ? `${name} (an administrator's)` : name);
  };
  return h("select", { name: "decision", id: "experiment-decision" }, h("option", { value: "" }, now), Object.entries(DECISIONS).map(option));
}

/**
 * The buttons of what its state allows.
 * @param {object} context @param {object} one The experiment. @param {(answer: object, announcement: string) => void} done
 */
export function actions(context, one, done) {
  const said = h("div", {});
  const offered = Object.entries(ACTIONS).filter(([, { states, kinds = [one.kind] }]) => states.includes(one.state) && kinds.includes(one.kind));
  const buttons = offered.map(([path, action]) => {
    const run = (body) => context.client.request("POST", `/experiments/${segment(one.id)}/${path}`, { body });
    const button = h("button", { type: "button", class: action.danger ? "danger" : action.primary ? "primary" : null }, action.name);
    const first = () => (action.plain ? atOnce(button, said, run, (answer) => done(answer, action.done)) : ask(context, one, action, run, done));
    button.addEventListener("click", first);
    return button;
  });
  return [h("div", { class: "bar", role: "group", "aria-label": "Actions" }, buttons), said];
}

async function atOnce(button, said, run, done) {
  button.disabled = true;
  try {
    const answer = await run({});
    fill(said, !answer.changed && h("p", { class: "hint" }, "Nothing is new since the last look. Values are collected by the hourly job."));
    done(answer);
  } catch (error) {
    fill(said, problem(error));
  } finally {
    button.disabled = false;
  }
}

function ask(context, one, action, run, done) {
  const [said, send] = [h("div", {}), h("button", { class: action.danger ? "danger" : "primary" }, action.name)];
  const submit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const answer = await run(action.sends ? action.sends(event.target.elements, one) : {});
      dialog.close();
      done(answer, action.done);
    } catch (error) {
      fill(said, problem(error));
    } finally {
      send.disabled = false;
    }
  };
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const title = h("h2", { id: "experiment-asked" }, `${action.name}: `, h("bdi", {}, one.name));
  const dialog = h("dialog", { "aria-labelledby": title.id }, title, h("p", {}, action.says),
    h("form", { onsubmit: submit }, action.asks?.(one, context), said, h("div", { class: "bar" }, send, close)));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Deciding about a proposal: approve (at once or in steps), reject, take back. Each asks first and says what will serve.
 *
 * Belongs here: the buttons of a card and their dialogs. Not here: the card (proposals.js), taking back in general (serving.js).
 */

import { segment } from "../../client/learning.js";
import { h } from "../../ui/dom.js";
import { STEPS, called, capital, confirm, guarded, hasCanary, rollbackKind, versionName } from "./common.js";

/**
 * The buttons that a proposal has in its state. `done(message)`: draws the card anew and says what came of it.
 * @param {object} context @param {object} proposal @param {[string, string]} names Of what serves and of the candidate.
 * @param {(message: unknown) => Promise<void>} done
 */
export function buttons(context, proposal, names, done) {
  const why = context.can("admin") ? null : "Only an administrator decides about proposals.";
  const act = (work) => work().catch((error) => done(h("span", {}, error.message)));
  const shown = [];
  if (proposal.state === "open") {
    const better = proposal.verdict === "better" ? null : `Only what tested better may serve; the verdict is “${proposal.verdict}”.`;
    shown.push(
      guarded("Approve …", why ?? better, () => act(() => approve(context, proposal, names, done)), { class: "primary" }),
      guarded("Reject …", why, () => act(() => reject(context, proposal, names, done))),
    );
  } else if (proposal.state === "approved") {
    shown.push(guarded("Take back (rollback) …", why, () => act(() => takeBack(context, proposal, done)), { class: "danger" }));
  }
  if (!shown.length) return null;
  return h("div", { class: "bar" }, shown, why && h("p", { class: "hint" }, why));
}

async function approve(context, proposal, names, done) {
  const of = called(proposal.subject.kind ?? proposal.kind, proposal.subject.topic);
  const canary = hasCanary(proposal.kind);
  const [notes, decide] = [notesField(proposal.id, "Why it is approved"), deciding(context, proposal)];
  const rollouts = ["immediate", ...(canary ? ["canary"] : [])].map((value, at) =>
    h("input", { type: "radio", name: "rollout", value, id: `rollout-${value}`, checked: at === 0 }),
  );
  const told = {
    immediate: `At once, for everybody: ${names[1]} of the ${of} serves every client of ${proposal.agent} in the place of ${names[0]}.`,
    canary:
      `In steps (canary): ${names[1]} meets ${STEPS} of the traffic, with a look every hour that takes it back where it harms. ` +
      `${capital(names[0])} stays until the last step.`,
  };
  const answer = await confirm({
    title: `Approve ${names[1]} of the ${of}?`,
    yes: "Approve",
    body: h(
      "div",
      {},
      h(
        "fieldset",
        {},
        h("legend", {}, "How it begins to serve"),
        rollouts.map((radio) => h("div", { class: "choice" }, radio, h("label", { for: radio.id }, told[radio.value]))),
      ),
      !canary && h("p", { class: "hint" }, `Steps (canary) are not offered: the ${of} serves everybody or nobody.`),
      notes,
    ),
    act: () => decide({ approve: true, rollout: rollouts.find((radio) => radio.checked).value, notes: written(notes) }),
  });
  if (answer || decide.refused) await done(answer ? outcome(answer) : decide.refused);
}

async function reject(context, proposal, names, done) {
  const [notes, decide] = [notesField(proposal.id, "Why it is rejected"), deciding(context, proposal)];
  const answer = await confirm({
    title: `Reject ${names[1]}?`,
    yes: "Reject",
    body: h("div", {}, h("p", {}, `${capital(names[0])} of ${proposal.agent} stays as it is. The notes are kept with the proposal.`), notes),
    act: () => decide({ approve: false, notes: written(notes) }),
  });
  if (answer || decide.refused) await done(answer ? outcome(answer) : decide.refused);
}

/** Sends decisions. A conflict (decided meanwhile, something else serves now) is kept in `refused`: the card is then drawn anew, as things are. */
function deciding(context, proposal) {
  const decide = async (body) => {
    try {
      return await context.client.request("POST", `/proposals/${segment(proposal.id)}/review`, { body });
    } catch (error) {
      if (error.status === 409) [error.title, decide.refused] = ["Not done.", `Not done. ${error.message}`];
      throw error;
    }
  };
  return decide;
}

const written = (notes) => notes.querySelector("textarea").value.trim() || null;

function notesField(id, label) {
  return h(
    "div",
    {},
    h("label", { for: `notes-${id}` }, `${label} (optional)`),
    h("textarea", { id: `notes-${id}`, maxlength: "10000", dir: "auto" }),
  );
}

/** What a review or a rollback led to, in words. */
export function outcome(answer) {
  const of = called(answer.kind);
  if (!answer.changed) {
    const serves = answer.state === "rolled_back" ? `, and ${versionName(answer.kind, answer.version)} serves` : "";
    return `Nothing changed: the same had been done before${serves}.`;
  }
  const experiment = answer.experiment && h("a", { href: `?tab=experiments&experiment=${encodeURIComponent(answer.experiment)}` }, "the experiment");
  if (answer.state === "rejected") return "Rejected. What serves stays.";
  if (answer.state === "approved" && experiment)
    return ["Approved: ", experiment, " rolls it out, to 1 % of the traffic first. What serves stays until its last step."];
  if (answer.version === null || answer.version === undefined) return `Done: ${answer.state}.`;
  const before = answer.before === null || answer.before === undefined ? "" : `, ${versionName(answer.kind, answer.before)} no longer`;
  const done = answer.state === "approved" ? "Approved" : "Rolled back";
  const said = `${done}: ${versionName(answer.kind, answer.version)} of the ${of} serves ${answer.agent} now${before}.`;
  return experiment ? [said, " It ended ", experiment, "."] : said;
}

async function takeBack(context, proposal, done) {
  const [kind, topic] = [rollbackKind(proposal), proposal.subject.topic || undefined];
  const answer = await rollback(context, proposal.agent, kind, topic);
  if (answer) await done(outcome(answer));
}

/** Asks, then rolls one part of what serves back; what came of it, or undefined. */
export async function rollback(context, agent, kind, topic) {
  const shown = await context.client.request("GET", `/agents/${segment(agent)}/serving`);
  const parts = shown.parts.filter((one) => one.kind === kind);
  const part = parts.find((one) => one.topic === (topic ?? "")) ?? parts[0] ?? { labelled: null, rollback_to: null };
  const rollout = shown.experiments.find((one) => one.kind === "rollout" && one.subject === kind);
  const others = shown.experiments.filter((one) => one.kind === "experiment" && one.subject === kind && one.state === "running");
  const of = called(kind, topic);
  return confirm({
    title: `Roll back the ${of} of ${agent}?`,
    yes: "Roll back",
    danger: true,
    body: h(
      "div",
      {},
      rollout
        ? h(
            "p",
            {},
            `A rollout is under way at ${rollout.percent} % of the traffic: it ends, and ${versionName(kind, part.rollback_to)} serves everybody.`,
          )
        : h(
            "p",
            {},
            `Now ${versionName(kind, part.labelled)} serves. `,
            part.rollback_to === null
              ? "Nothing else served before, so there may be nothing to take back."
              : `After this ${versionName(kind, part.rollback_to)} serves, for every client within a second.`,
          ),
      others.length > 0 &&
        h(
          "p",
          { class: "notice" },
          `${others.length === 1 ? "The experiment" : "Experiments"} ${others.map((one) => `“${one.name}”`).join(", ")} ` +
            `${others.length === 1 ? "ends" : "end"} without a verdict, so that it reaches those who take part too.`,
        ),
    ),
    act: () => context.client.request("POST", `/agents/${segment(agent)}/rollback`, { body: { kind, topic } }),
  });
}

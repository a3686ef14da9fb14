/**
 * The section What serves: every learnt part of an agent with its way back, and the switch that turns learning off and on.
 *
 * Belongs here: the table, the switch, keeping them up to date. Not here: the dialog of a rollback (review.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { moment } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { again, badge, called, capital, confirm, guarded, table, versionName } from "./common.js";
import { outcome, rollback } from "./review.js";

const EVERY = 5;

/** @param {object} context @param {{agent: string | null, agents: object[]}} state @param {AbortSignal} signal */
export async function serving(context, { agent, agents }, signal) {
  if (!agent) return everyAgent(agents);
  const said = h("div", { class: "said", tabindex: "-1" });
  const [state, parts] = [h("div", {}), h("div", {})];
  let before = "";
  const look = async () => {
    try {
      const shown = await context.client.request("GET", `/agents/${segment(agent)}/serving`, { signal });
      if (before === (before = JSON.stringify(shown))) return;
      fill(state, theSwitch(context, shown, tell));
      fill(parts, partsOf(context, shown, tell), experimentsOf(shown));
    } catch (error) {
      if (signal.aborted) return;
      before = "";
      fill(said, problem(error));
    }
  };
  const tell = async (message) => {
    await look();
    fill(said, h("div", { class: "notice", role: "status" }, message));
    said.focus();
  };
  await look();
  again(signal, () => EVERY, look);
  return h(
    "section",
    { "aria-label": `What serves for ${agent}` },
    said,
    state,
    parts,
    h("p", { class: "hint" }, `Looked at every ${EVERY} s while this page is shown. Clients follow a change within a second.`),
  );
}

function everyAgent(agents) {
  return h(
    "section",
    {},
    h("h2", {}, "Learning of every agent"),
    table(
      "Learning of every agent",
      ["Agent", "Learning", "Prompt"],
      agents.map((one) => [
        h("a", { href: `?tab=serving&agent=${encodeURIComponent(one.agent)}` }, one.agent),
        badge(one.learning_enabled ? "running" : "paused"),
        versionName("prompt", one.serving_prompt_version),
      ]),
    ),
    h("p", { class: "hint" }, "Choose an agent to see every part, to roll one back or to switch learning off."),
  );
}

function theSwitch(context, shown, tell) {
  const why = context.can("admin") ? null : "Only an administrator switches learning off and on.";
  const learnt = shown.parts.filter((part) => part.labelled !== null && part.labelled !== 0);
  const listed = learnt.map((part) => `${called(part.kind, part.topic)} ${versionName(part.kind, part.labelled)}`).join(", ");
  const wrong = (work) => () => work().catch((error) => tell(error.message));
  const off = wrong(async () => {
    const done = await confirm({
      title: `Switch learning off for ${shown.agent}?`,
      yes: "Switch learning off",
      danger: true,
      word: shown.agent,
      body: [
        h(
          "p",
          {},
          "Within a second every client gets the base prompt and the base index, nothing learnt and no experiment. Jobs end skipped, nothing is proposed or " +
            "approved. No label moves: switching it on brings everything back as it was.",
        ),
        h("p", {}, learnt.length ? `What stops serving: ${listed} ` + "(a prompt that was imported stays)." : "Nothing learnt serves now."),
      ],
      act: () => context.client.request("POST", `/agents/${segment(shown.agent)}/disable`, { body: {} }),
    });
    if (done)
      await tell(
        done.agents.length ? `Learning is off for ${shown.agent}: what it was imported with serves.` : "It was off before, and nothing changed.",
      );
  });
  const on = wrong(async () => {
    const done = await confirm({
      title: `Switch learning on for ${shown.agent}?`,
      yes: "Switch learning on",
      body: h("p", {}, learnt.length ? `What serves again: ${listed}.` : "The agent learns again; nothing learnt serves yet."),
      act: () => context.client.request("POST", `/agents/${segment(shown.agent)}/enable`, { body: {} }),
    });
    if (done)
      await tell(
        done.agents.length ? `Learning is on for ${shown.agent}: what served before serves again.` : "It was on before, and nothing changed.",
      );
  });
  return h(
    "div",
    { class: `card switch ${shown.learning_enabled ? "" : "off"}` },
    h("h2", {}, "Learning is ", h("strong", {}, shown.learning_enabled ? "on" : "off")),
    h(
      "p",
      {},
      shown.learning_enabled
        ? "What is learnt and approved serves; jobs, proposals and experiments go on."
        : "The base prompt and the base index serve, nothing learnt. Jobs end skipped, nothing can be approved.",
    ),
    shown.learning_enabled
      ? guarded("Switch learning off …", why, off, { class: "danger" })
      : guarded("Switch learning on …", why, on, { class: "primary" }),
    why && h("p", { class: "hint" }, why),
  );
}

function partsOf(context, shown, tell) {
  const roll = (part) => async () => {
    try {
      const answer = await rollback(context, shown.agent, part.kind, part.topic || undefined);
      if (answer) await tell(outcome(answer));
    } catch (error) {
      await tell(error.message);
    }
  };
  const rows = shown.parts.map((part) => {
    const why = !context.can("admin") ? "Only an administrator rolls back." : part.rollback_to === null ? "Nothing served before it." : null;
    const waits = part.candidate !== null && part.candidate !== part.labelled;
    const name = called(part.kind, part.topic);
    return [
      capital(name),
      [
        versionName(part.kind, part.serves),
        part.serves !== part.labelled && h("div", { class: "hint" }, `${versionName(part.kind, part.labelled)} when learning is on`),
      ],
      waits ? versionName(part.kind, part.candidate) : "–",
      part.rollback_to === null ? "–" : versionName(part.kind, part.rollback_to),
      part.moved_at ? moment(part.moved_at) : "–",
      guarded("Roll back …", why, roll(part), { "aria-label": `Roll back the ${name} …` }),
    ];
  });
  return [
    h("h2", {}, "What serves now"),
    table("What serves now", ["Part", "Serves now", "Proposed last", "A rollback brings", "Since", "Way back"], rows),
  ];
}

function experimentsOf({ experiments }) {
  if (!experiments.length) return h("p", { class: "muted" }, "No rollout and no experiment is under way.");
  return [
    h("h2", {}, "Under way"),
    h(
      "ul",
      {},
      experiments.map((one) =>
        h(
          "li",
          {},
          h("a", { href: `?tab=experiments&experiment=${encodeURIComponent(one.id)}` }, one.name),
          " ",
          badge(one.state),
          " ",
          `of the ${called(one.subject)}: ${one.arms.map((arm) => `${arm.variant} serves ${versionName(one.subject, arm.version)}`).join(", ")}`,
          one.percent !== null && `, at ${one.percent} % of the traffic`,
        ),
      ),
    ),
  ];
}

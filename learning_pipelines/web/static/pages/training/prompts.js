/**
 * The section Prompts: versions of an agent's prompt, the difference of any two, moving labels, and where the editor opens.
 *
 * Belongs here: the list and what is done with one version. Not here: the editor (editor.js), what serves besides prompts (serving.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { queried } from "../../ui/filters.js";
import { day, number } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { demonstrations, difference, promptText } from "./changes.js";
import { badge, confirm, guarded, table } from "./common.js";
import { draftOf, editor } from "./editor.js";

/** @param {object} context @param {{agent: string | null, agents: object[]}} state @param {AbortSignal} signal */
export async function prompts(context, { agent, agents }, signal) {
  if (!agent) return chooser(agents);
  const path = `/prompts/${segment(agent)}`;
  const known = new Map(); // versions never change, but for labels and scores, which the list shows
  const read = async (version) => {
    if (version === 0) return { version: 0, messages: [{ role: "system", content: "" }], model: null, retrieval: null };
    if (!known.has(version)) known.set(version, await context.client.request("GET", `${path}/versions/${version}`, { signal }));
    return known.get(version);
  };
  const [said, list, compared, editing] = [h("div", { class: "said", tabindex: "-1" }), h("div", {}), h("div", {}), h("div", {})];
  const tell = async (message) => {
    const failed = await look().then(() => null, problem); // it is done, also where the list cannot be read
    fill(said, h("div", { class: "notice", role: "status" }, message), failed);
    said.focus();
  };
  let writing = new AbortController();
  const open = async (version) => {
    writing.abort(); // one editor at a time: the one before keeps its draft, and no longer asks whether to leave the page
    writing = new AbortController();
    try {
      fill(
        editing,
        await editor(context, {
          agent,
          base: await read(version),
          next: (versions[0]?.version ?? 0) + 1,
          signal: AbortSignal.any([signal, writing.signal]),
          done: async (message) => {
            fill(editing);
            if (message) await tell(message);
          },
        }),
      );
      editing.querySelector("h2").focus();
    } catch (error) {
      fill(editing, problem(error));
    }
  };
  let versions = [];
  const look = async () => {
    ({ versions } = await context.client.request("GET", `${path}/versions`, { signal }));
    fill(list, versionsOf(context, agent, versions, { open, tell }));
    fill(compared, versions.length > 0 && comparison(versions, read));
  };
  await look();
  const draft = draftOf(context, agent);
  if (draft && context.can("admin")) await open(draft.base);
  return h("section", { "aria-label": `Prompts of ${agent}` }, said, list, editing, compared);
}

function chooser(agents) {
  return h(
    "section",
    {},
    h("h2", {}, "Choose an agent"),
    h(
      "ul",
      {},
      agents.map((one) =>
        h(
          "li",
          {},
          h("a", { href: `?tab=prompts&agent=${encodeURIComponent(one.agent)}` }, one.agent),
          one.serving_prompt_version === null ? " has no prompt" : ` is served version ${one.serving_prompt_version}`,
        ),
      ),
    ),
  );
}

function versionsOf(context, agent, versions, { open, tell }) {
  const why = context.can("admin") ? null : "Only an administrator writes versions and moves labels.";
  if (!versions.length)
    return h(
      "div",
      { class: "empty" },
      h("p", {}, "This agent has no prompt yet. Import it with a system_prompt (kind agents), or write the first version here."),
      guarded("Write the first version", why, () => open(0)),
    );
  const origin = (one) => [
    one.origin,
    one.strategy && ` by ${one.strategy}`,
    one.parent !== null && one.parent !== undefined && ` from ${one.parent}`,
    one.dataset_version && h("div", { class: "hint" }, `dataset version ${one.dataset_version}`),
  ];
  const score = (one) => [number(one.score, 3), one.scores?.test?.n && h("div", { class: "hint" }, `n = ${one.scores.test.n}`)];
  const acts = (one) =>
    h(
      "div",
      { class: "acts" },
      guarded("Write a version", why, () => open(one.version), { "aria-label": `Write a version from version ${one.version}` }),
      guarded("Point a label …", why, () => move(context, agent, one, versions, tell), {
        "aria-label": `Point a label at version ${one.version} …`,
      }),
    );
  return [
    h("h2", {}, "Versions"),
    why && h("p", { class: "hint" }, why),
    table(
      "Versions of the prompt",
      ["Version", "Labels", "Where it is from", { number: "Score" }, "Verdict", "Made", "Do"],
      versions.map((one) => [
        `Version ${one.version}`,
        one.labels.length ? one.labels.map((label) => [badge(label), " "]) : "–",
        origin(one),
        { number: score(one) },
        one.verdict ? badge(one.verdict) : "–",
        day(one.created_at),
        acts(one),
      ]),
    ),
  ];
}

/** Any two versions, word by word; at first what serves and the newest other one. */
function comparison(versions, read) {
  const options = (chosen) =>
    versions.map((one) =>
      h(
        "option",
        { value: one.version, selected: one.version === chosen },
        `Version ${one.version}${one.labels.length ? ` (${one.labels.join(", ")})` : ""}`,
      ),
    );
  const serves = versions.find((one) => one.labels.includes("production")) ?? versions.at(-1);
  const linked = versions.find((one) => String(one.version) === queried("version"));
  const other = linked ?? versions.find((one) => one.labels.includes("candidate") && one !== serves) ?? versions.find((one) => one !== serves) ?? serves;
  const [from, to] = [h("select", { id: "compare-from" }, options(serves.version)), h("select", { id: "compare-to" }, options(other.version))];
  const place = h("div", { "aria-live": "off" });
  let turn = 0;
  const draw = async () => {
    const mine = (turn += 1);
    try {
      const [before, after] = await Promise.all([read(Number(from.value)), read(Number(to.value))]);
      if (mine !== turn) return;
      const same = before.version === after.version;
      fill(
        place,
        same ? whole(after) : difference(promptText(before), promptText(after), [`version ${before.version}`, `version ${after.version}`]),
        demonstrations(after.demonstrations),
      );
    } catch (error) {
      if (mine === turn) fill(place, problem(error));
    }
  };
  for (const select of [from, to]) select.addEventListener("change", draw);
  draw();
  return h(
    "section",
    { class: "card", "aria-labelledby": "compare-heading" },
    h("h2", { id: "compare-heading" }, "Compare"),
    h(
      "div",
      { class: "bar" },
      h("div", {}, h("label", { for: "compare-from" }, "From"), h("br"), from),
      h("div", {}, h("label", { for: "compare-to" }, "To"), h("br"), to),
    ),
    place,
  );
}

function whole(version) {
  return h(
    "pre",
    { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `Version ${version.version}`, dir: "auto" },
    promptText(version),
  );
}

async function move(context, agent, target, versions, tell) {
  const label = h("input", {
    id: "label-name",
    value: "production",
    pattern: "[a-z0-9][a-z0-9_\\-]{0,62}",
    required: true,
    list: "label-names",
    autocomplete: "off",
  });
  const consequence = h("p", { "aria-live": "polite" });
  const tellWhat = () => {
    const now = versions.find((one) => one.labels.includes(label.value.trim()));
    const from = now ? `version ${now.version}` : "nothing";
    fill(
      consequence,
      label.value.trim() === "production"
        ? `Version ${target.version} serves every client of ${agent} within a second; now ${from} does. It is not put to a test first.`
        : `The label ${label.value.trim()} points at version ${target.version}; now at ${from}. Whoever asks for it gets that; production stays.`,
    );
  };
  label.addEventListener("input", tellWhat);
  tellWhat();
  const moved = await confirm({
    title: `Point a label at version ${target.version}`,
    yes: "Move the label",
    body: h(
      "div",
      {},
      h("label", { for: "label-name" }, "Label"),
      h("br"),
      label,
      h(
        "datalist",
        { id: "label-names" },
        ["production", "candidate", ...new Set(versions.flatMap((one) => one.labels))].map((name) => h("option", { value: name })),
      ),
      consequence,
    ),
    act: () =>
      context.client.request("PUT", `/prompts/${segment(agent)}/labels/${segment(label.value.trim())}`, { body: { version: target.version } }),
  });
  if (moved) await tell(`${moved.label} points at version ${moved.version} now${moved.before ? `, before at version ${moved.before}` : ""}.`);
}

/**
 * The editor of prompts: a new version by hand from any version, its variables, what differs, a draft that survives reloading.
 *
 * Belongs here: writing one version. Not here: the list of versions (prompts.js), comparing (changes.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { moment } from "../../ui/format.js";
import { difference, promptText } from "./changes.js";
import { confirm } from "./common.js";

const ROLES = ["system", "user", "assistant"];
const VARIABLE = /\{\{\s*([^{}\n]{1,100}?)\s*\}\}/g;

const keyOf = (context, agent) => `learning-draft/${context.session.organization}/${context.session.user}/${agent}`;

/** The draft that this browser keeps for the agent: {base, messages, model, at}; null without one. */
export function draftOf(context, agent) {
  try {
    const draft = JSON.parse(sessionStorage.getItem(keyOf(context, agent)) ?? "null");
    const whole =
      Number.isInteger(draft?.base) &&
      Array.isArray(draft.messages) &&
      draft.messages.every((one) => ROLES.includes(one.role) && typeof one.content === "string");
    return whole ? draft : null;
  } catch {
    return null;
  }
}

/** Names of {{variables}} in texts, each once, in order. */
export const variables = (texts) => [...new Set(texts.flatMap((text) => [...text.matchAll(VARIABLE)].map(([, name]) => name)))];

/**
 * @param {object} context
 * @param {{agent: string, base: object, next: number, signal: AbortSignal, done: (message: string | null) => Promise<void>}} given
 *   `base`: the version that is written from; `next`: the number that the new one will probably get; `done`: called when it was stored or given up.
 */
export async function editor(context, { agent, base, next, signal, done }) {
  const draft = draftOf(context, agent);
  const kept = draft?.base === base.version ? draft : null;
  const messages = (kept?.messages ?? base.messages).map((one) => ({ ...one }));
  const model = h("input", { id: "editor-model", value: (kept ? kept.model : base.model) ?? "", maxlength: "255", autocomplete: "off" });
  const [list, found, said, changed] = [h("div", {}), h("p", { class: "hint" }), h("p", { class: "hint", role: "status" }), h("div", {})];
  let dirty = Boolean(kept);
  const from = base.version ? `version ${base.version}` : "nothing";
  const now = () => ({ messages, model: model.value.trim() || null });
  const looks = () => fill(changed, difference(promptText({ ...base, retrieval: null }), promptText(now()), [from, "what you write"]));
  let timer = 0;
  const typed = () => {
    dirty = true;
    const names = variables(messages.map((one) => one.content));
    fill(
      found,
      names.length
        ? ["Variables, filled by whoever uses the prompt: ", names.map((name) => [h("code", {}, `{{${name}}}`), " "])]
        : "No {{variables}}.",
    );
    clearTimeout(timer);
    timer = setTimeout(() => {
      keep(context, agent, { base: base.version, ...now(), at: new Date().toISOString() }, said);
      if (comparing.open) looks();
    }, 300);
  };
  const draw = () =>
    fill(
      list,
      messages.map((message, at) =>
        messageField(message, at, {
          typed,
          remove:
            messages.length > 1 &&
            (() => {
              messages.splice(at, 1);
              draw();
              typed();
            }),
        }),
      ),
    );
  const add = () => {
    messages.push({ role: messages.at(-1)?.role === "user" ? "assistant" : "user", content: "" });
    draw();
    typed();
    list.lastElementChild.querySelector("textarea").focus();
  };
  model.addEventListener("input", typed);
  const comparing = h("details", { ontoggle: () => comparing.open && looks() }, h("summary", {}, `What differs from ${from}`), changed);
  const leave = (event) => {
    if (dirty) event.preventDefault();
  };
  window.addEventListener("beforeunload", leave);
  const end = async (message) => {
    dirty = false;
    clearTimeout(timer);
    forget();
    drop(context, agent);
    await done(message);
  };
  const forget = () => window.removeEventListener("beforeunload", leave);
  signal.addEventListener("abort", () => {
    forget();
    if (dirty) keep(context, agent, { base: base.version, ...now(), at: new Date().toISOString() }, said);
  });
  const save = async (event) => {
    event.preventDefault();
    const stored = await confirm({
      title: `Store this as a version of ${agent}?`,
      yes: "Store it",
      body: h(
        "div",
        {},
        h("p", {}, `It becomes version ${next}, and serves nobody until a label is pointed at it.`),
        difference(promptText({ ...base, retrieval: null }), promptText(now()), [from, "the new one"]),
        base.retrieval && h("p", { class: "notice" }, "Demonstrations that are picked for each input are not part of a version written by hand."),
      ),
      act: () => context.client.request("POST", `/prompts/${segment(agent)}`, { body: { ...now(), parent: base.version || undefined } }),
    });
    if (!stored) return;
    await end(
      stored.status === "unchanged"
        ? `Nothing new: version ${stored.version}, the newest, has this content already.`
        : `Stored as version ${stored.version}. It serves nobody until a label is pointed at it.`,
    );
  };
  const discard = async () => {
    const sure =
      !dirty ||
      (await confirm({
        title: "Discard what you wrote?",
        yes: "Discard it",
        danger: true,
        body: h("p", {}, "It is stored nowhere else."),
        act: async () => true,
      }));
    if (sure) await end(null);
  };
  draw();
  if (messages.length) typed();
  dirty = Boolean(kept);
  clearTimeout(timer);
  return h(
    "form",
    { class: "card editor", "aria-labelledby": "editor-heading", onsubmit: save },
    h("h2", { id: "editor-heading", tabindex: "-1" }, `A new version, from ${from}`),
    kept && h("p", { class: "notice" }, `This is your draft of ${moment(kept.at)}, kept in this tab. “Discard” brings back ${from}.`),
    list,
    h("button", { type: "button", onclick: add }, "Add a message"),
    found,
    h("label", { for: "editor-model" }, "Model it is meant for (optional)"),
    h("br"),
    model,
    comparing,
    said,
    h(
      "div",
      { class: "bar actions" },
      h("button", { class: "primary" }, "Store as a new version …"),
      h("button", { type: "button", onclick: discard }, "Discard"),
    ),
  );
}

function messageField(message, at, { typed, remove }) {
  const [role, text] = [`editor-role-${at}`, `editor-text-${at}`];
  return h(
    "fieldset",
    { class: "message" },
    h("legend", {}, `Message ${at + 1}`),
    h("label", { for: role }, "Role"),
    " ",
    h(
      "select",
      {
        id: role,
        onchange: (event) => {
          message.role = event.target.value;
          typed();
        },
      },
      ROLES.map((name) => h("option", { value: name, selected: name === message.role }, name)),
    ),
    remove && h("button", { type: "button", class: "remove", onclick: remove, "aria-label": `Remove message ${at + 1}` }, "Remove"),
    h("br"),
    h("label", { for: text }, "Text"),
    h("textarea", {
      id: text,
      class: "code",
      dir: "auto",
      spellcheck: "true",
      ".value": message.content,
      oninput: (event) => {
        message.content = event.target.value;
        typed();
      },
    }),
  );
}

function drop(context, agent) {
  try {
    sessionStorage.removeItem(keyOf(context, agent));
  } catch {
    // Storage is switched off: there is none.
  }
}

/** Keeps the draft in this tab; says so, or that it is too large to be kept. */
function keep(context, agent, draft, said) {
  try {
    sessionStorage.setItem(keyOf(context, agent), JSON.stringify(draft));
    fill(said, "Draft kept in this tab.");
  } catch {
    fill(said, "The draft is too large to be kept in this tab: store it, or it is lost when the tab is closed.");
  }
}

/**
 * What the sections of the page Training share: names of kinds and versions, a dialog that asks before it acts, looking again while something runs.
 *
 * Belongs here: words and small elements of several sections. Not here: what one section shows.
 */

import { fill, h } from "../../ui/dom.js";
import { dagsterLink, problem } from "../../ui/shell.js";

/** Kinds of proposals and of what serves, as people call them. */
export const KINDS = {
  prompt: "prompt",
  index: "search index",
  reranker: "re-ranker",
  expansion: "query expansion",
  chunk_edit: "chunk edit",
  policy: "policy",
  playbook: "playbook",
  rules: "rules",
  guidance: "guidance",
  fine_tune: "fine-tuned model",
};
const OF_INDEX = ["index", "reranker", "expansion", "chunk_edit"];
/** The steps of a canary rollout, percent of the traffic. */
export const STEPS = "1, 5, 25, 50 and 100 %";

/** What is rolled back after a proposal of a kind: that of the version it is about. */
export const rollbackKind = (proposal) => proposal.subject.kind ?? (OF_INDEX.includes(proposal.kind) ? "index" : proposal.kind);

/** Whether a proposal of this kind may begin with a small share of the traffic. */
export const hasCanary = (kind) => kind === "prompt" || kind === "policy" || OF_INDEX.includes(kind);

/** "the playbook “refund”" */
export const called = (kind, topic) => `${KINDS[kind] ?? kind}${topic ? ` “${topic}”` : ""}`;

/** A version by its number: "version 4", "the base index", "nothing learnt", "no prompt". */
export function versionName(kind, number) {
  if (number === null || number === undefined) return kind === "prompt" ? "no prompt" : "nothing learnt";
  if (number > 0) return `version ${number}`;
  return OF_INDEX.includes(kind) ? "the base index" : "nothing learnt";
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A link to a run in the Dagster UI; its id alone where no address is known. */
export function dagsterRun(runId, text = "in Dagster") {
  if (!runId) return null;
  return dagsterLink ? h("a", { href: `${dagsterLink}/runs/${encodeURIComponent(runId)}`, rel: "noopener" }, text) : h("code", {}, runId);
}

const GOOD = ["approved", "completed", "better", "running", "success", "production", "clear"];
const BAD = ["failed", "worse", "rejected", "cancelled", "fired"];
const WARN = ["pending", "open", "skipped", "paused"];
/** A state as a badge. */
export const badge = (state) =>
  h("span", { class: `badge ${GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : WARN.includes(state) ? "warn" : ""}` }, state);

/** A button that says why it may not be used. `why`: the reason, or null where it may. */
export function guarded(text, why, onclick, attributes = {}) {
  return h("button", { type: "button", disabled: Boolean(why), title: why, onclick, ...attributes }, text);
}

let asked = 0;
/**
 * Asks before it acts. `act()` is called when the answer is yes; what it raises is said in the dialog, where everything that was typed stays.
 * @param {object} given
 * @param {string} given.title
 * @param {unknown} given.body Elements or texts.
 * @param {string} given.yes What the button says.
 * @param {boolean} [given.danger]
 * @param {string} [given.word] What has to be typed first.
 * @param {() => Promise<unknown>} given.act
 * @returns {Promise<unknown>} What `act` gave; undefined where the answer was no.
 */
export function confirm({ title, body, yes, danger = false, word, act }) {
  return new Promise((resolve) => {
    const id = `asked-${(asked += 1)}`;
    const said = h("div", {});
    const button = h("button", { class: danger ? "danger" : "primary", disabled: Boolean(word) }, yes);
    const typed =
      word &&
      h("input", {
        id: `${id}-word`,
        autocomplete: "off",
        spellcheck: "false",
        oninput: () => {
          button.disabled = typed.value.trim() !== word;
        },
      });
    let answer;
    const submit = async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      button.disabled = true;
      fill(said);
      try {
        answer = await act();
        dialog.close();
      } catch (error) {
        fill(said, problem(error));
        if (error.name !== "ApiError") reportError(error);
      } finally {
        button.disabled = false;
      }
    };
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": id,
        onclose: () => {
          dialog.remove();
          resolve(answer);
        },
      },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id }, title),
        body,
        word && [h("label", { for: `${id}-word` }, "Type ", h("code", {}, word), " to confirm"), h("br"), typed],
        said,
        h("div", { class: "bar actions" }, button, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Calls `look` again and again until `signal` aborts: every `seconds()` seconds, not while the tab is hidden, at once when it is shown again.
 * @param {AbortSignal} signal @param {() => number} seconds @param {() => Promise<unknown>} look Raises nothing.
 */
export function again(signal, seconds, look) {
  let timer = 0;
  let looking = false;
  const next = () => {
    clearTimeout(timer);
    if (!signal.aborted && !document.hidden) timer = setTimeout(run, 1000 * seconds());
  };
  const run = async () => {
    if (looking || signal.aborted) return;
    looking = true;
    await look().finally(() => {
      looking = false;
    });
    next();
  };
  const shown = () => (document.hidden ? clearTimeout(timer) : run());
  document.addEventListener("visibilitychange", shown);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  });
  next();
}

/** A table in a frame that scrolls by itself. `rows`: arrays of cells; a cell {number: …} stands at the right. */
export function table(caption, heads, rows) {
  const cell = (value) =>
    value !== null && typeof value === "object" && "number" in value && !(value instanceof Node)
      ? h("td", { class: "number" }, value.number)
      : h("td", {}, value);
  const head = (value) => (typeof value === "object" ? h("th", { scope: "col", class: "number" }, value.number) : h("th", { scope: "col" }, value));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, heads.map(head))),
      h(
        "tbody",
        {},
        rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), rest.map(cell))),
      ),
    ),
  );
}

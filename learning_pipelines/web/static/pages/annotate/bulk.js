/**
 * Many items at once: a table of the queue, one verdict for those chosen, all or none.
 *
 * Belongs here: choosing, confirming, sending, undoing in bulk. Not here: one item with its form (desk.js).
 */

import { diffWords, showDiff } from "../../ui/diff.js";
import { segment } from "../../client/learning.js";
import { h, fill } from "../../ui/dom.js";
import { ago, count } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { emptyQueue } from "./empty.js";
import { undoing } from "./undo.js";
import { STATES, text, textArea, TYPES } from "./words.js";

const MOST_COMPARED = 600; // characters of two texts; longer ones are shown without their changes
const SHOWN = 100; // the service judges up to 500 in one request

/** Draws the table into `target`; see desk.js for the arguments. */
export async function bulk(target, filters, signal, { context, store, keys, progress }) {
  const notices = h("div", { class: "notices" });
  const place = h("div", {});
  const undo = undoing(context, store, { notices, undone: async () => { progress.refresh(); await load(); } });
  const guarded = (work) => async () => {
    try {
      await work();
    } catch (error) {
      fill(notices, problem(error));
    }
  };
  let rows = [];
  const chosen = () => rows.filter((row) => row.box.checked);
  const counted = h("span", { role: "status" });
  const all = (checked) => { for (const row of rows) row.box.checked = checked; recount(); };
  const every = h("input", { type: "checkbox", id: "every", onchange: () => all(every.checked) });
  const approve = h("button", { type: "button", class: "primary", onclick: () => confirm(true) }, "Approve …");
  const reject = h("button", { type: "button", class: "danger", onclick: () => confirm(false) }, "Reject …");
  const recount = () => {
    const number = chosen().length;
    counted.textContent = `${count(number)} of ${count(rows.length)} shown chosen`;
    every.checked = number > 0 && number === rows.length;
    every.indeterminate = number > 0 && number < rows.length;
    approve.disabled = reject.disabled = number === 0;
  };

  const load = async () => {
    const { agent, domain, type, status } = filters;
    const query = { agent, domain, type, status, limit: SHOWN };
    const { queue, total } = await context.client.request("GET", "/annotations/queue", { query, signal });
    rows = queue.map((item) => rowOf(item, recount));
    if (rows.length === 0) return fill(place, await emptyQueue(context, filters));
    fill(place,
      h("p", { class: "hint" }, `The ${count(rows.length)} most valuable of ${count(total)} items that are open to you. `,
        "A verdict in bulk has no correction and no scores."),
      h("div", { class: "bar" }, h("span", {}, every, " ", h("label", { for: "every" }, "Choose all shown")), counted, approve, reject),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Items" }, table(rows)));
    return recount();
  };
  const confirm = (approved) => {
    const ids = chosen().map((row) => row.id);
    if (ids.length > 0) ask(ids, approved, (notes) => send(ids, approved, notes));
  };
  const send = async (ids, approved, notes) => {
    for (const row of rows) row.mark("");
    let answer;
    try {
      answer = await context.client.request("POST", "/annotations/bulk", { body: { example_ids: ids, approved, notes: notes.trim() || null } });
    } catch (error) {
      const named = rows.filter((row) => row.box.checked && error.message.includes(row.id));
      for (const row of named) row.mark("stops it");
      const leave = () => { for (const row of named) row.box.checked = false; recount(); fill(notices); approve.focus(); };
      fill(notices, problem(error), named.length > 0 && h("p", {}, "Nothing was changed. ", h("button", { type: "button", onclick: leave },
        `Leave out the ${count(named.length)} that stop it`)));
      return;
    }
    const label = `${approved ? "approved" : "rejected"} ${count(ids.length)} item${ids.length === 1 ? "" : "s"}`;
    store.addDone({ undoId: answer.undo_id, ids, label });
    undo.refresh();
    progress.refresh();
    const failed = await load().then(() => null, problem); // it is done, also where the rest of the queue cannot be read
    fill(notices, h("p", { class: "notice", role: "status" }, `You ${label}. `, decided(answer.results), " The button above undoes all of it."), failed);
    undo.button.focus();
  };

  fill(target, h("div", { class: "bar" }, undo.button, keys.button()), notices, place);
  undo.button.addEventListener("click", guarded(undo.last));
  const freeKeys = keys.use([
    { key: "t", does: "Choose all shown, or none", run: () => every.click() },
    { key: "a", does: "Approve those chosen (asks first)", run: () => confirm(true) },
    { key: "r", does: "Reject those chosen (asks first)", run: () => confirm(false) },
    { key: "u", does: "Undo what you did last", run: guarded(undo.last) },
    { key: "z", ctrl: true, does: "Undo what you did last (outside of fields)", run: guarded(undo.last) },
    { key: "f", does: "Go to the filters", run: () => document.querySelector(".bar select")?.focus() },
    { key: "b", does: "Back to one at a time", run: () => document.querySelector("[data-view=one]")?.click() },
  ]);
  signal.addEventListener("abort", freeKeys);
  await load();
}

function rowOf(item, recount) {
  const said = h("span", { class: "stops" });
  const box = h("input", { type: "checkbox", "aria-label": `Choose ${item.example_id}`, onchange: recount });
  const element = h("tr", {}, h("td", {}, box, " ", said), h("td", {}, short(item.input_text, "Input")), h("td", {}, expected(item)),
    h("td", {}, TYPES[item.example_type] ?? item.example_type), h("td", {}, h("bdi", {}, item.agent)), h("td", {}, STATES[item.review_status]),
    h("td", {}, ago(item.created_at)), h("td", {}, h("a", { href: `?example=${segment(item.example_id)}` }, "Open")));
  return { id: item.example_id, box, element, mark: (words) => { said.textContent = words; element.classList.toggle("stopping", words !== ""); } };
}

function expected(item) {
  const [before, after] = [item.original_output, item.expected_output];
  if (item.output_a !== null || item.output_b !== null) {
    return short(`${item.preferred_output ?? "Neither"} is preferred. A: ${item.output_a ?? "–"} B: ${item.output_b ?? "–"}`, "Outputs");
  }
  if (after === null) return h("span", { class: "muted" }, "not known");
  const unlike = before !== null && before !== after && before.length + after.length <= MOST_COMPARED;
  return unlike ? showDiff(diffWords(before, after)) : short(after, "Expected output");
}

function short(value, label) {
  if (value.length <= 240) return h("div", { class: "said", dir: "auto" }, value);
  return h("details", {}, h("summary", {}, h("bdi", {}, `${value.slice(0, 200)} …`)), text(value, label));
}

const COLUMNS = ["Chosen", "Input", "Expected output", "Type", "Agent", "State", "Made", "More"];

const table = (rows) => h("table", { class: "queue" },
  h("caption", { class: "visually-hidden" }, "Items of the queue, the most valuable review first"),
  h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, rows.map((row) => row.element)));

function decided(results) {
  const states = Object.entries(Object.groupBy(results, (one) => one.review_status));
  return `${states.map(([state, those]) => `${count(those.length)} ${those.length === 1 ? "is" : "are"} ${STATES[state]} now`).join(", ")}.`;
}

function ask(ids, approved, go) {
  const name = approved ? "Approve" : "Reject";
  const { input: notes } = textArea({ id: "bulk-notes" });
  const dialog = h("dialog", { "aria-labelledby": "bulk-title", onclose: () => dialog.remove() });
  const done = (event) => { event.preventDefault(); dialog.close(); go(notes.value); };
  fill(dialog, h("form", { onsubmit: done }, h("h2", { id: "bulk-title" }, `${name} ${count(ids.length)} item${ids.length === 1 ? "" : "s"}?`),
    h("p", {}, "All of them or none; you can undo it afterwards."), h("label", { for: "bulk-notes" }, "Note on all of them (not required)"), notes,
    h("div", { class: "bar" }, h("button", { class: approved ? "primary" : "danger" }, `${name} ${count(ids.length)}`),
      h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
  document.body.append(dialog);
  dialog.showModal();
}

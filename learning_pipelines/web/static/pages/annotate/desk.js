/**
 * One item at a time: takes the next one, keeps the draft, sends the verdict, skips, undoes.
 *
 * Belongs here: the course of the work. Not here: its keys (desk_keys.js), requests about items (queue.js), what is shown of an item (item.js,
 * outcome.js), the form (verdict.js).
 */

import { h, fill } from "../../ui/dom.js";
import { problem } from "../../ui/shell.js";
import { deskKeys } from "./desk_keys.js";
import { emptyQueue } from "./empty.js";
import { itemCard } from "./item.js";
import { leaseOf, releaseOnLeaving } from "./lease.js";
import { outcome } from "./outcome.js";
import { queueOf } from "./queue.js";
import { undoing } from "./undo.js";
import { verdictForm } from "./verdict.js";
import { STATES } from "./words.js";

/**
 * Draws the desk into `target` and takes the first item.
 * @param {HTMLElement} target
 * @param {{agent: string | null, domain?: string, type?: string, status?: string, item?: string}} filters
 * @param {AbortSignal} signal Aborts when the desk is left.
 * @param {{context: object, store: object, keys: object, progress: object}} page
 */
export async function desk(target, filters, signal, { context, store, keys, progress }) {
  const notices = h("div", { class: "notices" });
  const stage = h("div", { class: "stage" });
  const after = h("div", {});
  const queue = queueOf(context.client, filters, store);
  const undo = undoing(context, store, { notices, undone: (done) => undone(done) });
  const leaseNote = h("div", {});
  const lease = leaseOf(context, (error) => fill(leaseNote, error && refusal(error)));
  let at = null; // { item, form }
  let busy = false;

  fill(target, h("div", { class: "bar" }, undo.button, keys.button()), notices, after, leaseNote, stage);

  /** Does one thing at a time; what goes wrong is said, and nothing typed is lost. */
  const alone = async (work) => {
    if (busy || signal.aborted) return;
    busy = true;
    target.setAttribute("aria-busy", "true");
    fill(notices);
    try {
      await work();
    } catch (error) {
      refused(error);
      if (error.name !== "ApiError") reportError(error);
    } finally {
      busy = false;
      target.removeAttribute("aria-busy");
      if (signal.aborted) leave(); // whatever it took meanwhile
    }
  };
  const another = () => h("button", { type: "button", onclick: () => alone(next) }, "Take the next item");
  const refusal = (error) => {
    const lost = at && [403, 404, 409].includes(error.status);
    return [problem(error), lost && h("p", {}, "What you typed is still below. ", another())];
  };
  const refused = (error) => {
    fill(notices, refusal(error));
    if (at === null) fill(stage, h("p", { class: "empty" }, "No item is at hand. ", another()));
  };
  const keep = () => {
    if (at && !store.keepDraft(at.item.example_id, at.form.read())) {
      fill(notices, h("p", { class: "notice" }, "This is too long to be kept as a draft: it would be lost if you left the page before submitting."));
    }
  };
  const changed = () => {
    lease.touch();
    clearTimeout(keep.waiting);
    keep.waiting = setTimeout(keep, 300);
  };

  const show = (found, quietly = false) => {
    if (!found) return nothing();
    const form = verdictForm(found.item, changed);
    at = { item: found.item, form };
    const draft = store.draft(found.item.example_id);
    if (draft) form.write(draft);
    lease.start(found.item.example_id, found);
    const card = itemCard(found.item, context.client, lease.element);
    fill(leaseNote);
    const review = { class: "card", "aria-label": "Review", tabindex: "-1", "data-return": true, novalidate: true, onsubmit: sent, onkeydown: noAccident };
    fill(stage, h("div", { class: "desk" }, card,
      h("form", review, draft && h("p", { class: "hint" }, "Your draft of this item was kept."), form.element, formButtons())));
    if (!quietly) focusOn(card);
    return context.announce(`Next item: ${card.querySelector("h2").textContent}`);
  };
  const formButtons = () => h("div", { class: "bar" }, h("button", { class: "primary" }, "Submit and take the next"),
    h("button", { type: "button", onclick: () => alone(skip) }, "Skip"));
  const sent = (event) => {
    event.preventDefault();
    alone(submit);
  };
  const nothing = async () => {
    at = null;
    lease.stop();
    fill(stage, await emptyQueue(context, filters));
    const title = stage.querySelector("h2");
    title?.focus();
    context.announce(title?.textContent ?? "");
  };
  const next = async (quietly) => {
    put();
    await show(await queue.next(), quietly === true);
  };
  /** Nothing is at hand any more. */
  const put = () => {
    if (at === null) return;
    clearTimeout(keep.waiting);
    lease.stop();
    store.keepAtHand(null);
    store.letGo();
    at = null;
  };

  const submit = async () => {
    if (at === null) return;
    const wrong = at.form.wrong();
    if (wrong) {
      fill(notices, h("div", { class: "problem", role: "alert" }, wrong.reason));
      wrong.input.focus();
      return;
    }
    const [{ item, form }, draft] = [at, at.form.read()];
    if (draft.correction !== null && draft.verdict !== "approved") return misplaced(form);
    keep();
    const answer = await queue.review(item, draft, lease);
    store.addDone({ undoId: answer.undo_id, ids: [item.example_id], label: `${STATES[draft.verdict]}: ${item.input_text.slice(0, 60)}`, draft });
    put();
    store.dropDraft(item.example_id);
    undo.refresh();
    progress.refresh();
    const shown = outcome({ item, verdict: draft.verdict, answer }, context);
    const found = await queue.next().finally(async () => fill(after, await shown));
    await show(found);
  };
  const misplaced = (form) => {
    const move = () => { form.correctionToSuggestions(); fill(notices); form.field("suggestions").focus(); };
    fill(notices, h("div", { class: "problem", role: "alert" },
      "A corrected output goes with an approval: you approve the example with your text. Approve it, or ",
      h("button", { type: "button", onclick: move }, "move your text to the suggestions"), "."));
    notices.querySelector("button").focus();
  };
  const skip = async () => {
    if (at === null) return;
    const { item } = at;
    keep();
    await queue.skip(item.example_id);
    store.addDone({ undoId: null, ids: [item.example_id], label: `skipped: ${item.input_text.slice(0, 60)}` });
    undo.refresh();
    await next();
  };
  const undone = async (done) => {
    progress.refresh();
    fill(after);
    if (done.ids.length > 1) return at === null ? next() : undefined;
    if (done.draft) store.keepDraft(done.ids[0], done.draft);
    return swap(done.ids[0]);
  };
  /** Puts the item at hand back, its draft kept, and takes another one by its name. */
  const swap = async (id) => {
    if (at) keep();
    const before = at?.item.example_id;
    const found = await queue.take(id);
    clearTimeout(keep.waiting);
    if (before && before !== id) queue.release(before);
    show(found);
  };

  /** Leaves the item with its draft kept, to be taken again on coming back; the lease is given back. */
  const leave = () => {
    freeKeys();
    if (at) {
      keep();
      clearTimeout(keep.waiting);
      lease.stop();
      store.letGo();
      queue.release(at.item.example_id);
      at = null;
    }
    removeEventListener("pagehide", hidden);
    removeEventListener("pageshow", back);
  };
  const hidden = () => {
    if (at === null) return;
    clearTimeout(keep.waiting);
    keep();
    releaseOnLeaving(context.client, at.item.example_id);
  };
  const back = (event) => { if (event.persisted && at) lease.take(); };
  addEventListener("pagehide", hidden);
  addEventListener("pageshow", back);
  signal.addEventListener("abort", leave);

  const freeKeys = keys.use(deskKeys({
    form: () => at?.form, submit: () => alone(submit), skip: () => alone(skip), prolong: () => at && alone(lease.take), undo: () => alone(undo.last),
    toItem: () => focusOn(stage), toOutcome: () => focusOn(after),
  }));
  undo.button.addEventListener("click", () => alone(undo.last));
  await alone(() => next(true));
}

/** Enter in a field that is no text area would send the form: a verdict is sent by its button or its key. */
function noAccident(event) {
  if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && event.target instanceof HTMLInputElement) event.preventDefault();
}

function focusOn(element) {
  const title = element.querySelector("h2");
  if (!title) return;
  title.tabIndex = -1;
  title.focus();
}

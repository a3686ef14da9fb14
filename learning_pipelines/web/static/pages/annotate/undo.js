/**
 * Taking back what this expert did last in this window, one step at a time.
 *
 * Belongs here: the button, the request, saying when it is no longer possible and why. Not here: what is shown then (desk.js, bulk.js).
 */

import { segment } from "../../client/learning.js";
import { h, fill } from "../../ui/dom.js";
import { problem } from "../../ui/shell.js";

/**
 * @param {object} context
 * @param {object} store See kept.js.
 * @param {{notices: HTMLElement, undone: (done: import("./kept.js").Done) => unknown}} told
 */
export function undoing(context, store, { notices, undone }) {
  const button = h("button", { type: "button" });
  const refresh = () => {
    const last = store.done().at(-1);
    button.disabled = !last;
    fill(button, last ? ["Undo: ", h("bdi", {}, last.label)] : "Nothing to undo");
  };
  /** Takes the last step back. What the service refuses for good is taken off the list, so that the step before can be undone. */
  const last = async () => {
    const done = store.done().at(-1);
    if (!done) return;
    try {
      if (done.undoId) await context.client.request("POST", `/annotations/undo/${segment(done.undoId)}`, { body: {} });
    } catch (error) {
      if (error.transient) throw error;
      store.dropDone(done);
      refresh();
      fill(notices, h("p", {}, h("strong", {}, "This can no longer be undone: "), h("bdi", {}, done.label)), problem(error));
      return;
    }
    store.dropDone(done);
    refresh();
    fill(notices);
    context.announce(`Undone: ${done.label}`);
    await undone(done);
  };
  refresh();
  return { button, refresh, last };
}

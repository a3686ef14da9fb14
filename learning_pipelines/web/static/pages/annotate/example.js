/**
 * One example by its name, with everything said about it that this expert may see.
 *
 * Belongs here: the view behind ?example=. Not here: judging (desk.js), how annotations look (outcome.js).
 */

import { segment } from "../../client/learning.js";
import { h, fill } from "../../ui/dom.js";
import { setQuery } from "../../ui/filters.js";
import { itemCard } from "./item.js";
import { annotationList, annotationsOf } from "./outcome.js";
import { STATES } from "./words.js";

const OPEN = ["pending", "in_review", "needs_revision"];

/** Draws the example named by the address into `target`. */
export async function example(target, { example: id }, signal, { context, store, keys }) {
  signal.addEventListener("abort", keys.use([{ key: "b", does: "Back to the queue", run: () => setQuery({ example: null }) }]));
  const back = h("button", { type: "button", onclick: () => setQuery({ example: null }) }, "Back to the queue");
  const place = h("div", {});
  fill(target, h("div", { class: "bar" }, back, keys.button()), place);
  try {
    fill(place, await shown(id, signal, context, store));
  } catch (error) {
    context.problem(error, place);
    if (error.name !== "ApiError") throw error;
  }
}

async function shown(id, signal, context, store) {
  const path = `/annotations/queue/${segment(id)}`;
  const item = await context.client.request("GET", path, { signal });
  const said = await annotationsOf(id, context.client);
  const refused = h("div", {});
  const review = async () => {
    try {
      await context.client.request("POST", `${path}/lease`, { body: {} });
      store.askFor(id);
      setQuery({ example: null });
    } catch (error) {
      context.problem(error, refused);
    }
  };
  return [itemCard(item, context.client),
    h("section", { class: "card", "aria-label": "Annotations" }, h("h2", {}, `Annotations (${said.length})`), annotationList(said, context)),
    refused, OPEN.includes(item.review_status) ? h("button", { type: "button", class: "primary", onclick: review }, "Review this example")
      : h("p", { class: "hint" }, `It is ${STATES[item.review_status]}; nothing is open about it.`)];
}

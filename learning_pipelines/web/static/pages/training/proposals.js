/**
 * The section Proposals: what may be approved, then what was decided.
 *
 * Belongs here: the lists and one card. Not here: numbers (evidence.js), what changes (changes.js), deciding (review.js).
 */

import { segment } from "../../client/learning.js";
import { fill, h } from "../../ui/dom.js";
import { queried } from "../../ui/filters.js";
import { ago, moment } from "../../ui/format.js";
import { problem } from "../../ui/shell.js";
import { changes } from "./changes.js";
import { badge, called, capital, dagsterRun, versionName } from "./common.js";
import { evidence } from "./evidence.js";
import { buttons } from "./review.js";

const DECIDED = 20;

/** @param {object} context @param {{agent: string | null}} state @param {AbortSignal} signal */
export async function proposals(context, { agent, proposal: wanted }, signal) {
  const list = async (state, limit) => (await context.client.request("GET", "/proposals", { query: { state, agent, limit }, signal })).proposals;
  const [open, linked] = await Promise.all([list("open", 100), wanted ? one(context, wanted, signal) : null]);
  const place = h("section", { "aria-labelledby": "open-proposals" });
  const cards = (found) => found.map((proposal) => card(context, proposal, { opened: proposal.id === wanted || proposal.state === "open" }));
  const listed = open.some((proposal) => proposal.id === wanted);
  place.append(
    linked && !listed ? h("section", {}, h("h2", {}, "The proposal of this link"), linked instanceof Node ? linked : cards([linked])) : "",
    h("h2", { id: "open-proposals" }, `Open (${open.length}${open.length === 100 ? " or more" : ""})`),
    ...(open.length ? cards(open) : [nothing(agent)]),
  );
  place.append(await decided(list, cards));
  if (wanted) requestAnimationFrame(() => scrollTo(place, wanted));
  return place;
}

async function one(context, id, signal) {
  try {
    return await context.client.request("GET", `/proposals/${segment(id)}`, { signal });
  } catch (error) {
    if (error.status === 404 || error.status === 422)
      return h("p", { class: "problem", role: "alert" }, "This link names a proposal that does not exist here.");
    throw error;
  }
}

const nothing = (agent) =>
  h(
    "p",
    { class: "empty" },
    `No proposal ${agent ? `of ${agent} ` : ""}waits. A run makes one when it finds something that tests better than what serves: start one under `,
    h("a", { href: "?tab=runs" }, "Runs"),
    ", or wait for the weekly schedule.",
  );

/** What was approved and rejected, newest first, more on demand. */
async function decided(list, cards) {
  const place = h("section", { "aria-labelledby": "decided-proposals" });
  let limit = DECIDED;
  const draw = async () => {
    const [approved, rejected] = await Promise.all([list("approved", limit), list("rejected", limit)]);
    const found = [...approved, ...rejected].sort((one, other) => (one.created_at < other.created_at ? 1 : -1)).slice(0, limit);
    const whole = approved.length + rejected.length <= found.length && found.length < limit;
    const more = h(
      "button",
      {
        type: "button",
        onclick: async () => {
          limit = Math.min(1000, limit * 5);
          await draw().catch((error) => place.append(problem(error)));
        },
      },
      "Show older ones",
    );
    fill(
      place,
      h("h2", { id: "decided-proposals" }, "Decided"),
      found.length ? cards(found) : h("p", { class: "muted" }, "Nothing was decided yet."),
      !whole && found.length > 0 && limit < 1000 && more,
    );
  };
  await draw();
  return place;
}

function scrollTo(place, id) {
  const found = place.querySelector(`#proposal-${CSS.escape(id)}`);
  if (!found) return;
  found.scrollIntoView({ block: "start" });
  found.querySelector("h3").focus({ preventScroll: true });
}

/**
 * One proposal. It is drawn anew in its place when something was decided.
 * @param {object} context @param {object} proposal As a list or the route of one gives it.
 * @param {{opened?: boolean, said?: unknown}} [options] `said`: what a decision led to, shown first.
 */
export function card(context, proposal, { opened = false, said = null } = {}) {
  const names = [versionName(proposal.kind, proposal.incumbent.version), versionName(proposal.kind, proposal.subject.version)];
  const part = capital(called(proposal.subject.kind ?? proposal.kind, proposal.subject.topic));
  const title = `${part} of ${proposal.agent}: ${names[1]} in the place of ${names[0]}`;
  const element = h("article", { class: "card proposal", id: `proposal-${proposal.id}`, "aria-label": title });
  if (queried("proposal") === proposal.id) element.classList.add("linked");
  const refresh = async (message) => {
    let now;
    try {
      now = await context.client.request("GET", `/proposals/${segment(proposal.id)}`);
    } catch (error) {
      element.querySelector("h3").after(h("div", { class: "notice", role: "status" }, message), problem(error)); // it is done all the same
      return;
    }
    const drawn = card(context, now, { opened: true, said: message });
    element.replaceWith(drawn);
    (drawn.querySelector(".said") ?? drawn.querySelector("h3")).focus();
  };
  const numbers = h("div", {}, evidence(proposal.evidence));
  const inside = h("div", {}, h("p", { class: "muted" }, "Loading what changes …"));
  const load = once(async () => {
    try {
      const { contents } = proposal.contents ? proposal : await context.client.request("GET", `/proposals/${segment(proposal.id)}`);
      fill(numbers, evidence(proposal.evidence, contents.metric));
      fill(inside, changes(contents, names));
    } catch (error) {
      fill(inside, problem(error));
    }
  });
  const what = h(
    "details",
    {
      open: opened && proposal.state === "open",
      ontoggle: (event) => {
        if (event.target === what && what.open) load();
      },
    },
    h("summary", {}, "What changes"),
    inside,
  );
  const body = h("div", {}, numbers, what, buttons(context, proposal, names, refresh));
  fill(
    element,
    h("h3", { tabindex: "-1" }, title),
    h("p", { class: "meta" }, badge(proposal.state), " ", badge(proposal.verdict), " ", h("span", { class: "hint" }, history(proposal))),
    said && h("div", { class: "notice said", tabindex: "-1", role: "status" }, said),
    proposal.notes && h("p", {}, h("strong", {}, "Notes: "), h("span", { dir: "auto" }, proposal.notes)),
    opened || proposal.state === "open" ? body : h("details", {}, h("summary", {}, "Numbers, what changes, ways back"), body),
  );
  return element;
}

function history(proposal) {
  const by = [`proposed ${moment(proposal.created_at)}`];
  if (proposal.incumbent.guidance)
    by.push(`measured against ${versionName(proposal.kind, proposal.incumbent.version)} with guidance ${proposal.incumbent.guidance}`);
  if (proposal.reviewed_at) by.push(`${proposal.state} ${ago(proposal.reviewed_at)}${proposal.rollout ? `, rollout ${proposal.rollout}` : ""}`);
  const run = proposal.training_run_id && h("a", { href: `?tab=runs&run=${encodeURIComponent(proposal.training_run_id)}` }, "its run");
  return [by.join(" · "), run && [" · ", run], proposal.run_id && [" · ", dagsterRun(proposal.run_id)]];
}

function once(work) {
  let begun = false;
  return () => {
    if (!begun) {
      begun = true;
      work();
    }
  };
}

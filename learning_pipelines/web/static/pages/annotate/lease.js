/**
 * How long an item is still reserved for this expert: counts down, prolongs while somebody works, says when it ran out.
 *
 * Belongs here: the lease of the item at hand. Not here: what is done with the item (desk.js).
 */

import { h, fill } from "../../ui/dom.js";
import { segment } from "../../client/learning.js";

const WARNED_SECONDS = 60;

/**
 * @param {object} context As pages get it.
 * @param {(error: Error | null) => void} said Told what went wrong while prolonging; null when that is over.
 */
export function leaseOf(context, said) {
  const left = h("span", { role: "timer", "aria-label": "Time left" });
  const button = h("button", { type: "button", onclick: () => take() }, "Prolong");
  const element = h("div", { class: "lease" });
  const state = { id: null, ends: 0, lasts: 0, touched: false, out: false, warned: false, ticking: 0, asking: false };

  const adopt = ({ lease_until: until, now }) => {
    state.lasts = new Date(until) - new Date(now);
    Object.assign(state, { ends: Date.now() + state.lasts, touched: false, out: false, warned: false });
    fill(element, h("span", {}, "Reserved for you: ", left), button);
    element.classList.remove("out");
    button.textContent = "Prolong";
    tick();
  };
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((state.ends - Date.now()) / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds === 0 && !state.out) return ranOut();
    if (state.out) return undefined;
    if (state.touched && state.ends - Date.now() < state.lasts / 3 && !state.asking) return take().catch(() => {});
    if (seconds <= WARNED_SECONDS && state.lasts / 1000 > WARNED_SECONDS && !state.warned) {
      state.warned = true;
      context.announce("The item is reserved for you for one more minute.");
    }
    return undefined;
  };
  const ranOut = () => {
    state.out = true;
    element.classList.add("out");
    const text = "Your reservation ran out. What you typed is kept; submitting reserves the item again, unless another expert has taken it.";
    fill(element, h("span", {}, text), button);
    button.textContent = "Reserve again";
    context.announce(text);
  };
  const take = async () => {
    const { id } = state;
    state.asking = true;
    try {
      const answer = await context.client.request("POST", `/annotations/queue/${segment(id)}/lease`, { body: {} });
      if (id !== state.id) return false; // another item is at hand by now
      said(null);
      adopt(answer);
      return true;
    } catch (error) {
      if (id !== state.id) return false;
      state.touched = false;
      said(error);
      return false;
    } finally {
      state.asking = false;
    }
  };
  return {
    element,
    /** Counts down for an item; `answer` has lease_until and now. */
    start(id, answer) {
      clearInterval(state.ticking);
      state.id = id;
      adopt(answer);
      state.ticking = setInterval(tick, 1000);
    },
    stop: () => clearInterval(state.ticking),
    /** Somebody works on it: it is prolonged when a third of the time is left. */
    touch: () => { state.touched = true; },
    /** Prolongs it, or reserves it again; whether that went well (`said` was told otherwise). */
    take,
    get out() { return state.out; },
  };
}

/** Gives a lease back while the page goes away: such a request outlives it, which `client.request` cannot promise. */
export function releaseOnLeaving(client, id) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": client.csrfToken };
  const url = `${client.baseUrl}/api/learning/annotations/queue/${segment(id)}/release`;
  fetch(url, { method: "POST", keepalive: true, credentials: "same-origin", body: "{}", headers }).catch(() => {});
}

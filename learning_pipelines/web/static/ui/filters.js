/**
 * Filters of a page, kept in its address: a link shows the same to somebody else, the back button takes a choice back.
 *
 * Belongs here: choosing agent and period, binding any control to the address, drawing anew when it changes. Not here: what is drawn (pages/).
 */

import { h, fill } from "./dom.js";
import { problem } from "./problem.js";

/** Days that a page may look back. */
export const PERIODS = [7, 30, 90];

/** A value of the page's address; `fallback` where it has none. */
export const queried = (name, fallback = "") => new URLSearchParams(location.search).get(name) ?? fallback;

/** Changes values of the address ("" and null take one out) and tells whoever listens; `replace`: without a step for the back button. */
export function setQuery(changes, { replace = false } = {}) {
  const search = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") search.delete(name);
    else search.set(name, value);
  }
  const text = search.toString();
  if (text === new URLSearchParams(location.search).toString()) return;
  history[replace ? "replaceState" : "pushState"](null, "", text ? `?${text}` : location.pathname);
  window.dispatchEvent(new Event("querychange"));
}
window.addEventListener("popstate", () => window.dispatchEvent(new Event("querychange")));

/**
 * Binds a select or an input to a value of the address, both ways. In the address only where it differs from `fallback`.
 * @template {HTMLSelectElement | HTMLInputElement} T
 * @param {T} control @param {string} name @param {string} [fallback] @returns {T}
 */
export function bound(control, name, fallback = "") {
  const read = () => {
    control.value = queried(name, fallback);
    if (control instanceof HTMLSelectElement && control.selectedIndex < 0) control.value = fallback; // the address names what is not offered
  };
  control.addEventListener("change", () => setQuery({ [name]: control.value === fallback ? null : control.value }));
  window.addEventListener("querychange", read);
  read();
  return control;
}

/** A labelled control, for the bar of filters. */
export function labelled(text, control) {
  control.id ||= `filter-${text.toLowerCase().replace(/\W+/g, "-")}`;
  return h("div", {}, h("label", { for: control.id }, text), h("br"), control);
}

/**
 * Puts a bar of filters into `main`, and below it what `render(target, state, signal)` draws into `target`: now, and whenever the address changes.
 *
 * state: { agent: slug or null, days, agents: [those of GET /agents], and every other value of the address as text }. `signal` aborts when the choice
 * changed meanwhile, or when the drawn is replaced: hand it to requests, and stop timers by it. What `render` raises is shown in place of its result.
 *
 * @param {HTMLElement} main
 * @param {{client: object, announce: (text: string) => void}} context
 * @param {object} given
 * @param {"any" | "one" | null} [given.agent] "any" offers all agents together, "one" always has one, null offers none.
 * @param {7 | 30 | 90 | null} [given.days] The period at first; null offers none.
 * @param {HTMLElement[]} [given.more] Further controls (see `bound` and `labelled`).
 * @param {(target: HTMLElement, state: object, signal: AbortSignal) => unknown} given.render
 * @returns {Promise<() => Promise<void>>} Draws anew with the same choice, when the first drawing is done.
 */
export async function filtered(main, context, { agent = "any", days = 30, more = [], render }) {
  const { agents } = await context.client.request("GET", "/agents");
  if (agent === "one" && !queried("agent") && agents.length) setQuery({ agent: agents[0].agent }, { replace: true });
  const place = h("div", { class: "filtered" });
  main.append(h("div", { class: "bar", role: "group", "aria-label": "Filters" },
    agent && labelled("Agent", agentSelect(agents, agent)), days && labelled("Period", daysSelect(days)), more), place);
  let drawing = new AbortController();
  const draw = async () => {
    drawing.abort();
    drawing = new AbortController();
    const { signal } = drawing;
    place.setAttribute("aria-busy", "true");
    if (!place.hasChildNodes()) fill(place, h("p", { class: "muted" }, "Loading …"));
    const target = await drawn(render, chosen(agents, agent, days), signal);
    if (signal.aborted) return;
    if (target) place.replaceChildren(target);
    place.removeAttribute("aria-busy");
  };
  window.addEventListener("querychange", draw);
  await draw();
  return draw;
}

/** What the address chooses. A period that is not offered is the usual one. */
function chosen(agents, agent, days) {
  const state = { ...Object.fromEntries(new URLSearchParams(location.search)), agents };
  state.agent = (agent && queried("agent")) || null;
  state.days = days && PERIODS.includes(Number(state.days)) ? Number(state.days) : days;
  return state;
}

async function drawn(render, state, signal) {
  const target = h("div", {});
  try {
    if (state.agents.length === 0) return fill(target, noAgents());
    if (state.agent && !state.agents.some((one) => one.agent === state.agent)) return fill(target, unknownAgent(state.agent));
    await render(target, state, signal);
  } catch (error) {
    if (signal.aborted) return null;
    fill(target, problem(error));
    if (error.name !== "ApiError") reportError(error);
  }
  return target;
}

const noAgents = () => h("p", { class: "empty" }, "There is no agent yet. An administrator imports them: ",
  h("code", {}, "learning-pipelines import agents FILE"), ", then executions and feedback.");

const unknownAgent = (name) => h("div", { class: "problem", role: "alert" }, h("strong", {}, "No such agent"), " ",
  `This link names the agent “${name}”, which does not exist here: it was removed, or belongs to another organization. Choose another one above.`);

function agentSelect(agents, agent) {
  const called = (one) => (one.name && one.name !== one.agent ? `${one.name} (${one.agent})` : one.agent);
  const select = h("select", {}, agent === "any" && h("option", { value: "" }, "All agents"), agents.map((one) => h("option", { value: one.agent }, called(one))));
  const offer = () => {
    const named = queried("agent");
    select.querySelector("[data-unknown]")?.remove();
    if (named && !agents.some((one) => one.agent === named)) select.prepend(h("option", { value: named, "data-unknown": true }, `${named} (unknown)`));
  };
  offer();
  window.addEventListener("querychange", offer); // before the listener of `bound`, so that it finds the option
  return bound(select, "agent");
}

function daysSelect(days) {
  return bound(h("select", {}, PERIODS.map((one) => h("option", { value: one }, `${one} days`))), "days", String(days));
}

/**
 * Experiments of an agent, or of all: a section of the page Training.
 *
 * Belongs here: what the section shows. Not here: the tabs around it (../training.js).
 */

import { h } from "../../ui/dom.js";

/**
 * The section as an element; it reads its rows itself. It is made anew whenever the tab is opened or another agent is chosen.
 *
 * @param {object} context As `page` in ui/shell.js gives it.
 * @param {string | null} agent Slug of the agent that is chosen; null: every agent.
 * @returns {HTMLElement}
 */
export function experiments(context, agent) {
  return h("p", { class: "empty" }, agent ? `Experiments of ${agent} are not shown here yet.` : "Experiments are not shown here yet.");
}

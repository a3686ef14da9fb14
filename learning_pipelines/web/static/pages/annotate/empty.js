/**
 * How far review is, and what an empty queue means.
 *
 * Belongs here: numbers of GET /annotations/progress in words. Not here: items.
 */

import { h, fill } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { setQuery } from "../../ui/filters.js";

const DAYS = 7;
const ask = (client) => client.request("GET", "/annotations/progress", { query: { days: DAYS } });
const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** The line above the queue; `refresh` asks anew. */
export function progressLine(context) {
  const element = h("div", { class: "progress-line" });
  const refresh = async () => {
    try {
      const now = await ask(context.client);
      const all = now.decided + now.open;
      fill(element,
        h("p", {}, `Verdicts today: ${count(now.mine_today)} by you, ${count(now.all_today)} by all. `,
          `Last ${now.days} days: ${count(now.mine)} by you, ${count(now.all)} by ${plural(now.experts, "expert", "experts")}. `,
          `Open: ${count(now.open)}, of which ${count(now.open_to_me)} for you.`),
        all > 0 && h("label", { class: "hint" }, `Decided: ${count(now.decided)} of ${plural(all, "example", "examples")} `,
          h("progress", { max: all, value: now.decided })));
    } catch (error) {
      fill(element, h("p", { class: "hint" }, `How far review is could not be asked: ${error.message}`));
    }
  };
  return { element, refresh };
}

/** What to do when nothing is open to this expert. */
export async function emptyQueue(context, filters) {
  const filtered = ["agent", "domain", "type", "status"].some((name) => filters[name]);
  const now = await ask(context.client);
  const unfilter = () => setQuery({ agent: null, domain: null, type: null, status: null });
  return h("section", { class: "empty", "aria-label": "Nothing to review" },
    h("h2", { tabindex: "-1" }, title(now, filtered)), h("p", {}, advice(now, filtered)),
    filtered && h("button", { type: "button", onclick: unfilter }, "Remove the filters"));
}

function title(now, filtered) {
  if (filtered && now.open_to_me > 0) return "Nothing is open with these filters";
  if (now.decided + now.open === 0) return "There are no examples yet";
  return now.open === 0 ? "Everything is reviewed" : "Nothing is open for you";
}

function advice(now, filtered) {
  if (filtered && now.open_to_me > 0) return `${plural(now.open_to_me, "item is", "items are")} open for you without them.`;
  if (now.decided + now.open === 0) {
    return ["Examples are made of feedback: send executions and feedback (POST /api/learning/executions and /feedback, or the widget), ",
      "or import examples: ", h("code", {}, "learning-pipelines import examples FILE"), ". The job examples_refresh turns feedback into examples."];
  }
  const today = plural(now.mine_today, "verdict", "verdicts");
  const done = `You gave ${today} today, ${count(now.mine)} in ${now.days} days; all experts together ${count(now.all)}.`;
  if (now.open === 0) return `${plural(now.decided, "example has", "examples have")} a decision. ${done} New feedback brings new items.`;
  const open = plural(now.open, "item is", "items are");
  return `${open} still open: with other experts right now, judged or skipped by you, or made of your own words. ${done}`;
}

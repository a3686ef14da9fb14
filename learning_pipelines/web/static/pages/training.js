/**
 * The page Training: what is learnt, what may be approved, what serves, and the ways back.
 *
 * Belongs here: the sections and who sees them. Not here: what each shows (training/).
 */

import { ApiError } from "../client/learning.js";
import { h } from "../ui/dom.js";
import { filtered, queried, setQuery } from "../ui/filters.js";
import { page, problem } from "../ui/shell.js";

/** Name, title, the role that sees it, what draws it: (context, state, signal) → element. Each is loaded when it is first opened. */
const SECTIONS = [
  ["proposals", "Proposals", "trainer", async (...given) => (await import("./training/proposals.js")).proposals(...given)],
  ["runs", "Runs", "trainer", async (...given) => (await import("./training/runs.js")).runs(...given)],
  ["prompts", "Prompts", "trainer", async (...given) => (await import("./training/prompts.js")).prompts(...given)],
  ["serving", "What serves", "trainer", async (...given) => (await import("./training/serving.js")).serving(...given)],
  ["experiments", "Experiments", "experimenter", async (given, { agent }) => (await import("./training/experiments.js")).experiments(given, agent)],
];

document.head.append(h("link", { rel: "stylesheet", href: new URL("training/training.css", import.meta.url).href }));

await page({
  title: "Training",
  render: async (main, context) => {
    const mine = SECTIONS.filter(([, , role]) => context.can(role));
    if (!mine.length) {
      main.append(
        problem(
          new ApiError(
            403,
            "Not for this role",
            `This page needs the role trainer, experimenter or admin; you are signed in with the role ${context.session.role}.`,
          ),
        ),
      );
      return;
    }
    const chosen = () => mine.find(([name]) => name === section()) ?? mine[0];
    main.append(tabs(mine, chosen));
    await filtered(main, context, {
      days: null,
      render: async (target, state, signal) => {
        target.append(await chosen()[3](context, state, signal));
      },
    });
  },
});

/** The section that the address names, or that holds what it links to. */
function section() {
  return queried("tab") || (queried("run") ? "runs" : queried("experiment") ? "experiments" : queried("version") ? "prompts" : "proposals");
}

function tabs(sections, chosen) {
  const links = sections.map(([name, title]) => h("a", { href: `?tab=${name}`, onclick: (event) => go(event, name) }, title));
  const mark = () =>
    sections.forEach(([name], at) => {
      if (chosen()[0] === name) links[at].setAttribute("aria-current", "page");
      else links[at].removeAttribute("aria-current");
    });
  window.addEventListener("querychange", mark);
  mark();
  return h("nav", { class: "tabs", "aria-label": "Sections" }, links);
}

function go(event, name) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  setQuery({ tab: name, proposal: null, run: null, experiment: null, version: null });
}

/**
 * The page Annotate: one item at a time, in bulk, or one example with its history; filters in the address.
 *
 * Belongs here: which view the address asks for, what all views share. Not here: the views (annotate/).
 */

import { h } from "../ui/dom.js";
import { bound, filtered, labelled, setQuery } from "../ui/filters.js";
import { page } from "../ui/shell.js";
import { bulk } from "./annotate/bulk.js";
import { desk } from "./annotate/desk.js";
import { progressLine } from "./annotate/empty.js";
import { example } from "./annotate/example.js";
import { kept } from "./annotate/kept.js";
import { shortcuts } from "./annotate/shortcuts.js";
import { STATES, TYPES } from "./annotate/words.js";

const OPEN = ["pending", "in_review", "needs_revision"];

await page({
  title: "Annotate",
  role: "expert",
  render: async (main, context) => {
    await styled();
    const shared = { context, store: kept(context.session), keys: shortcuts(), progress: progressLine(context) };
    const views = h("div", { class: "views", role: "group", "aria-label": "View" }, view("one", "One at a time"), view("bulk", "In bulk"));
    main.append(shared.progress.element);
    shared.progress.refresh();
    await filtered(main, context, { agent: "any", days: null, more: [...filters(), views], render: (target, state, signal) => {
      const shown = state.view === "bulk" ? "bulk" : "one";
      for (const button of views.children) button.setAttribute("aria-pressed", String(button.dataset.view === shown));
      if (state.example) return example(target, state, signal, shared);
      return (state.view === "bulk" ? bulk : desk)(target, state, signal, shared);
    } });
  },
});

function view(name, label) {
  const go = () => setQuery({ view: name === "one" ? null : name, example: null });
  return h("button", { type: "button", "data-view": name, onclick: go }, label);
}

function filters() {
  const any = (label) => h("option", { value: "" }, label);
  const options = (names) => Object.entries(names).map(([value, label]) => h("option", { value }, label));
  const type = bound(h("select", {}, any("All types"), options(TYPES)), "type");
  const status = bound(h("select", {}, any("All open"), OPEN.map((value) => h("option", { value }, STATES[value]))), "status");
  const domain = bound(h("input", { type: "search", maxlength: 255, placeholder: "any", dir: "auto" }), "domain");
  return [labelled("Type", type), labelled("State", status), labelled("Domain", domain)];
}

/** The page's own style rules, there before anything is shown. */
function styled() {
  return new Promise((resolve) => {
    const link = h("link", { rel: "stylesheet", href: new URL("annotate/annotate.css", import.meta.url).href, onload: resolve, onerror: resolve });
    document.head.append(link);
  });
}

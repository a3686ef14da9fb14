/**
 * The tables of the dashboard: issues and agents, with links to what is behind each number. Rows stay the same elements while their numbers change.
 *
 * Belongs here: these two tables, addresses of pages. Not here: tiles and charts (dashboard-view.js).
 */

import { fill, h } from "../ui/dom.js";
import { count, day, interval, number, percent } from "../ui/format.js";

/** The address of a page with a query; values that are null are left out. */
export function address(pages, path, query) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined));
  return `${pages}${path}${search.size ? `?${search}` : ""}`;
}

const link = (pages, text, path, query) => (pages === null ? text : h("a", { href: address(pages, path, query) }, text));
const within = ({ period: { first, last } }) => `${day(first)} to ${day(last)}`;

export function issuesTable() {
  const table = keyed("h3", "Issues", ["Issue", "Count", "Share", "Change"]);
  return {
    element: table.element,
    update(answer, pages) {
      const total = answer.issues.reduce((sum, one) => sum + one.count, 0);
      table.update({
        caption: `${count(total)} issues named, ${within(answer)}; change against the ${answer.period.days} days before`,
        empty: "Nobody named an issue in this period or the one before.",
        rows: answer.issues.map((one) => [one.category, JSON.stringify([one, answer.agent, answer.period.days]), () => [
          link(pages, one.category, "/executions", { agent: answer.agent, issue: one.category, days: answer.period.days }),
          count(one.count), one.share === null ? "–" : percent(one.share),
          one.change > 0 ? `+${count(one.change)}` : count(one.change).replace("-", "−"),
        ]]),
      });
    },
  };
}

export function agentsTable() {
  const table = keyed("h2", "Agents", ["Agent", "Executions", "Feedback", "Feedback rate", "Rating", "Thumbs", "Corrections", "Waiting", "Approved"]);
  return {
    element: table.element,
    update(answer, pages) {
      const left = answer.agents_left_out ? `; ${count(answer.agents_left_out)} more with fewer executions are not listed` : "";
      table.update({
        caption: `${within(answer)}; waiting and approved examples: now${left}`,
        empty: "There is no agent yet. An administrator imports them: learning-pipelines import agents FILE.",
        rows: answer.agents.map((one) => [one.agent, JSON.stringify([one, answer.period.days]), () => cells(one, answer, pages)]),
      });
    },
  };
}

function cells(one, answer, pages) {
  const simulated = one.simulated_feedback ? h("small", {}, `${count(one.simulated_feedback)} simulated`) : null;
  const rating = one.average_rating;
  return [
    link(pages, one.agent, "/", { agent: one.agent, days: answer.period.days }), count(one.executions), [count(one.feedback), simulated],
    percent(one.feedback_rate.value),
    [number(rating.value), rating.interval && h("small", {}, interval(...rating.interval)), rating.n > 0 && h("small", {}, `n = ${count(rating.n)}`)],
    `${count(one.thumbs_up)} up, ${count(one.thumbs_down)} down`, count(one.corrections),
    one.pending && pages !== null ? link(pages, count(one.pending), "/annotate", { agent: one.agent }) : count(one.pending), count(one.approved),
  ];
}

/** A table whose rows have keys and marks: a row is written anew only where its mark changed, and the focus stays where it was. */
function keyed(level, name, columns) {
  const heading = h(level, { id: `dashboard-${name.toLowerCase()}` }, name);
  const caption = h("p", { class: "hint" }), body = h("tbody", {});
  const nothing = h("p", { class: "empty", hidden: true });
  const head = h("tr", {}, columns.map((column, at) => h("th", { scope: "col", class: at ? "number" : null }, column)));
  const table = h("table", { "aria-labelledby": heading.id }, h("thead", {}, head), body);
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": heading.id }, table);
  const known = new Map();
  return {
    element: h("div", { class: "card" }, heading, caption, scroll, nothing),
    update({ caption: said, empty, rows }) {
      const focused = body.getRootNode().activeElement;
      const at = body.contains(focused) ? [focused.closest("tr"), [...focused.closest("tr").querySelectorAll("a")].indexOf(focused)] : null;
      if (caption.textContent !== said) caption.textContent = said;
      nothing.textContent = empty;
      nothing.hidden = rows.length > 0;
      scroll.hidden = rows.length === 0;
      const wanted = new Set(rows.map(([key]) => key));
      for (const [key, { row }] of known) if (!wanted.has(key)) row.remove(), known.delete(key);
      rows.forEach(([key, mark, make], position) => {
        const here = known.get(key) ?? { row: h("tr", {}), mark: null };
        if (here.mark !== mark) fill(here.row, make().map((cell, at_) => (at_ ? h("td", { class: "number" }, cell) : h("th", { scope: "row" }, cell))));
        known.set(key, { row: here.row, mark });
        if (body.children[position] !== here.row) body.insertBefore(here.row, body.children[position] ?? null);
      });
      if (at?.[0].isConnected) at[0].querySelectorAll("a")[at[1]]?.focus({ preventScroll: true });
    },
  };
}

/**
 * Executions, newest first, page by page.
 *
 * Belongs here: the list. Not here: filters (filters.js), one execution (one.js).
 */

import { fill, h } from "../../ui/dom.js";
import { ago, count, moment } from "../../ui/format.js";
import { asked, chosen, filters } from "./filters.js";

const PAGE = 25;
const EXCERPT = 240;
const FIELDS = { agent_id: "agent" };

/**
 * @param {object} context Of the page.
 * @param {(query: URLSearchParams) => void} go Goes to an address of this page.
 */
export function list(context, go) {
  const form = filters((wanted) => { shown = null; go(wanted); }); // the same filters again: what is new since
  const [said, rows, summary, more] = [h("div", {}), h("ol", { class: "plain" }), h("p", { class: "hint" }), h("div", { class: "bar" })];
  let [shown, cursor, query, loading] = [null, null, new URLSearchParams(), null];

  /** Shows what an address asks for; what is there already stays as it is. */
  async function show(wanted) {
    query = chosen(wanted);
    form.read(query);
    if (shown === String(query)) return;
    shown = String(query);
    fill(rows);
    cursor = null;
    await load();
  }

  async function load() {
    const before = rows.children.length;
    let page;
    loading?.abort(); // an answer to older filters must not come in between
    const { signal } = (loading = new AbortController());
    rows.setAttribute("aria-busy", "true");
    try {
      page = await context.client.request("GET", "/executions", { query: { ...asked(query), limit: PAGE, excerpt: EXCERPT, cursor }, signal });
    } catch (error) {
      if (signal.aborted) return undefined;
      shown = null;
      fill(summary);
      fill(more, h("button", { type: "button", onclick: load }, "Try again"));
      form.mark(FIELDS[error.field] ?? error.field);
      return context.problem(error, said);
    } finally {
      if (!signal.aborted) rows.removeAttribute("aria-busy");
    }
    if (signal.aborted) return undefined;
    fill(said);
    form.mark(null);
    rows.append(...page.executions.map((one) => row(one, query)));
    cursor = page.cursor;
    tell(page);
    if (before > 0) rows.children[before]?.querySelector("a")?.focus();
    return undefined;
  }

  function tell(page) {
    const all = rows.children.length;
    const place = page.searched_to && `Looked back to ${moment(page.searched_to)}.`;
    fill(summary, all && `${count(all)} ${all === 1 ? "execution" : "executions"}${cursor ? " so far" : ""}, newest first, back to ${moment(last())}. `);
    fill(more, cursor && h("button", { type: "button", onclick: load }, page.searched_to ? "Look further back" : "Older"), h("span", { class: "hint" }, place), !all && !cursor && nothing(query));
    context.announce(all ? `${count(all)} executions are shown.` : place ?? "No executions.");
  }

  const last = () => rows.lastElementChild.querySelector("time").dateTime;
  return { element: h("div", {}, form.element, said, summary, rows, more), show };
}

function nothing(query) {
  const next = query.size
    ? ["No execution fits these filters. ", h("a", { href: location.pathname, "data-here": true }, "Clear all filters")]
    : ["There are no executions yet. Applications send them to POST /api/learning/executions, or ", h("code", {}, "learning-pipelines import executions FILE"),
      " brings them in."];
  return h("p", { class: "empty" }, next);
}

function row(one, query) {
  const address = new URLSearchParams([...query, ["execution", one.execution_id]]);
  const facts = [one.agent, one.user, one.environment, one.prompt_version && `prompt version ${one.prompt_version}`];
  return h("li", { class: "card" },
    h("a", { href: `?${address}`, class: "title", dir: "auto" }, excerpt(one.input) || "(empty input)"),
    h("p", { dir: "auto" }, excerpt(one.output) || "(empty output)"),
    h("p", { class: "hint" }, h("time", { datetime: one.created_at, title: moment(one.created_at) }, ago(one.created_at)),
      facts.filter(Boolean).map((fact) => [" · ", h("bdi", {}, fact)]), one.tags.map((tag) => [" ", h("bdi", { class: "badge" }, tag)])));
}

function excerpt(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return text.length >= EXCERPT ? `${line} …` : line;
}

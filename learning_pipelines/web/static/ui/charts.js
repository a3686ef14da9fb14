/**
 * Charts: a figure with a title, a drawing, an accessible name that says the gist, and the same numbers as a table.
 *
 * Belongs here: the figure, its words and its table, when it is drawn anew. Not here: how it is drawn (drawing.js), what a number means (pages/).
 */

import { drawing } from "./drawing.js";
import { fill, h } from "./dom.js";
import { interval, number } from "./format.js";

/**
 * One line, or the bars of one colour. `low` and `high`: an interval around each value (a band, or whiskers on bars); `counts`: the n behind each.
 * @typedef {{name: string, values: (number|null)[], low?: (number|null)[], high?: (number|null)[], counts?: (number|null)[],
 *   color?: "accent"|"good"|"bad"|"warn"|"muted", dashed?: boolean, step?: boolean, points?: boolean}} Series
 *
 * `labels`: what each value belongs to; where all are numbers, a line's horizontal axis is a scale of numbers. `targets`: lines that values are held
 * to. `min`, `max`: ends of the axis of values (default: from the values; bars begin at 0). `write`: a value as text. `empty`: what is said instead
 * where no series has a value. `gist`: instead of the sentence made from the numbers.
 * @typedef {{kind?: "line"|"bar"|"stacked", title: string, labels: (string|number)[], labelsName?: string, series: Series[],
 *   targets?: {name: string, value: number}[], min?: number, max?: number, horizontal?: boolean, write?: (value: number|null) => string,
 *   empty?: string|Node, gist?: string, height?: string, note?: string}} Chart
 */

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
let numbered = 0;

/**
 * A chart as an element. `element.update(chart)` shows other numbers: nothing moves, closes or loses its focus where nothing changed. `element.drawn`
 * resolves when the latest are drawn.
 * @param {Chart} given
 * @returns {HTMLElement & {update: (chart: Chart) => void, drawn: Promise<void> | null}}
 */
export function chart(given) {
  const title = h("figcaption", { id: `chart-${(numbered += 1)}` });
  const said = h("div", {});
  const picture = h("div", { class: "picture" });
  const note = h("p", { class: "hint" });
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": title.id });
  const numbers = h("details", {}, h("summary", {}, "The numbers as a table"), table);
  const figure = h("figure", { class: "chart", "aria-labelledby": title.id }, title, picture, said, note, numbers);
  const drawn = drawing(figure, picture, (error) => {
    fill(said, h("p", { class: "notice" }, "The chart could not be drawn; the table holds its numbers. ", String(error.message ?? error)));
    numbers.open = true;
  });
  let before = null;
  figure.update = (next) => {
    const now = JSON.stringify({ ...next, empty: String(next.empty ?? "") });
    if (now === before) return;
    before = now;
    title.textContent = next.title;
    note.textContent = next.note ?? "";
    note.hidden = !next.note;
    const some = next.series.some((one) => one.values.some(known));
    picture.hidden = numbers.hidden = !some;
    fill(said, some ? null : h("p", { class: "empty" }, next.empty ?? "No evidence yet."));
    figure.drawn = null;
    if (!some) return drawn.clear();
    picture.style.height = next.height ?? (next.horizontal ? `${4 + 2.2 * next.labels.length}rem` : "");
    fill(table, tableOf(next));
    figure.drawn = drawn.show(next, next.gist ?? gist(next));
  };
  figure.update(given);
  return figure;
}

/** The numbers' gist in words: per series how many values, the first and the last, the least and the greatest, and the targets. */
export function gist({ title, labels, series, targets = [], kind = "line", write = number }) {
  const sentences = series.map((one) => {
    const at = one.values.flatMap((value, position) => (known(value) ? [position] : []));
    if (!at.length) return `${one.name}: no values`;
    const say = (position) => `${write(one.values[position])} (${labels[position]})`;
    if (kind !== "line") return `${one.name}: ${at.slice(0, 8).map(say).join(", ")}${at.length > 8 ? ` and ${at.length - 8} more` : ""}`;
    if (at.length === 1) return `${one.name}: ${say(at[0])}`;
    const ordered = [...at].sort((a, b) => one.values[a] - one.values[b]);
    return `${one.name}: ${at.length} values, first ${say(at[0])}, last ${say(at.at(-1))}, least ${say(ordered[0])}, greatest ${say(ordered.at(-1))}`;
  });
  return [title, ...sentences, ...targets.map((target) => `${target.name} ${write(target.value)}`)].join(". ");
}

function tableOf({ title, labels, labelsName = "", series, targets = [], write = number }) {
  const columns = series.flatMap((one) => [
    [one.name, (at) => write(one.values[at])],
    one.low && one.high && ["Interval", (at) => interval(one.low[at], one.high[at], write)],
    one.counts && ["n", (at) => String(one.counts[at] ?? 0)],
  ].filter(Boolean));
  return h("table", {},
    h("caption", {}, [title, ...targets.map((target) => `${target.name}: ${write(target.value)}`)].join(" · ")),
    h("thead", {}, h("tr", {},
      h("th", { scope: "col" }, labelsName || "Of"), columns.map(([name]) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, labels.map((label, at) => h("tr", {},
      h("th", { scope: "row" }, String(label)), columns.map(([, value]) => h("td", { class: "number" }, value(at)))))));
}

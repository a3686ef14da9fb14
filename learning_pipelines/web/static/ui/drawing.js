/**
 * Drawing with Chart.js: loaded when first needed, in the colours of the place it stands in, drawn anew when these change.
 *
 * Belongs here: everything that knows Chart.js. Not here: words, tables, figures (charts.js).
 */

import { h } from "./dom.js";
import { interval, number } from "./format.js";

const ROLES = ["text", "muted", "line", "surface", "accent", "good", "bad", "warn"];
const ORDER = ["accent", "warn", "good", "bad", "muted"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 4]];
const MARKS = ["circle", "rect", "triangle", "rectRot", "crossRot"];
const still = matchMedia("(prefers-reduced-motion: reduce)");
const living = new Set();
let library = null;
let watched = false;

/** Chart.js of our own; what the page around may have under the same name stays its. */
function load() {
  library ??= (async () => {
    const theirs = Object.getOwnPropertyDescriptor(globalThis, "Chart");
    await import("../vendor/chart.umd.min.js");
    const ours = globalThis.Chart;
    if (theirs) Object.defineProperty(globalThis, "Chart", theirs);
    else delete globalThis.Chart;
    if (!ours?.register) throw new Error("Chart.js could not be loaded.");
    return ours;
  })().catch((error) => { library = null; throw error; });
  return library;
}

/**
 * A drawing in an element. `show(chart, name)` draws, `clear()` takes away.
 * @param {HTMLElement} figure Whose colours count.
 * @param {HTMLElement} place
 * @param {(error: Error) => void} failed
 */
export function drawing(figure, place, failed) {
  const canvas = h("canvas", { role: "img" });
  const probe = h("span", { hidden: true });
  let drawn = null, wanted = null, colours = null;
  const one = {
    async show(chart, name) {
      wanted = chart;
      canvas.setAttribute("aria-label", name);
      if (canvas.parentNode !== place) place.replaceChildren(canvas, probe);
      try {
        const Chart = await load();
        await shown(place);
        if (wanted === chart) one.draw(Chart);
      } catch (error) {
        place.hidden = true;
        failed(error);
      }
    },
    draw(Chart) {
      colours = coloursOf(probe);
      const { type, data, options, plugins } = configuration(wanted, colours, getComputedStyle(figure).fontFamily);
      if (drawn || still.matches) options.animation = false;
      drawn?.destroy();
      drawn = new Chart(canvas, { type, data, options, plugins });
      living.add(one);
      watch();
    },
    clear() {
      wanted = null;
      living.delete(one);
      drawn = drawn?.destroy() ?? null;
      place.replaceChildren();
    },
    /** Draws anew where the colours changed; goes where the figure went. */
    refresh() {
      if (!figure.isConnected) return one.clear();
      if (drawn && JSON.stringify(coloursOf(probe)) !== JSON.stringify(colours)) load().then((Chart) => wanted && one.draw(Chart));
    },
  };
  return one;
}

/** Waits until an element is shown: colours and sizes are known only then. */
function shown(element) {
  if (element.isConnected && element.clientWidth) return null;
  return new Promise((resolve) => {
    const observer = new ResizeObserver(() => {
      if (!element.clientWidth) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(element);
  });
}

function watch() {
  for (const one of living) one.refresh();
  if (watched) return;
  watched = true;
  const refresh = () => requestAnimationFrame(() => { for (const one of living) one.refresh(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  for (const element of [document.documentElement, document.body]) new MutationObserver(refresh).observe(element, { attributes: true });
}

function coloursOf(probe) {
  return Object.fromEntries(ROLES.map((role) => {
    probe.style.color = `var(--${role})`;
    return [role, getComputedStyle(probe).color];
  }));
}

const faint = (colour, share) => `color-mix(in srgb, ${colour} ${100 * share}%, transparent)`;

function configuration(chart, colours, family) {
  const { kind = "line", labels, horizontal = false, targets = [], min, max, write = number } = chart;
  const scaled = kind === "line" && labels.length > 0 && labels.every((label) => typeof label === "number");
  const datasets = kind === "line" ? lines(chart, colours, scaled) : bars(chart, colours);
  const grid = { color: colours.line };
  const ticks = { color: colours.muted, font: { family } };
  const held = targets.map((target) => target.value);
  const whiskers = kind === "bar" ? chart.series.flatMap((one) => [...(one.low ?? []), ...(one.high ?? [])]).filter(Number.isFinite) : [];
  const values = {
    min, max, grid, border: { color: colours.line }, stacked: kind === "stacked", beginAtZero: kind !== "line" && min === undefined,
    suggestedMin: Math.min(...held, ...whiskers), suggestedMax: Math.max(...held, ...whiskers),
    ticks: { ...ticks, maxTicksLimit: 7, precision: kind === "stacked" ? 0 : undefined, callback: (value) => write(value) }, // counts are whole
  };
  if (!Number.isFinite(values.suggestedMin)) delete values.suggestedMin, delete values.suggestedMax;
  const along = {
    type: scaled ? "linear" : "category", grid: { display: false }, border: { color: colours.line }, stacked: kind === "stacked",
    ticks: { ...ticks, autoSkip: !horizontal, maxRotation: 0, autoSkipPadding: 12 },
  };
  if (scaled) along.ticks.callback = (value) => new Intl.NumberFormat("en").format(value);
  return {
    type: kind === "line" ? "line" : "bar",
    data: { labels, datasets },
    plugins: [targetLines(targets, colours, family, horizontal), kind === "bar" ? whiskerLines(chart, colours, horizontal) : { id: "whiskers" }],
    options: {
      indexAxis: horizontal ? "y" : "x", responsive: true, maintainAspectRatio: false, animation: { duration: 250 },
      interaction: { mode: "index", intersect: false, axis: horizontal ? "y" : "x" },
      scales: horizontal ? { x: values, y: along } : { x: along, y: values },
      plugins: {
        legend: {
          display: chart.series.length > 1, position: "bottom", onClick: () => {},
          labels: {
            color: colours.text, font: { family }, usePointStyle: kind === "line", boxWidth: 16, filter: (item) => !datasets[item.datasetIndex].bound,
          },
        },
        tooltip: { filter: (item) => !item.dataset.bound, callbacks: { label: (item) => label(chart, item, write) } },
      },
    },
  };
}

function label(chart, item, write) {
  const one = chart.series[item.dataset.of];
  const at = item.dataIndex;
  const around = one.low && one.high ? ` ${interval(one.low[at], one.high[at], write)}` : "";
  return `${one.name}: ${write(one.values[at])}${around}${one.counts ? ` (n = ${one.counts[at] ?? 0})` : ""}`;
}

/** Per series its line, and where it has an interval two lines without ink with the band between them. */
function lines({ series, labels }, colours, scaled) {
  const data = (values) => (scaled ? values.map((y, at) => ({ x: labels[at], y: y ?? null })) : values.map((value) => value ?? null));
  return series.flatMap((one, of) => {
    const colour = colours[one.color ?? ORDER[of % ORDER.length]];
    const plain = { of, pointRadius: 0, pointHitRadius: 0, borderWidth: 0, bound: true, stepped: one.step ?? false };
    const lone = (at) => (one.values[at - 1] ?? null) === null && (one.values[at + 1] ?? null) === null;
    const marked = one.points ?? (series.length === 1 && one.values.length <= 60);
    const line = {
      of, label: one.name, data: data(one.values), borderColor: colour, backgroundColor: colour, borderWidth: 2, stepped: one.step ?? false, clip: 6,
      borderDash: one.dashed ? [6, 5] : DASHES[of % DASHES.length], pointStyle: MARKS[of % MARKS.length],
      pointRadius: ({ dataIndex }) => (marked || lone(dataIndex) ? 2.5 : 0), pointHoverRadius: 4,
    };
    if (!one.low || !one.high) return [line];
    return [line, { ...plain, data: data(one.low) }, { ...plain, data: data(one.high), fill: "-1", backgroundColor: faint(colour, 0.18) }];
  });
}

function bars({ series, kind }, colours) {
  return series.map((one, of) => {
    const colour = colours[one.color ?? ORDER[of % ORDER.length]];
    return {
      of, label: one.name, data: one.values.map((value) => value ?? null), backgroundColor: faint(colour, 0.75),
      borderColor: kind === "stacked" ? colours.surface : colour, borderWidth: 1, maxBarThickness: 36,
    };
  });
}

/** Dashed lines across the drawing, each with its name. */
function targetLines(targets, colours, family, horizontal) {
  return {
    id: "targets",
    afterDatasetsDraw({ ctx, chartArea: area, scales }) {
      ctx.save();
      ctx.font = `12px ${family}`;
      for (const { name, value } of targets) {
        ctx.setLineDash([6, 4]);
        Object.assign(ctx, { strokeStyle: colours.text, fillStyle: colours.text, lineWidth: 1.5 });
        const at = scales[horizontal ? "x" : "y"].getPixelForValue(value);
        ctx.beginPath();
        ctx.moveTo(...(horizontal ? [at, area.top] : [area.left, at]));
        ctx.lineTo(...(horizontal ? [at, area.bottom] : [area.right, at]));
        ctx.stroke();
        if (!name) continue;
        const left = horizontal && at < (area.left + area.right) / 2;
        ctx.textAlign = left ? "left" : "right";
        const where = horizontal ? [at + (left ? 4 : -4), area.top + 10] : [area.right - 4, at + (at - 14 < area.top ? 14 : -5)];
        ctx.setLineDash([]);
        Object.assign(ctx, { strokeStyle: colours.surface, lineWidth: 4, lineJoin: "round" });
        ctx.strokeText(name, ...where);
        ctx.fillText(name, ...where);
      }
      ctx.restore();
    },
  };
}

/** The intervals of bars. */
function whiskerLines({ series }, colours, horizontal) {
  return {
    id: "whiskers",
    afterDatasetsDraw(chart) {
      const { ctx, scales } = chart;
      const along = scales[horizontal ? "x" : "y"];
      ctx.save();
      ctx.strokeStyle = colours.text;
      ctx.lineWidth = 1.5;
      series.forEach((one, of) => chart.getDatasetMeta(of).data.forEach((bar, at) => {
        const [low, high] = [one.low?.[at], one.high?.[at]];
        if (!Number.isFinite(low) || !Number.isFinite(high)) return;
        const middle = horizontal ? bar.y : bar.x;
        const line = (a, b, c, d) => { ctx.moveTo(...(horizontal ? [b, a] : [a, b])); ctx.lineTo(...(horizontal ? [d, c] : [c, d])); };
        const [from, to] = [along.getPixelForValue(low), along.getPixelForValue(high)];
        ctx.beginPath();
        line(middle, from, middle, to);
        line(middle - 4, from, middle + 4, from);
        line(middle - 4, to, middle + 4, to);
        ctx.stroke();
      }));
      ctx.restore();
    },
  };
}

/**
 * The look of <learning-dashboard>: its own style sheet, themed by custom properties of the page around (--learning-accent and so on).
 *
 * Belongs here: rules. Not here: elements (dashboard-view.js).
 */

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host {
  --background: var(--learning-background, light-dark(#fbfbfa, #15171a)); --surface: var(--learning-surface, light-dark(#ffffff, #1e2125));
  --text: var(--learning-text, light-dark(#1b1d20, #e9eaec)); --muted: var(--learning-muted, light-dark(#55595f, #a9aeb5));
  --border: var(--learning-border, light-dark(#868b92, #71777f)); --line: var(--learning-line, light-dark(#dcdee1, #34383d));
  --accent: var(--learning-accent, light-dark(#0b57a4, #8cbcf2));
  --good: var(--learning-good, light-dark(#1a6b36, #7fd19b)); --good-soft: var(--learning-good-soft, light-dark(#e2f3e7, #1d3526));
  --bad: var(--learning-bad, light-dark(#a4201b, #ff9d94)); --bad-soft: var(--learning-bad-soft, light-dark(#fbe6e4, #43211f));
  --warn: var(--learning-warn, light-dark(#7a5200, #f0c265)); --warn-soft: var(--learning-warn-soft, light-dark(#fbf0d9, #3b3017));
  --radius: var(--learning-radius, 6px);
  display: block; container-type: inline-size; color: var(--text); font: 16px/1.5 var(--learning-font, system-ui, sans-serif);
}
:host([hidden]), [hidden] { display: none !important; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([theme]) { background: var(--background); }
* { box-sizing: border-box; }
a { color: var(--accent); display: inline-block; min-height: 24px; min-width: 24px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
h2 { font-size: 1.2rem; margin: 1.5rem 0 0.5rem; }
.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); margin: 0 0 1rem; padding: 0;
  list-style: none; }
.card > :is(h2, h3) { margin: 0 0 0.5rem; }
.card > h3 { font-size: 1rem; }
.tile, .card { background: var(--surface); border: 1px solid var(--line); border-radius: var(--radius); padding: 0.9rem 1rem; min-width: 0; }
.tile h3 { font-size: 0.95rem; font-weight: 600; margin: 0; color: var(--muted); }
.tile .value { font-size: 1.9rem; line-height: 1.25; font-weight: 650; margin: 0.1rem 0; font-variant-numeric: tabular-nums; }
.tile p { margin: 0; }
.tile .value.none { font-size: 1.2rem; line-height: 1.95; font-weight: 400; color: var(--muted); }
.columns { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); margin: 0 0 1rem; }
@container (max-width: 30rem) { .tiles { gap: 0.5rem; grid-template-columns: repeat(2, minmax(0, 1fr)); } .tile { padding: 0.6rem; } }
@container (min-width: 52rem) { .columns { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.hint { color: var(--muted); font-size: 0.9rem; }
.empty { color: var(--muted); border: 1px dashed var(--border); border-radius: var(--radius); padding: 1.5rem; text-align: center; }
.problem { background: var(--bad-soft); border-inline-start: 4px solid var(--bad); padding: 0.6rem 0.9rem; margin: 0.75rem 0; }
.notice { background: var(--warn-soft); border-inline-start: 4px solid var(--warn); padding: 0.6rem 0.9rem; margin: 0.75rem 0; }
.badge { display: inline-block; padding: 0 0.5rem; border: 1px solid var(--border); border-radius: 1rem; font-size: 0.85rem; margin-block: 0.15rem; }
.badge.good { color: var(--good); border-color: var(--good); background: var(--good-soft); }
.badge.bad { color: var(--bad); border-color: var(--bad); background: var(--bad-soft); }
.badge.warn { color: var(--warn); border-color: var(--warn); background: var(--warn-soft); }
.scroll { overflow: auto; max-height: 30rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: start; color: var(--muted); font-size: 0.9rem; padding-bottom: 0.25rem; }
.card > .hint { margin: 0 0 0.5rem; }
th, td { text-align: start; padding: 0.4rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
td.number, th.number { text-align: end; white-space: nowrap; }
td small { display: block; color: var(--muted); }
.chart { margin: 0; min-width: 0; }
.chart figcaption { font-weight: 600; }
.chart .picture { position: relative; height: 16rem; margin: 0.5rem 0; min-width: 0; }
.chart summary { min-height: 24px; cursor: pointer; color: var(--muted); font-size: 0.9rem; }
.chart .scroll { max-height: 20rem; }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
`);

export default sheet;

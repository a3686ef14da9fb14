/** The look of the elements, constructable: a host page's policy allows no inline style. */

export const THEME = `
:host { display: block; color: var(--text); background: var(--learning-background, light-dark(#fff, #1e2125)); font: var(--learning-font, inherit);
  padding: var(--gap); border-radius: var(--round);
  --text: var(--learning-text, light-dark(#1b1d20, #e9eaec)); --muted: var(--learning-muted, light-dark(#55595f, #a9aeb5));
  --border: 1px solid var(--learning-border, light-dark(#868b92, #71777f)); --accent: var(--learning-accent, light-dark(#0b57a4, #8cbcf2));
  --good: var(--learning-good, light-dark(#1a6b36, #7fd19b)); --bad: var(--learning-bad, light-dark(#a4201b, #ff9d94));
  --round: var(--learning-radius, 6px); --gap: var(--learning-gap, .5rem); }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
:focus-visible, label:has(:focus-visible) { outline: 3px solid var(--accent); outline-offset: 2px; }
summary { cursor: pointer; padding-block: .25rem; }
`;
const OWN = `
button, textarea { font: inherit; color: inherit; background: none; border: var(--border); border-radius: var(--round); padding: .3rem .6rem; }
button { min-height: 2rem; }
button[aria-pressed=true] { background: var(--accent); color: var(--learning-on-accent, light-dark(#fff, #10161d)); }
.all, .row, fieldset { display: flex; flex-wrap: wrap; gap: var(--gap); align-items: center; }
.all { flex-direction: column; align-items: stretch; }
fieldset { border: 0; padding: 0; margin: 0; min-width: 0; }
legend { float: inline-start; padding: 0; min-width: 8.5em; }
.icon { display: inline-block; width: 1em; height: 1em; margin-inline-end: .4em; vertical-align: -.1em; background: currentColor;
  clip-path: polygon(0 42%, 20% 42%, 20% 100%, 0 100%, 0 42%, 28% 45%, 50% 0, 64% 6%, 60% 36%, 100% 36%, 92% 100%, 28% 100%, 28% 45%); }
.down { transform: scaleY(-1); }
.star { position: relative; font-size: 1.5rem; line-height: 2rem; width: 2rem; text-align: center; color: var(--accent); }
.star input { position: absolute; inset: 0; opacity: 0; margin: 0; }
.star::before { content: "☆" / ""; }
.star:has(:checked)::before, .star:has(~ .star :checked)::before { content: "★" / ""; }
textarea { display: block; width: 100%; min-height: 4.5rem; margin-block-end: var(--gap); }
.diff { unicode-bidi: plaintext; text-align: start; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem; overflow: auto; }
ins, .used { color: var(--good); }
del, .bad { color: var(--bad); }
.said { margin: 0; min-height: 1.5em; }
`;

export function sheet(rules) {
  const made = new CSSStyleSheet();
  made.replaceSync(rules);
  return made;
}

export const COLLECTOR = sheet(THEME + OWN);

/**
 * <agent-output-card>: what an agent was asked and answered, from which sources, by which version, how fast, and the <feedback-collector> for it.
 *
 * Attributes and properties: input, output, version, latency-ms, format (text, or rich: paragraphs, lists, code), those of the collector, and the
 * property `sources` [{title, text, url, document_id, chunk_id, score}]. The property `execution` takes an answer of GET /executions/{id} whole.
 * Slots: `actions` beside the heading. Parts: card, input, output, sources, facts, collector.
 *
 * Belongs here: showing one answer. Not here: feedback (feedback-collector.js), rich text (safe-text.js).
 */

import { h, fill } from "../ui/dom.js";
import { cardStrings } from "./card-strings.js";
import "./feedback-collector.js";
import { told } from "./feedback-strings.js";
import { THEME, sheet } from "./feedback-styles.js";
import { link, rendered } from "./safe-text.js";

const STYLES = sheet(`${THEME}
:host { border: var(--border); padding: calc(2 * var(--gap)); }
.label { font-weight: 600; margin: var(--gap) 0 0; color: var(--muted); }
.plain { white-space: pre-wrap; }
.text { overflow-wrap: anywhere; }
.text > * { unicode-bidi: plaintext; text-align: start; margin-block: .4em; }
pre { overflow: auto; padding: var(--gap); border: var(--border); border-radius: var(--round); }
a { color: var(--accent); }
.facts { display: flex; flex-wrap: wrap; gap: 0 calc(2 * var(--gap)); color: var(--muted); font-size: .9em; margin: 0; padding: 0; list-style: none; }
.sources li { margin-block: .4em; }
.sources p { margin: 0; color: var(--muted); font-size: .9em; white-space: pre-wrap; max-height: 8rem; overflow: auto; }
feedback-collector { padding: 0; margin-block-start: var(--gap); }
`);
const PASSED = ["execution-id", "agent-id", "api", "token", "lang", "dir"];
const OWN = ["input", "output", "version", "latency-ms", "format"];
const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

export class AgentOutputCard extends HTMLElement {
  static observedAttributes = [...PASSED, ...OWN];
  #given = {}; #sources = []; #strings = null; #collector = null; #due = false;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [STYLES];
  }

  get sources() { return this.#sources; }
  set sources(value) { this.#sources = Array.isArray(value) ? value : []; this.#show(); }
  /** Texts in place of those of the language, for the card and the collector. */
  set strings(value) { this.#strings = value; this.#show(); }
  /** An answer of GET /executions/{id}. */
  set execution(found) {
    Object.assign(this.#given, {
      "execution-id": found.execution_id, "agent-id": found.agent, input: found.input, output: found.output, version: found.prompt_version,
      "latency-ms": found.latency_ms,
    });
    this.sources = found.retrieved ?? [];
  }

  /** What was given by property, else by attribute; null where neither was. */
  value(name) {
    return this.#given[name] ?? this.getAttribute(name);
  }

  give(name, value) {
    this.#given[name] = value;
    this.#show();
  }

  connectedCallback() { this.#show(); }
  attributeChangedCallback() { this.#show(); }

  /** Shows it once, after everything that is set now. */
  #show() {
    if (!this.#due) queueMicrotask(() => this.#render());
    this.#due = true;
  }

  #render() {
    this.#due = false;
    if (!this.isConnected) return;
    const language = this.closest("[lang]")?.lang;
    const words = { ...cardStrings(language), ...this.#strings };
    const text = (name) => String(this.value(name) ?? "");
    const shown = (value) => (this.value("format") === "rich" ? rendered(value) : h("p", { class: "plain", dir: "auto" }, value));
    this.#collector ??= h("feedback-collector", { part: "collector", exportparts: "button, status, used, editor, comment, diff, rating, issues" });
    fill(this.shadowRoot, h("article", { part: "card", lang: language, dir: this.dir || words.dir },
      h("slot", { name: "actions" }),
      text("input") && [h("p", { class: "label" }, words.input)],
      text("input") && h("div", { class: "text", part: "input" }, h("p", { class: "plain", dir: "auto" }, text("input"))),
      h("p", { class: "label" }, words.output), h("div", { class: "text", part: "output" }, shown(text("output"))),
      this.#facts(words, language), this.#sourceList(words, language), this.#collector));
    this.#handOn();
  }

  #facts(words, language) {
    const latency = Number(this.value("latency-ms") ?? NaN);
    const unit = latency < 1000 ? ["millisecond", latency, 0] : ["second", latency / 1000, 1];
    const duration = (unitName, value, digits) => new Intl.NumberFormat(language || undefined, {
      ["style"]: "unit", unit: unitName, unitDisplay: "long", maximumFractionDigits: digits,
    }).format(value);
    const facts = [
      this.value("agent-id") && told(words.agent, { n: this.value("agent-id") }),
      this.value("version") && told(words.version, { n: this.value("version") }),
      Number.isFinite(latency) && told(words.latency, { n: duration(...unit) }),
    ].filter(Boolean);
    return facts.length > 0 && h("ul", { class: "facts", part: "facts" }, facts.map((fact) => h("li", {}, fact)));
  }

  #sourceList(words, language) {
    const score = (value) => told(words.score, { n: new Intl.NumberFormat(language || undefined, { maximumFractionDigits: 3 }).format(value) });
    const one = (source) => {
      const label = String(source.title ?? source.document_id ?? source.chunk_id ?? "?");
      return h("li", {}, link(label, source.url), Number.isFinite(source.score) && ` · ${score(source.score)}`,
        source.text && h("p", { dir: "auto", tabindex: "0" }, String(source.text)));
    };
    const summary = h("summary", {}, told(words.sources, { n: this.#sources.length }));
    return this.#sources.length > 0 && h("details", { class: "sources text", part: "sources" }, summary, h("ol", {}, this.#sources.map(one)));
  }

  #handOn() {
    const to = this.#collector;
    for (const name of PASSED) {
      const value = this.value(name);
      if (name === "token") { if (value !== null && to.token !== value) to.token = value; }
      else if (value === null) to.removeAttribute(name);
      else if (to.getAttribute(name) !== value) to.setAttribute(name, value);
    }
    to.output = String(this.value("output") ?? "");
    if (this.#strings) to.strings = this.#strings;
  }
}

for (const name of [...PASSED, ...OWN]) {
  if (name === "lang" || name === "dir") continue; // every element has these
  Object.defineProperty(AgentOutputCard.prototype, camel(name), {
    get() { return this.value(name); },
    set(value) { this.give(name, value); },
  });
}

if (!customElements.get("agent-output-card")) customElements.define("agent-output-card", AgentOutputCard);

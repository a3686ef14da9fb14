/** <feedback-collector>: what a person says about one answer of an agent. Attributes, events, parts: README, "The widget". */

import { Outbox, claims, done, mark, newId } from "./feedback-queue.js";
import { ENGLISH, stringsOf, told } from "./feedback-strings.js";
import { COLLECTOR } from "./feedback-styles.js";
import { differences, shown } from "./word-diff.js";

const ORIGIN = new URL("../../../../", import.meta.url).href;
const DIMENSIONS = ["accuracy", "helpfulness", "clarity", "completeness"];
const ISSUES = ["incorrect", "incomplete", "unclear", "hallucination", "outdated", "formatting", "tone", "other"];
const LONGEST = 1_000_000, QUIET = 700; // milliseconds after which stars and issues are sent
const RIGHT_TO_LEFT = /^\P{L}*[\u0590-\u08ff\ufb1d-\ufefc]/u; // dir="auto" takes seconds
const nothing = () => ({ thumb: null, rating: null, dimensions: {}, issue_categories: [], correction_text: null });

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value) element.setAttribute(name, value);
  }
  element.append(...children.flat());
  return element;
}

const inputsOf = (field) => [...field.querySelectorAll("input")];

function turn(field) {
  field.dir = field.value && (RIGHT_TO_LEFT.test(field.value.slice(0, 99)) ? "rtl" : "ltr");
}

export class FeedbackCollector extends HTMLElement {
  static observedAttributes = ["execution-id", "agent-id", "token", "api", "lang", "dir", "output"];
  #said = nothing(); #words = ENGLISH; #own; #token; #output; #timers = {}; #held = []; #known = new Set(); #parts; #anonymous; #leaving; #comparing;
  #outbox = new Outbox((kind, item, more) => this.#heard(kind, item, more));

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [COLLECTOR];
  }

  get #execution() { return this.getAttribute("execution-id") || claims(this.token).execution; }
  get #api() { return (this.getAttribute("api") || ORIGIN).replace(/\/$/, ""); }
  /** Set as a property it never stands in the page. */
  get token() { return this.#token ?? this.getAttribute("token") ?? ""; }
  set token(value) { this.#token = value; this.#renew(); }
  /** The answer that a correction starts from. */
  get output() { return this.#output ?? this.getAttribute("output") ?? this.textContent.trim(); }
  set output(value) { this.#output = value; this.#paint(); }
  /** Texts in place of those of the language. */
  set strings(value) { this.#own = value; if (this.#parts) this.#speak(); }
  /** What is said as of now, sent or not. */
  get feedback() { return structuredClone(this.#said); }

  connectedCallback() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    addEventListener("online", () => this.#outbox.flush(), { signal });
    addEventListener("pagehide", () => this.#hurry(), { signal });
    addEventListener("storage", ({ key, newValue }) => {
      if (newValue) for (const { body } of this.#outbox.pending()) if (key.endsWith(body.feedback_id)) this.#take(body);
      this.#paint();
    }, { signal });
    this.#speak().then(() => this.#renew());
  }

  disconnectedCallback() {
    this.#hurry();
    this.#leaving.abort();
    this.#outbox.stop();
  }

  attributeChangedCallback(name) {
    if (!this.#parts) return;
    if (name === "lang" || name === "dir") this.#speak();
    else if (name === "output") this.#paint();
    else this.#renew();
  }

  async #speak() {
    const language = this.closest("[lang]")?.lang;
    this.#words = { ...(await stringsOf(language)), ...this.#own };
    this.#build(language);
    this.#paint();
  }

  async #renew() {
    const { token } = this, execution = this.#execution;
    if (!this.#parts) return;
    if (token.startsWith("lp_")) return this.#tell("key", {}, true);
    if (this.#outbox.execution !== execution) this.#said = nothing();
    Object.assign(this.#outbox, { token, execution, api: this.#api });
    this.#anonymous = token && !claims(token).sub;
    this.#paint();
    if (!token) return;
    for (const { part, body } of this.#held.splice(0)) if (!this.#locked(part)) this.#give(part, { ...body, execution_id: execution });
    await this.#outbox.flush();
    await this.#recall();
  }

  async #recall() {
    const { token, execution, api } = this.#outbox, before = this.#said;
    try {
      const response = await fetch(`${api}/api/learning/feedback/mine?execution_id=${encodeURIComponent(execution)}`, {
        credentials: "omit", headers: { Authorization: `Bearer ${token}` },
      });
      const { anonymous, used, comments, execution_id, ...said } = await response.json();
      if (!response.ok || token !== this.#outbox.token || execution !== this.#outbox.execution) return;
      if (before !== this.#said || Object.keys(this.#timers).length) return setTimeout(() => this.#recall(), QUIET); // the answer is older than that
      this.#anonymous = anonymous;
      if (!anonymous) this.#said = said;
      this.#parts.used.replaceChildren(...used.map((use) => h("div", {}, this.#usedFor(use))));
    } catch { /* what is shown stays */ }
    for (const { body } of this.#outbox.pending()) this.#take(body);
    this.#paint();
  }

  #usedFor({ facets, dataset_version: dataset, prompt_version: prompt }) {
    const words = this.#words, what = facets.includes("correction") ? words.aCorrection : words.aFeedback;
    return told(prompt ? words.prompt : dataset ? words.dataset : words.approved, { what, n: prompt ?? dataset });
  }

  #take({ feedback_type: kind, withdrawn, ...body }) {
    const said = this.#said;
    if (kind.startsWith("thumbs")) said.thumb = withdrawn ? null : kind.slice(7);
    for (const name in said) if (body[name]) said[name] = withdrawn ? nothing()[name] : body[name];
  }

  #change(part, said) {
    this.#said = { ...this.#said, ...said };
    this.#event("feedback-changed", { part, feedback: this.feedback });
    if (part !== "issues" && !this.#complains() && this.#said.issue_categories.length) this.#change("issues", { issue_categories: [] });
    this.#paint();
    clearTimeout(this.#timers[part]);
    if (part === "thumb") this.#submit(part);
    else if (!this.#anonymous) this.#timers[part] = setTimeout(() => this.#submit(part), QUIET); // somebody unknown sends by the button, once
  }

  #complains() {
    return this.#said.thumb === "down" || this.#said.rating && this.#said.rating <= 3;
  }

  #hurry() {
    for (const part in this.#timers) this.#submit(part);
  }

  #submit(part, more) {
    clearTimeout(this.#timers[part]);
    delete this.#timers[part];
    const { thumb, rating, dimensions, issue_categories } = this.#said, body = {};
    if (part === "thumb") Object.assign(body, { feedback_type: `thumbs_${thumb ?? "up"}`, withdrawn: !thumb });
    else {
      body.feedback_type = "detailed_feedback";
      if (part === "issues" || (part === "once" && issue_categories.length)) {
        Object.assign(body, { feedback_type: "report_issue", issue_categories, withdrawn: !issue_categories.length });
      }
      if (part !== "issues" && rating) Object.assign(body, { feedback_type: "star_rating", rating });
      if (part !== "issues" && Object.keys(dimensions).length) body.dimensions = dimensions;
    }
    return this.#give(part, { ...body, ...more });
  }

  #give(part, said) {
    const agent = this.getAttribute("agent-id") || undefined, withdrawn = said.withdrawn || undefined;
    const body = { feedback_id: newId(), execution_id: this.#execution, agent, created_at: new Date().toISOString(), ...said, withdrawn };
    if (!this.token || this.token.startsWith("lp_")) {
      this.#held.push({ part, body });
      this.#heard("token", { part, body }, { reason: "missing" });
    } else if (this.#outbox.add({ part, body }, !this.#anonymous && part !== "comment")) {
      if (this.#anonymous) mark(body.execution_id, part, true);
      this.#paint();
      this.#outbox.flush();
    } else return this.#tell("full", {}, true);
    return true;
  }

  #text({ value }, least) {
    const text = (value.toWellFormed?.() ?? value).replaceAll("\0", "");
    if (text.length > LONGEST) this.#tell("long", { n: LONGEST }, true);
    else if (text.trim()) return text;
    else this.#tell(least, {}, true);
  }

  #sendComment() {
    const { comment } = this.#parts, { rating, dimensions, issue_categories } = this.#said;
    if (this.#anonymous && !comment.value && (rating || issue_categories.length || Object.keys(dimensions).length)) return this.#submit("once");
    const feedback_text = this.#text(comment, "empty");
    if (!feedback_text) return;
    if (this.#anonymous ? this.#submit("once", { feedback_text }) : this.#give("comment", { feedback_type: "detailed_feedback", feedback_text })) {
      comment.value = "";
    }
  }

  #sendCorrection(withdrawn) {
    const former = this.#said.correction_text, { editor } = this.#parts;
    const correction_text = withdrawn ? former : this.#text(editor, "same");
    if (!correction_text) return;
    if (!withdrawn && (correction_text === former || correction_text.trim() === this.output.trim())) return this.#tell("same", {}, true);
    if (!this.#give("correction", { feedback_type: "correction", correction_text, withdrawn })) return;
    this.#said = { ...this.#said, correction_text: withdrawn ? null : correction_text };
    this.#event("feedback-changed", { part: "correction", feedback: this.feedback });
    if (withdrawn) editor.value = this.output;
    this.#paint();
  }

  #heard(kind, item, more) {
    const { part, body } = item, { feedback_id, execution_id, feedback_text } = body, { comment } = this.#parts;
    const detail = { feedback_id, execution_id, part, feedback: body, ...more };
    if (kind === "sent") {
      this.#said = { ...this.#said };
      this.#tell(this.#anonymous ? "thanks" : body.withdrawn ? "takenBack" : "saved");
      this.#event("feedback-sent", detail);
    } else if (kind === "failed") {
      if (this.#anonymous) mark(execution_id, part, false);
      comment.value ||= feedback_text ?? "";
      this.#tell("failed", more, true);
      this.#event("feedback-failed", detail);
      this.#recall();
    } else {
      this.#tell(item.kept ? kind : kind === "token" ? "token" : "unkept");
      if (!this.#known.has(feedback_id)) this.#event("feedback-queued", detail);
      this.#known.add(feedback_id);
      if (kind === "token") this.#event("token-needed", detail);
    }
  }

  #event(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #tell(key, values, bad) {
    const { said } = this.#parts;
    said.className = bad ? "said bad" : "said";
    said.textContent = told(this.#words[key], values);
  }

  #build(lang) {
    const words = this.#words, former = this.#parts ?? {};
    const button = (text, onclick) => h("button", { type: "button", part: "button", onclick }, text);
    const thumb = (name) => {
      const made = button(words[name], ({ detail: clicks }) => {
        if (clicks < 2) this.#change("thumb", { thumb: this.#said.thumb === name && !this.#anonymous ? null : name }); // no double click
      });
      made.prepend(h("span", { class: `icon ${name}` }));
      return made;
    };
    const choices = (name, inputs) => h("fieldset", { part: name }, h("legend", {}, words[name]), inputs);
    const stars = (name, said) => choices(name, [1, 2, 3, 4, 5].map((n) => h("label", { class: "star" }, h("input", {
      type: "radio", name, "aria-label": told(words.star, { n }), onchange: () => this.#change("stars", said(n)),
    }))));
    const chosen = () => this.#change("issues", { issue_categories: ISSUES.filter((name, place) => inputsOf(parts.issues)[place].checked) });
    const parts = this.#parts = {
      up: thumb("up"), down: thumb("down"), rating: stars("rating", (rating) => ({ rating })),
      dimensions: DIMENSIONS.map((name) => stars(name, (n) => ({ dimensions: { ...this.#said.dimensions, [name]: n } }))),
      issues: choices("issues", ISSUES.map((name) => h("label", {}, h("input", { type: "checkbox", onchange: chosen }), " ", words[name]))),
      comment: former.comment ?? h("textarea", { id: "comment", part: "comment", oninput: () => turn(parts.comment) }),
      send: button(words.send, () => this.#sendComment()),
      editor: former.editor ?? h("textarea", { id: "editor", part: "editor", oninput: () => this.#compare() }),
      diff: h("div", { class: "diff", part: "diff", role: "group", tabindex: "0", "aria-label": words.changes }),
      correct: button(words.sendCorrection, () => this.#sendCorrection()), takeBack: button(words.takeBack, () => this.#sendCorrection(true)),
      reset: button(words.reset, () => { parts.editor.value = this.output; this.#compare(); }),
      used: former.used ?? h("div", { class: "used", part: "used" }), said: former.said ?? h("p", { class: "said", part: "status", role: "status" }),
    };
    this.shadowRoot.replaceChildren(h("div", { class: "all", role: "group", "aria-label": words.question, lang, dir: this.dir || words.dir },
      h("div", { class: "row" }, words.question, parts.up, parts.down), parts.rating,
      h("details", {}, h("summary", {}, words.details), parts.dimensions), parts.issues,
      h("div", {}, h("label", { for: "comment" }, words.comment), parts.comment, parts.send),
      h("details", {}, h("summary", {}, words.correct), h("label", { for: "editor" }, words.editor), parts.editor, parts.diff,
        h("div", { class: "row" }, parts.correct, parts.reset, parts.takeBack)), parts.used, parts.said));
  }

  #locked(part) {
    return Boolean(this.#anonymous && done(this.#execution).includes(part));
  }

  #paint() {
    const parts = this.#parts, { thumb, rating, dimensions, issue_categories: issues, correction_text: correction } = this.#said;
    if (!parts) return;
    for (const name of ["up", "down"]) parts[name].ariaPressed = thumb === name;
    [parts.rating, ...parts.dimensions].forEach((field, place) => {
      inputsOf(field).forEach((input, n) => { input.checked = n + 1 === (place ? dimensions[DIMENSIONS[place - 1]] : rating); });
    });
    inputsOf(parts.issues).forEach((input, place) => { input.checked = issues.includes(ISSUES[place]); });
    parts.issues.hidden = !this.#complains() && !issues.length;
    parts.up.disabled = parts.down.disabled = this.#locked("thumb");
    for (const part of [parts.rating, ...parts.dimensions, parts.issues, parts.comment, parts.send]) part.disabled = this.#locked("once");
    for (const part of [parts.editor, parts.correct, parts.reset]) part.disabled = this.#locked("correction");
    parts.takeBack.hidden = correction === null || this.#anonymous;
    if (parts.editor.value === (parts.editor.start ?? "")) parts.editor.value = correction ?? this.output;
    parts.editor.start = correction ?? this.output;
    this.#compare();
  }

  #compare() {
    clearTimeout(this.#comparing);
    turn(this.#parts.editor);
    this.#comparing = setTimeout(() => {
      const { diff, editor } = this.#parts, { output } = this;
      diff.hidden = !output || editor.value === output;
      diff.replaceChildren(...(diff.hidden ? [] : differences(output, editor.value).map(([tag, text]) => h(tag, {}, shown(text)))));
    }, 150);
  }
}

customElements.get("feedback-collector") ?? customElements.define("feedback-collector", FeedbackCollector);

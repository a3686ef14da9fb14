/**
 * <learning-dashboard agent="desk" days="30" token="…">: the numbers of an organization or of one agent, live, on any page.
 *
 * Attributes: `agent` (default: all), `days` (default 30), `token` (a bearer token; or set the property `client`), `base-url` (the service; default:
 * where this module came from), `pages-url` (where the service's pages are, for links; without it there are none), `every` (seconds between questions,
 * default 15), `theme` (light, dark; default: that of the page). Themed by --learning-accent, --learning-surface and so on (dashboard-styles.js).
 * Events: `dashboard-shown` (numbers are there; detail: the answer), `dashboard-drawn` (charts too), `dashboard-problem` (detail: the error).
 *
 * Belongs here: asking, when, what is said when it fails. Not here: what an answer looks like (dashboard-view.js).
 */

import { LearningClient } from "../client/learning.js";
import { h } from "../ui/dom.js";
import { count, moment } from "../ui/format.js";
import styles from "./dashboard-styles.js";
import { view } from "./dashboard-view.js";

const SLOWEST = 120;
const clock = (time) => time.toLocaleTimeString("en-GB");

export class LearningDashboard extends HTMLElement {
  static observedAttributes = ["agent", "days", "token", "base-url", "pages-url"];
  #client = null;
  #view = null;
  #answer = null;
  #shownAt = null;
  #asking = null;
  #timer = 0;
  #failures = 0;
  #planned = false;
  #place = h("div", {});
  #state = h("p", { class: "hint" }, "Loading …");
  #waiting = h("p", { class: "notice", hidden: true });
  #said = h("div", { role: "status" });
  #visible = () => (document.hidden ? this.#stop() : this.refresh());

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles];
    root.append(this.#said, this.#place, this.#waiting, this.#state);
  }

  /** The client to ask with, instead of a token. */
  get client() {
    this.#client ??= new LearningClient({ baseUrl: this.getAttribute("base-url") ?? undefined, token: () => this.getAttribute("token") ?? "" });
    return this.#client;
  }

  set client(client) {
    this.#client = client;
    this.#changed();
  }

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#visible);
    this.#changed();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#visible);
    this.#stop();
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "base-url") this.#client = null;
    if (name === "pages-url") this.#view = null;
    this.#changed();
  }

  /** Asks now; resolves when the answer is shown, or what went wrong is. */
  async refresh() {
    this.#stop();
    if (!this.isConnected) return;
    const asking = this.#asking = new AbortController();
    const query = { agent: this.getAttribute("agent"), days: this.getAttribute("days") };
    try {
      const answer = await this.client.request("GET", "/dashboard", { query, signal: asking.signal });
      if (asking.signal.aborted) return;
      this.#failures = 0;
      this.#show(answer);
    } catch (error) {
      if (asking.signal.aborted) return;
      this.#failures += 1;
      this.#fail(error);
    }
    const every = Number(this.getAttribute("every")) || 15;
    const wait = Math.min(Math.max(SLOWEST, every), every * 2 ** this.#failures);
    if (!document.hidden) this.#timer = setTimeout(() => this.refresh(), 1000 * wait);
  }

  /** Several attributes set in a row lead to one question. */
  #changed() {
    this.#stop();
    if (this.#planned || !this.isConnected) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.refresh();
    });
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  #show(answer) {
    if (!this.#view) {
      this.#view = view(this.getAttribute("pages-url"));
      this.#place.replaceChildren(this.#view.element);
      this.#answer = null;
    }
    this.#shownAt = new Date();
    const text = JSON.stringify(answer);
    const first = this.#answer === null;
    if (text !== this.#answer) this.#view.update(answer);
    this.#answer = text;
    this.#place.hidden = false;
    this.#said.replaceChildren();
    this.#fresh(answer.freshness);
    this.dispatchEvent(new CustomEvent("dashboard-shown", { detail: answer }));
    if (first) this.#view.drawn().then(() => this.dispatchEvent(new CustomEvent("dashboard-drawn")));
  }

  /** How fresh the numbers are: what was asked when, and what is stored but not counted yet. */
  #fresh({ as_of: asOf, waiting_agents: agents, waiting_entries: entries, waiting_entries_at_least: more }) {
    this.#state.textContent = `${agents ? "" : "Up to the moment. "}Last asked at ${clock(this.#shownAt)}; asked again while this page is in view.`;
    const many = `${more ? "more than " : ""}${count(entries)} changes of ${agents === 1 ? "one agent" : `${count(agents)} agents`}`;
    const words = `${asOf ? `As of ${moment(asOf)}` : "Not computed yet"}: ${many} wait until the daily numbers are computed again (job metrics_refresh).`;
    this.#waiting.hidden = !agents;
    if (agents && this.#waiting.textContent !== words) this.#waiting.textContent = words;
  }

  /** Numbers that are there stay, with their time; another agent's or period's do not. */
  #fail(error) {
    const other = this.#answer !== null && !this.#asked(JSON.parse(this.#answer));
    this.#place.hidden = other;
    this.#waiting.hidden ||= other;
    const kept = this.#answer === null || other ? "" : ` The numbers below are those of ${clock(this.#shownAt)}.`;
    const words = `${error.message}${kept}${error.status === 404 ? "" : " It is tried again by itself."}`;
    const title = error.title ?? "Something went wrong";
    if (this.#said.textContent !== `${title} ${words}`) this.#said.replaceChildren(h("div", { class: "problem" }, h("strong", {}, title), " ", words));
    this.#state.textContent = "";
    this.dispatchEvent(new CustomEvent("dashboard-problem", { detail: error }));
    if (error.name !== "ApiError") reportError(error);
  }

  #asked({ agent, period }) {
    return (agent ?? "") === (this.getAttribute("agent") ?? "") && String(period.days) === (this.getAttribute("days") ?? "30");
  }
}

customElements.define("learning-dashboard", LearningDashboard);

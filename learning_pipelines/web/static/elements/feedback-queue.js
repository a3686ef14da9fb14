/**
 * Feedback on its way: kept in the browser until the service has it, sent in order.
 *
 * Each item is a key of localStorage: tabs never write over each other's; both may send one, and its id makes that once. Tokens are never kept.
 */

const PREFIX = "learning-feedback:", MOST_ITEMS = 100, LONGEST_WAIT = 60_000, DONE = "learning-feedback-done";
const lost = new Map(); // what localStorage did not take
let latest = 0;

/** crypto.randomUUID is missing in pages without https. */
export const newId = () => `w-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;

/** What a token says, unchecked. */
export function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

/** A hash: names of people stay out of the browser's storage. */
function ownerOf(token) {
  const { organization, sub } = claims(token);
  return [...`${organization}/${sub}`].reduce((hash, char) => Math.imul(hash ^ char.codePointAt(), 16777619) >>> 0, 2166136261);
}

export class Outbox {
  #timer; #busy; #failures = 0; #tells;

  /** `tells(kind, item, more)`: sent, failed, queued, token. Set api, token and execution before use. */
  constructor(tells) {
    this.#tells = tells;
  }

  /** Whether there was room. What says the same thing anew replaces what still waits. */
  add(item, replaces) {
    if (items().length >= MOST_ITEMS) return false;
    latest = Math.max(latest + 1, Date.now());
    item = { ...item, api: this.api, owner: ownerOf(this.token), at: latest };
    if (replaces) for (const former of this.pending()) if (former.part === item.part) drop(former);
    keep(item);
    return true;
  }

  pending() {
    return items().filter(({ api, owner, body }) => api === this.api && owner === ownerOf(this.token) && body.execution_id === this.execution);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  async flush() {
    if (this.#busy) return;
    this.#busy = true;
    this.stop();
    try {
      for (let item; (item = this.pending()[0]) && (await this.#send(item)); );
    } finally {
      this.#busy = false;
    }
  }

  async #send(item) {
    const { token } = this, body = JSON.stringify(item.body);
    let status = 0, answer, after;
    try {
      const response = await fetch(`${this.api}/api/learning/feedback`, {
        method: "POST", body, credentials: "omit", keepalive: body.length < 20_000, signal: AbortSignal.timeout(30_000),
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      });
      after = 1000 * response.headers.get("Retry-After");
      answer = { ...(await response.json().catch(() => {})) };
      status = response.status;
    } catch { /* not reached */ }
    if (status === 401 || status === 403) {
      if (token === this.token) this.#tells("token", item, { reason: status === 401 ? "expired" : "refused" });
      return token !== this.token;
    }
    if (!status || status === 408 || status === 429 || status >= 500) {
      const wait = Math.min(LONGEST_WAIT, Math.max(after || 0, 500 * 2 ** this.#failures++ * (0.75 + Math.random() / 2)));
      this.#timer = setTimeout(() => this.flush(), wait);
      this.#tells("queued", item, { wait });
      return false;
    }
    this.#failures = 0;
    if (status === 422 && /^(created_at|agent)$/.test(answer.field) && item.body[answer.field]) {
      delete item.body[answer.field]; // a wrong clock, an agent that is gone
      keep(item);
      return true;
    }
    drop(item);
    if (status === 201) this.#tells("sent", item, { status: answer.status });
    else this.#tells("failed", item, { status, detail: answer.detail ?? status });
    return true;
  }
}

/** What somebody unknown said already of an execution: twice would count twice. */
export const done = (execution) => marks()[execution] ?? [];

export function mark(execution, part, is) {
  const { [execution]: former = [], ...others } = marks();
  const kept = [...Object.entries(others).slice(-99), [execution, [...former.filter((one) => one !== part), ...(is ? [part] : [])]]];
  try {
    localStorage[DONE] = JSON.stringify(Object.fromEntries(kept));
  } catch { /* a browser that keeps nothing */ }
}

function marks() {
  try {
    return JSON.parse(localStorage[DONE] ?? "{}");
  } catch {
    return {};
  }
}

function items() {
  const found = new Map(lost);
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) found.set(key, JSON.parse(localStorage[key]));
  } catch { /* as above */ }
  return [...found.values()].filter((item) => item?.body).sort((one, other) => one.at - other.at);
}

function keep(item) {
  const key = PREFIX + item.body.feedback_id;
  item.kept = true;
  try {
    localStorage[key] = JSON.stringify(item);
  } catch {
    item.kept = false;
    lost.set(key, item);
  }
}

function drop({ body }) {
  lost.delete(PREFIX + body.feedback_id);
  try {
    delete localStorage[PREFIX + body.feedback_id];
  } catch { /* as above */ }
}

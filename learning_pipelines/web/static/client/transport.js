/**
 * Requests to the service: credentials, time limits, repeating what may be repeated, refusals as errors.
 *
 * Belongs here: one request and its answer. Not here: what there is to ask for (learning.js).
 */

/** A refusal, as the service says it (RFC 9457). `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, title, detail, field = null, retryAfter = null) {
    super(detail || title);
    this.name = "ApiError";
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.field = field;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get transient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** A part of a path, encoded. */
export const segment = (value) => encodeURIComponent(String(value));

/** The service that this module came from. */
const ORIGIN = new URL("../../../../", import.meta.url).href.replace(/\/$/, "");
const FIRST_WAIT = 400;
const LONGEST_WAIT = 30_000;
const WORTH_REPEATING = new Set([0, 429, 502, 503, 504]);

export class Transport {
  constructor({ baseUrl = ORIGIN, token, csrfToken, fetch: fetcher, timeout = 30_000, retries = 2 } = {}) {
    this.baseUrl = baseUrl.replace(/\/$/, "");
    this.token = token;
    this.csrfToken = csrfToken;
    this.timeout = timeout;
    this.retries = retries;
    this.fetch = fetcher ?? ((...given) => globalThis.fetch(...given));
  }

  /**
   * One request below /api/learning; the answer's JSON (null for none, and for 304). Raises ApiError, and what `signal` was aborted with.
   *
   * GET is repeated when there was no answer, too many requests, or something behind the service is away; anything else only where `repeatable` says
   * that doing it twice does it once. A Retry-After is waited for, if it is not longer than half a minute.
   */
  async request(method, path, { query, body, headers, signal, timeout, retries, repeatable = method === "GET" } = {}) {
    const most = repeatable ? (retries ?? this.retries) : 0;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once(method, path, { query, body, headers, signal, timeout: timeout ?? this.timeout });
      } catch (error) {
        const wait = Math.max(FIRST_WAIT * 2 ** attempt * (0.75 + Math.random() / 2), 1000 * (error.retryAfter ?? 0));
        if (!(error instanceof ApiError) || !WORTH_REPEATING.has(error.status) || attempt >= most || wait > LONGEST_WAIT) throw error;
        await waited(wait, signal);
      }
    }
  }

  async #once(method, path, { query, body, headers, signal, timeout }) {
    const url = new URL(`${this.baseUrl}/api/learning${path}`);
    for (const [name, values] of Object.entries(query ?? {})) {
      for (const value of [values].flat()) if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
    }
    const sent = { Accept: "application/json", ...headers };
    const token = typeof this.token === "function" ? await this.token() : this.token;
    if (token) sent.Authorization = `Bearer ${token}`;
    if (this.csrfToken && !token) sent["X-CSRF-Token"] = this.csrfToken;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const limit = AbortSignal.timeout(timeout);
    try {
      const response = await this.fetch(url.href, {
        method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), credentials: token ? "omit" : "same-origin",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      return answered(response, await response.text());
    } catch (error) {
      if (error instanceof ApiError) throw error;
      signal?.throwIfAborted();
      if (limit.aborted) throw new ApiError(0, "No answer in time", `The service did not answer within ${timeout / 1000} seconds.`);
      throw new ApiError(0, "Not reached", `The service at ${this.baseUrl} cannot be reached.`);
    }
  }
}

function answered(response, text) {
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    if (response.ok) throw new ApiError(response.status, "No JSON", "The service answered with something that is not JSON.");
  }
  if (response.ok || response.status === 304) return body;
  const title = body?.title ?? (response.statusText || "Refused");
  const detail = body?.detail ?? `The service answered with status ${response.status}.`;
  throw new ApiError(response.status, title, detail, body?.field ?? null, secondsOf(response.headers.get("Retry-After")));
}

/** Retry-After as seconds; it may be a date. */
function secondsOf(text) {
  if (!text) return null;
  const seconds = /^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** Resolves after so many milliseconds; raises what `signal` is aborted with. */
export function waited(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A key that nobody else makes: sending a request again with it stores nothing twice. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

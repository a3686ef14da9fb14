/**
 * The JavaScript client of the API: one class, no dependency, in browsers and in Node.
 *
 * Belongs here: requests, credentials, problems. Not here: anything that shows something (elements/, pages/), React (react.js).
 */

/** A refusal, as the service says it (RFC 9457). `status` 0: it could not be reached. */
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

/** The service that this module came from. */
const ORIGIN = new URL("../../../../", import.meta.url).href.replace(/\/$/, "");

export class LearningClient {
  /**
   * @param {object} [options]
   * @param {string} [options.baseUrl] Address of the service; default: where this module came from.
   * @param {string | (() => string | Promise<string>)} [options.token] Bearer token, or what gives a fresh one before each request.
   * @param {string} [options.csrfToken] Of a browser session (cookie), instead of a token.
   * @param {typeof fetch} [options.fetch]
   */
  constructor({ baseUrl = ORIGIN, token, csrfToken, fetch: fetcher } = {}) {
    this.baseUrl = baseUrl.replace(/\/$/, "");
    this.token = token;
    this.csrfToken = csrfToken;
    this.fetch = fetcher ?? ((...given) => globalThis.fetch(...given));
  }

  /**
   * One request below /api/learning; the answer's JSON (null for none). Raises ApiError.
   *
   * @param {string} method
   * @param {string} path Below /api/learning, its parts already encoded (see `segment`).
   * @param {{query?: object, body?: unknown, headers?: object, signal?: AbortSignal}} [options] Query values that are null or undefined are left out.
   */
  async request(method, path, { query, body, headers, signal } = {}) {
    const url = new URL(`${this.baseUrl}/api/learning${path}`);
    for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
    const sent = { Accept: "application/json", ...headers };
    const token = typeof this.token === "function" ? await this.token() : this.token;
    if (token) sent.Authorization = `Bearer ${token}`;
    if (this.csrfToken && !token) sent["X-CSRF-Token"] = this.csrfToken;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let response;
    try {
      response = await this.fetch(url.href, {
        method, headers: sent, signal, credentials: token ? "omit" : "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "Not reached", `The service at ${this.baseUrl} cannot be reached.`);
    }
    return answered(response);
  }

  /** Stores one feedback. Give it a feedback_id: then sending it again stores nothing twice. */
  submitFeedback(feedback, options) {
    return this.request("POST", "/feedback", { body: feedback, ...options });
  }

  /** Counts of the organization. */
  statistics(options) {
    return this.request("GET", "/stats", options);
  }
}

/** A part of a path, encoded. */
export const segment = (value) => encodeURIComponent(String(value));

async function answered(response) {
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    if (response.ok) throw new ApiError(response.status, "No JSON", "The service answered with something that is not JSON.");
  }
  if (response.ok) return body;
  const retryAfter = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  throw new ApiError(
    response.status, body?.title ?? response.statusText, body?.detail ?? `The service answered with status ${response.status}.`, body?.field ?? null,
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}

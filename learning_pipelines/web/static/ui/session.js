/**
 * The browser session: signing in by API key, what happens when it ends in the middle of work, several tabs.
 *
 * Belongs here: whose session it is, and asking for it. Not here: the frame around a page (shell.js).
 */

import { ApiError, LearningClient } from "../client/learning.js";
import { h, fill } from "./dom.js";
import { problem } from "./problem.js";

const TABS = new BroadcastChannel("learning-session");
const identity = (session) => `${session.organization} ${session.user} ${session.role}`;

/** The session of this browser; where there is none, the page asks for an API key first. */
export async function signedIn(client) {
  try {
    return adopt(client, await client.request("GET", "/session"));
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
  }
  const title = document.title;
  document.title = "Sign in · learning_pipelines";
  const session = await new Promise((resolve) => {
    document.body.replaceChildren(h("main", { class: "sign-in" }, h("h1", {}, "Sign in to learning_pipelines"), signInForm(client, resolve)));
    document.querySelector("input").focus();
    TABS.onmessage = ({ data }) => { if (data.began) location.reload(); };
  });
  document.title = title;
  return { ...session, isNew: true };
}

/**
 * From now on a session that has ended is made anew over the page, and the request repeated: nothing typed is lost. A tab that signs out makes the
 * others ask; one that signs in anew gives them its CSRF token, if it is the same person: nobody's work is sent in another's name.
 */
export function keepSignedIn(client, session) {
  const request = client.request.bind(client);
  let asking = null;
  const again = () => (asking ??= askAgain(client, session, request).finally(() => { asking = null; }));
  client.request = async (...given) => {
    try {
      return await request(...given);
    } catch (error) {
      if (!await mended(error)) throw error;
      return request(...given);
    }
  };
  async function mended(error) {
    if (error.status === 401) return again().then(() => true);
    if (error.status !== 403 || !String(error.detail).includes("X-CSRF-Token")) return false;
    const before = client.csrfToken;
    const now = await request("GET", "/session").catch(() => null);
    if (!now || identity(now) !== identity(session)) return again().then(() => true);
    adopt(client, now);
    return client.csrfToken !== before;
  }
  TABS.onmessage = ({ data }) => {
    if (data.ended || (data.began && data.began !== identity(session))) again();
  };
}

/** Ends the session in every tab. */
export async function signOut(client) {
  const plain = new LearningClient({ baseUrl: client.baseUrl, csrfToken: client.csrfToken });
  try {
    await plain.endSession();
  } catch (error) {
    if (error.status !== 401) throw error; // it has ended by itself
  }
  TABS.postMessage({ ended: true });
  location.reload();
}

function adopt(client, session) {
  client.csrfToken = session.csrf_token;
  return session;
}

function signInForm(client, done) {
  const key = h("input", { id: "api-key", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "key-help" });
  const said = h("div", {});
  const button = h("button", { class: "primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    let wait = 0;
    try {
      const session = adopt(client, await began(client, key.value.trim()));
      TABS.postMessage({ began: identity(session) });
      done(session, said);
    } catch (error) {
      wait = error.status === 429 ? (error.retryAfter ?? 1) : 0;
      fill(said, problem(explained(error)));
      key.focus();
    }
    setTimeout(() => { button.disabled = false; }, wait * 1000);
  };
  return h("form", { onsubmit: submit },
    h("label", { for: "api-key" }, "API key"), key,
    h("p", { id: "key-help", class: "hint" }, "An administrator makes one: ", h("code", {}, "learning-pipelines keys create --role expert --user you")),
    button, said);
}

/** A new session by a key; told apart: a key that is not accepted, and a browser that does not keep the session. */
async function began(client, key) {
  const withCookie = (url, options) => fetch(url, { ...options, credentials: "same-origin" });
  await new LearningClient({ baseUrl: client.baseUrl, token: key, fetch: withCookie }).request("POST", "/session", { body: {} });
  try {
    return await new LearningClient({ baseUrl: client.baseUrl }).getSession();
  } catch (error) {
    if (error.status !== 401) throw error;
    throw new ApiError(400, "Not signed in", "The key is accepted, but this browser did not keep the session's cookie: over the network it goes by https "
      + "only. Open this page by https, and permit cookies for it.");
  }
}

function explained(error) {
  if (error.status === 401) return new ApiError(401, "Not accepted", "There is no such key, or it was revoked.");
  if (error.status === 429) return new ApiError(429, "Too many attempts", "There were too many attempts from this address.", null, error.retryAfter ?? 1);
  return error;
}

function askAgain(client, session, request) {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (now) => {
      settled = true;
      TABS.removeEventListener("message", look);
      adopt(client, now);
      dialog.close();
      dialog.remove();
      resolve();
    };
    const other = h("div", {});
    const judge = (now) => (identity(now) === identity(session) ? settle(now) : fill(other, takenOver(now, session)));
    const look = ({ data }) => { if (data.began) request("GET", "/session").then(judge, () => {}); };
    const dialog = h("dialog", { class: "again", "aria-labelledby": "again-title", onclose: () => { if (!settled) dialog.showModal(); } },
      h("h2", { id: "again-title" }, "Your session has ended"),
      h("p", {}, `Sign in again as ${session.user}: what you have typed is still here.`), signInForm(client, judge), other);
    document.body.append(dialog);
    dialog.showModal();
    TABS.addEventListener("message", look);
    request("GET", "/session").then(judge, () => {});
  });
}

const takenOver = (now, session) => h("div", { class: "notice", role: "alert" },
  h("p", {}, `This browser is now signed in as ${now.user} (${now.role}), and this page was opened as ${session.user} (${session.role}). `
    + `Nothing is sent in another's name: sign in as ${session.user}, or give up what is typed here.`),
  h("button", { type: "button", onclick: () => location.reload() }, `Reload as ${now.user}`));
